"""A whole chunk: the exact bytes of a chunk's file, held in memory."""

from collections.abc import Sequence
from dataclasses import dataclass

from twisted_store.core.checksums import (
    BLOCK_BYTES,
    Buffer,
    block_count,
    block_seed,
    chunk_seed,
    crc32c,
)
from twisted_store.core.chunk_file import (
    HEADER_BYTES,
    TAIL_BYTES,
    ChunkLayout,
    decode_tail,
    encode_footer,
    encode_header,
    named_chunk,
    pack_checksums,
    verify_blocks,
    verify_footer,
    verify_header,
)
from twisted_store.core.ids import ChunkId


@dataclass(frozen=True, slots=True)
class WholeChunk:
    """A chunk of which every byte is verified; ``content`` is that of its file."""

    chunk_id: ChunkId
    layout: ChunkLayout
    content: Buffer

    @property
    def chunk_bytes(self) -> int:
        """The length of the chunk."""
        return self.layout.chunk_bytes

    @property
    def blocks(self) -> memoryview:
        """The chunk's bytes."""
        return memoryview(self.content)[HEADER_BYTES : self.layout.footer_offset]

    @property
    def checksums(self) -> memoryview:
        """The checksums of its blocks, packed."""
        return memoryview(self.content)[self.layout.footer_offset : self.layout.manifest_offset]

    @property
    def manifest(self) -> bytes:
        """The encoded manifest of the chunk's object."""
        start = self.layout.manifest_offset
        return bytes(memoryview(self.content)[start : start + self.layout.manifest_bytes])


def encode_whole(chunk_id: ChunkId, parts: Sequence[Buffer], manifest: bytes) -> bytes:
    """The whole chunk whose bytes are ``parts``, end to end."""
    blocks = parts[0] if len(parts) == 1 else b"".join(parts)
    checksums = pack_checksums(_checksums(chunk_id, blocks))
    footer = encode_footer(chunk_id, len(blocks), checksums, manifest)
    return b"".join((encode_header(chunk_id), blocks, *footer))


def decode_whole(content: Buffer, chunk_id: ChunkId | None = None) -> WholeChunk:
    """
    The chunk whose file has these bytes; without ``chunk_id`` the one that the file names.

    Raises a `CorruptionError` unless all of it is what was written.
    """
    view = memoryview(content)
    if chunk_id is None:
        chunk_id = named_chunk(view)
    verify_header(bytes(view[:HEADER_BYTES]), chunk_id)
    layout = decode_tail(bytes(view[-TAIL_BYTES:]), chunk_id, len(view))
    footer_offset, manifest_offset = layout.footer_offset, layout.manifest_offset
    verify_footer(chunk_id, layout, (view[footer_offset:-TAIL_BYTES],))
    verify_blocks(
        chunk_id, 0, view[HEADER_BYTES:footer_offset], view[footer_offset:manifest_offset]
    )
    return WholeChunk(chunk_id, layout, content)


def _checksums(chunk_id: ChunkId, blocks: Buffer) -> list[int]:
    seed = chunk_seed(chunk_id)
    view = memoryview(blocks)
    return [
        crc32c(view[number * BLOCK_BYTES : (number + 1) * BLOCK_BYTES], block_seed(seed, number))
        for number in range(block_count(len(view)))
    ]
