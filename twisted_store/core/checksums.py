"""
Checksums of chunk blocks: CRC32C (RFC 3720 section 12.1) with the block's identity folded in.

A block that is intact but belongs to another chunk or another place in its chunk therefore fails
like a damaged one.
"""

import struct

from crc32c import crc32c as _crc32c

from twisted_store.core.ids import ChunkId

BLOCK_BYTES = 64 * 1024

Buffer = bytes | bytearray | memoryview
"""What holds bytes; passed on without a copy wherever it goes."""


_BLOCK_NUMBER = struct.Struct(">I")


def crc32c(buffer: Buffer, value: int = 0) -> int:
    """CRC32C of ``buffer``, going on from ``value``."""
    return _crc32c(buffer, value)


def chunk_seed(chunk_id: ChunkId) -> int:
    """What the seeds of the chunk's blocks start from."""
    return _crc32c(chunk_id.packed)


def block_seed(chunk_seed: int, block_number: int) -> int:
    """What the checksum of that block starts from."""
    return _crc32c(_BLOCK_NUMBER.pack(block_number), chunk_seed)


def block_checksum(chunk_id: ChunkId, block_number: int, *buffers: Buffer) -> int:
    """The checksum of the block whose bytes are ``buffers``, end to end."""
    value = block_seed(chunk_seed(chunk_id), block_number)
    for buffer in buffers:
        value = _crc32c(buffer, value)
    return value


def block_count(size_bytes: int) -> int:
    """How many blocks a chunk of ``size_bytes`` has; none for an empty one."""
    return -(-size_bytes // BLOCK_BYTES)
