"""Damage to a disk, by the terms of the store instead of its formats."""

from contextlib import closing

from twisted_store.core.chunk_file import HEADER_BYTES, TAIL_BYTES, decode_tail
from twisted_store.core.ids import ChunkId
from twisted_store.errors import ChunkNotFoundError
from twisted_store.storage.directory import ChunkDirectory
from twisted_store.storage.disk import Disk


def flip_bits(disk: Disk, root: str, chunk_id: ChunkId, position: int, mask: int) -> None:
    """
    Flip the bits of ``mask`` in the byte at ``position`` of a chunk of the node at ``root``.

    The files of ``disk`` must be writable however they were opened. Raises KeyError when the chunk
    is not there, ValueError when it has no such byte or ``mask`` flips nothing.
    """
    try:
        opened = ChunkDirectory(disk, root).open(chunk_id)
    except (ChunkNotFoundError, FileNotFoundError) as error:
        raise KeyError(f"chunk {chunk_id} is not on this disk") from error
    with closing(opened) as file:
        size_bytes = file.size_bytes()
        tail = file.read_at(size_bytes - TAIL_BYTES, TAIL_BYTES)
        chunk_bytes = decode_tail(tail, chunk_id, size_bytes).chunk_bytes
        if position not in range(chunk_bytes) or mask not in range(1, 256):
            raise ValueError(f"no bits {mask:#x} at {position} in a chunk of {chunk_bytes} bytes")
        [byte] = file.read_at(HEADER_BYTES + position, 1)
        file.write_at(HEADER_BYTES + position, [bytes([byte ^ mask])])
