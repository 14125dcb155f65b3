"""Damage to a disk, by the terms of the store instead of its formats."""

from contextlib import closing

from twisted_store.core.chunk_file import HEADER_BYTES, TAIL_BYTES, decode_tail
from twisted_store.core.ids import ChunkId
from twisted_store.storage.contents import chunks_in
from twisted_store.storage.disk import Disk


def flip_bits(disk: Disk, root: str, chunk_id: ChunkId, position: int, mask: int) -> None:
    """
    Flip the bits of ``mask`` in the byte at ``position`` of a chunk of the node at ``root``.

    Raises KeyError when the chunk
    is not there, ValueError when it has no such byte or ``mask`` flips nothing.
    """
    found = chunks_in(disk, root).get(chunk_id)
    if found is None:
        raise KeyError(f"chunk {chunk_id} is not on this disk")
    with closing(disk.reopen(found.path)) as file:
        end = found.offset + found.size_bytes
        tail = file.read_at(end - TAIL_BYTES, TAIL_BYTES)
        chunk_bytes = decode_tail(tail, chunk_id, found.size_bytes).chunk_bytes
        if position not in range(chunk_bytes) or mask not in range(1, 256):
            raise ValueError(f"no bits {mask:#x} at {position} in a chunk of {chunk_bytes} bytes")
        [byte] = file.read_at(found.offset + HEADER_BYTES + position, 1)
        file.write_at(found.offset + HEADER_BYTES + position, [bytes([byte ^ mask])])
