"""What a node finds on its disk when it starts, without what a power loss tore."""

from collections.abc import Iterator
from contextlib import closing
from functools import partial

from twisted.logger import Logger

from twisted_store.errors import CorruptionError
from twisted_store.storage.directory import ChunkDirectory, ChunkState, HeldChunk
from twisted_store.storage.reader import open_chunk

log = Logger()


def found_chunks(directory: ChunkDirectory) -> Iterator[HeldChunk]:
    """
    All chunks, each once; blocking.

    Removed are provisional ones that are not whole, and what was set aside of a chunk that has been
    written again.
    """
    set_aside = []
    for held in directory.load():
        if held.state is ChunkState.QUARANTINED:
            set_aside.append(held)
        elif held.state is ChunkState.PROVISIONAL and not _is_whole(directory, held):
            directory.remove(held.chunk_id, held.state)
            log.warn("unfinished chunk {chunk_id} removed", chunk_id=held.chunk_id)
        else:
            yield held
    for held in set_aside:
        if directory.is_alive(held.chunk_id):
            directory.remove(held.chunk_id, held.state)
        else:
            yield held


def _is_whole(directory: ChunkDirectory, held: HeldChunk) -> bool:
    """Whether the chunk is in the file, every block: a power loss may have taken any part."""
    path = directory.path(held.chunk_id, held.state)
    try:
        with closing(open_chunk(partial(directory.disk.open, path), held.chunk_id)) as chunk:
            chunk.verify()
    except CorruptionError:
        return False
    except OSError:
        log.failure("chunk {chunk_id} cannot be read", chunk_id=held.chunk_id)
    return True
