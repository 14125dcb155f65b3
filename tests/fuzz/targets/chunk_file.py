"""Chunk files, read as a node does: header, tail, footer, blocks."""

import struct

from tests.fuzz.target import Target
from twisted_store.core.checksums import BLOCK_BYTES, block_checksum, crc32c
from twisted_store.core.chunk_file import (
    CHECKSUM_BYTES,
    HEADER_BYTES,
    TAIL_BYTES,
    decode_tail,
    encode_footer,
    encode_header,
    pack_checksums,
    verify_blocks,
    verify_footer,
    verify_header,
)
from twisted_store.core.frames import MANIFEST_BYTES_MAX
from twisted_store.core.ids import ChunkId, object_id
from twisted_store.errors import ChecksumError, FormatError

CHUNK = ChunkId(object_id(1, 2, 3), 4)

_CHECKSUM = struct.Struct(">I")
_LENGTHS = struct.Struct(">QQQ")
_CHUNK_BYTES = struct.Struct(">Q")
_RESERVED = slice(33, 60)
"""Zeros in a header, which nobody looks at."""


def encode(chunk: bytes, manifest: bytes) -> bytes:
    """A whole file."""
    blocks = [chunk[start : start + BLOCK_BYTES] for start in range(0, len(chunk), BLOCK_BYTES)]
    checksums = [block_checksum(CHUNK, number, block) for number, block in enumerate(blocks)]
    footer = encode_footer(CHUNK, len(chunk), pack_checksums(checksums), manifest)
    return encode_header(CHUNK) + chunk + b"".join(footer)


def take(raw: bytes) -> str:
    """Read all of a file; it must be the one that its content makes."""
    verify_header(raw[:HEADER_BYTES], CHUNK)
    layout = decode_tail(raw[-TAIL_BYTES:], CHUNK, len(raw))
    checksums = raw[layout.footer_offset : layout.manifest_offset]
    manifest = raw[layout.manifest_offset : -TAIL_BYTES]
    verify_footer(CHUNK, layout, [checksums, manifest])
    chunk = raw[HEADER_BYTES : layout.footer_offset]
    verify_blocks(CHUNK, 0, chunk, checksums)
    made = encode(chunk, manifest)
    assert (made[HEADER_BYTES:], layout.file_bytes) == (raw[HEADER_BYTES:], len(raw))
    assert made[: _RESERVED.start] == raw[: _RESERVED.start]
    assert (layout.chunk_bytes, layout.manifest_bytes) == (len(chunk), len(manifest))
    return f"{len(checksums) // CHECKSUM_BYTES} blocks, manifest {bool(manifest)}"


def repair(raw: bytes) -> bytes:
    """The header's checksum, and a footer: one that fits, or the one that is there as it is."""
    if len(raw) < HEADER_BYTES + TAIL_BYTES:
        return raw
    fields = raw[: HEADER_BYTES - CHECKSUM_BYTES]
    header = fields + _CHECKSUM.pack(crc32c(fields))
    body, tail = raw[HEADER_BYTES:-TAIL_BYTES], raw[-TAIL_BYTES:]
    return header + (_sealed(body, tail) if len(raw) % 2 else _fitted(body, tail))


def _sealed(body: bytes, tail: bytes) -> bytes:
    """The footer with the checksum that its lengths ask for, be they right or not."""
    lengths, (chunk_bytes,) = tail[: _LENGTHS.size], _CHUNK_BYTES.unpack_from(tail)
    checksum = crc32c(lengths, crc32c(body[chunk_bytes:], crc32c(CHUNK.packed)))
    after = tail[_LENGTHS.size + CHECKSUM_BYTES :]
    return body + lengths + _CHECKSUM.pack(checksum) + after


def _fitted(body: bytes, tail: bytes) -> bytes:
    """A sound footer for these bytes, with the manifest as long as it was said to be."""
    manifest_bytes = min(_LENGTHS.unpack_from(tail)[1], len(body), MANIFEST_BYTES_MAX)
    room = len(body) - manifest_bytes
    chunk_bytes = max(0, room - CHECKSUM_BYTES * -(-room // (BLOCK_BYTES + CHECKSUM_BYTES)))
    manifest = body[len(body) - manifest_bytes :]
    return encode(body[:chunk_bytes], manifest)[HEADER_BYTES:]


TARGET = Target(
    samples=[
        encode(b"", b""),
        encode(b"content", b"{}"),
        encode(bytes(BLOCK_BYTES), b"{}"),
        encode(bytes(range(256)) * 600, b'{"name":"a manifest"}'),
    ],
    take=take,
    errors=(ChecksumError, FormatError),
    repair=repair,
)
