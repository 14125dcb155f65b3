"""
The file of one chunk: a header, the chunk's bytes, a footer. Big endian; see docs/formats.md.

The footer is the checksums of the chunk's blocks, the manifest of its object, and a tail of fixed
length. A file without a sound header and a sound footer holds no chunk: `FormatError` says that it
does not have the form, `ChecksumError` that its bytes are not what was written.
"""

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from twisted_store.core.checksums import (
    BLOCK_BYTES,
    Buffer,
    block_count,
    block_seed,
    chunk_seed,
    crc32c,
)
from twisted_store.core.frames import MANIFEST_BYTES_MAX
from twisted_store.core.ids import PACKED_BYTES, ChunkId
from twisted_store.errors import ChecksumError, FormatError

VERSION = 1

# Magic, version, bytes of a block, chunk id, zeros; then the CRC32C of all these.
_HEADER = struct.Struct(">8sII17s27x")
_HEADER_MAGIC = b"\x89tschunk"
_PACKED_OFFSET = 16

# Bytes of the chunk, bytes of the manifest, number of checksums.
_LENGTHS = struct.Struct(">QQQ")
# The lengths, CRC32C over the footer, version, magic.
_TAIL = struct.Struct(">24sII8s")
_TAIL_MAGIC = b"\x89tschend"

_CHECKSUM = struct.Struct(">I")

HEADER_BYTES = _HEADER.size + _CHECKSUM.size
"""Where the chunk's bytes begin."""

CHECKSUM_BYTES = _CHECKSUM.size

TAIL_BYTES = _TAIL.size


@dataclass(frozen=True, slots=True)
class ChunkLayout:
    """What the tail tells: where everything lies in the file, and the checksum of the footer."""

    chunk_bytes: int
    manifest_bytes: int
    footer_checksum: int

    @property
    def footer_offset(self) -> int:
        """Where the chunk's bytes end and the checksums begin."""
        return HEADER_BYTES + self.chunk_bytes

    @property
    def manifest_offset(self) -> int:
        """Where the checksums end and the manifest begins."""
        return self.footer_offset + CHECKSUM_BYTES * block_count(self.chunk_bytes)

    @property
    def file_bytes(self) -> int:
        """The length of the file."""
        return self.manifest_offset + self.manifest_bytes + TAIL_BYTES


def encode_header(chunk_id: ChunkId) -> bytes:
    """The `HEADER_BYTES` bytes before those of the chunk."""
    fields = _HEADER.pack(_HEADER_MAGIC, VERSION, BLOCK_BYTES, chunk_id.packed)
    return fields + _CHECKSUM.pack(crc32c(fields))


def named_chunk(raw: Buffer) -> ChunkId:
    """Which chunk a file that begins with ``raw`` names; `verify_header` tells whether it is so."""
    packed = memoryview(raw)[_PACKED_OFFSET : _PACKED_OFFSET + PACKED_BYTES]
    return ChunkId.unpack(packed)


def verify_header(raw: bytes, chunk_id: ChunkId) -> None:
    """Raise unless ``raw`` is the header of that chunk's file."""
    if len(raw) != HEADER_BYTES:
        raise FormatError(f"The file of chunk {chunk_id} ends within its header.")
    magic, version, block_bytes, packed = _HEADER.unpack_from(raw)
    if magic != _HEADER_MAGIC:
        raise FormatError(f"The file of chunk {chunk_id} is not a chunk file.")
    if raw[_HEADER.size :] != _CHECKSUM.pack(crc32c(raw[: _HEADER.size])):
        raise ChecksumError(f"The header of chunk {chunk_id} is damaged.")
    if (version, block_bytes) != (VERSION, BLOCK_BYTES):
        raise FormatError(
            f"The file of chunk {chunk_id} has version {version} and blocks of {block_bytes} bytes."
        )
    if packed != chunk_id.packed:
        raise FormatError(f"The file of chunk {chunk_id} holds another chunk, {packed.hex()}.")


def encode_footer(
    chunk_id: ChunkId, chunk_bytes: int, checksums: Buffer, manifest: bytes
) -> tuple[Buffer, ...]:
    """What follows the chunk's bytes; ``checksums`` as `pack_checksums` gives them."""
    count = block_count(chunk_bytes)
    if len(checksums) != CHECKSUM_BYTES * count:
        raise FormatError(f"Chunk {chunk_id} of {chunk_bytes} bytes needs {count} checksums.")
    if len(manifest) > MANIFEST_BYTES_MAX:
        raise FormatError(f"The manifest of chunk {chunk_id} has {len(manifest)} bytes.")
    lengths = _LENGTHS.pack(chunk_bytes, len(manifest), count)
    checksum = _footer_checksum(chunk_id, [checksums, manifest], lengths)
    return checksums, manifest, _TAIL.pack(lengths, checksum, VERSION, _TAIL_MAGIC)


def decode_tail(raw: bytes, chunk_id: ChunkId, file_bytes: int) -> ChunkLayout:
    """The layout of a file of ``file_bytes`` whose last `TAIL_BYTES` bytes are ``raw``."""
    if len(raw) != TAIL_BYTES:
        raise FormatError(f"The file of chunk {chunk_id} is too short for a footer.")
    lengths, checksum, version, magic = _TAIL.unpack(raw)
    if (magic, version) != (_TAIL_MAGIC, VERSION):
        raise FormatError(f"The file of chunk {chunk_id} has no footer.")
    chunk_bytes, manifest_bytes, count = _LENGTHS.unpack(lengths)
    layout = ChunkLayout(chunk_bytes, manifest_bytes, checksum)
    if layout.file_bytes != file_bytes or count != block_count(chunk_bytes):
        raise FormatError(f"The footer of chunk {chunk_id} does not fit {file_bytes} bytes.")
    if manifest_bytes > MANIFEST_BYTES_MAX:
        raise FormatError(f"The manifest of chunk {chunk_id} has {manifest_bytes} bytes.")
    return layout


def verify_footer(chunk_id: ChunkId, layout: ChunkLayout, pieces: Iterable[Buffer]) -> None:
    """Raise unless ``pieces``, the checksums and the manifest end to end, are what was written."""
    count = block_count(layout.chunk_bytes)
    lengths = _LENGTHS.pack(layout.chunk_bytes, layout.manifest_bytes, count)
    if _footer_checksum(chunk_id, pieces, lengths) != layout.footer_checksum:
        raise ChecksumError(f"The footer of chunk {chunk_id} is damaged.")


def pack_checksums(checksums: Sequence[int]) -> bytes:
    """Block checksums as they stand in the footer."""
    return struct.pack(f">{len(checksums)}I", *checksums)


def unpack_checksums(packed: Buffer) -> tuple[int, ...]:
    """Block checksums from how they stand in the footer."""
    return struct.unpack(f">{len(packed) // CHECKSUM_BYTES}I", packed)


def verify_blocks(
    chunk_id: ChunkId, first_block: int, blocks: Buffer, packed_checksums: Buffer
) -> tuple[int, ...]:
    """The checksums of ``blocks``; raise `ChecksumError` when one of them is not the block's."""
    count = block_count(len(blocks))
    if len(packed_checksums) != CHECKSUM_BYTES * count:
        raise FormatError(f"{count} blocks of chunk {chunk_id} lack checksums.")
    view = memoryview(blocks)
    checksums = unpack_checksums(packed_checksums)
    seed = chunk_seed(chunk_id)
    for position, checksum in enumerate(checksums):
        start = position * BLOCK_BYTES
        block = view[start : start + BLOCK_BYTES]
        if crc32c(block, block_seed(seed, first_block + position)) != checksum:
            raise ChecksumError(f"Block {first_block + position} of chunk {chunk_id} is damaged.")
    return checksums


def _footer_checksum(chunk_id: ChunkId, pieces: Iterable[Buffer], lengths: bytes) -> int:
    """CRC32C of the chunk id, checksums, manifest and lengths, end to end."""
    value = crc32c(chunk_id.packed)
    for piece in pieces:
        value = crc32c(piece, value)
    return crc32c(lengths, value)
