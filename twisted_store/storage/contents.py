"""What stands in a node's data directory, seen from outside: nothing is changed."""

from contextlib import closing, suppress
from pathlib import Path
from typing import NamedTuple

from twisted_store.core.ids import ChunkId
from twisted_store.core.volume import NeedleState
from twisted_store.database import open_in_memory
from twisted_store.storage.directory import ChunkDirectory, ChunkState
from twisted_store.storage.disk import Disk
from twisted_store.storage.index import Index
from twisted_store.storage.recovery import Replay
from twisted_store.storage.volumes import Volumes
from twisted_store.storage.witness import Damage

LOOKS_MAX = 10
"""So often the volumes of a node that runs are looked through until none of them goes away."""


class FoundChunk(NamedTuple):
    """A chunk, and which bytes of which file are its whole content."""

    state: ChunkState
    path: str
    offset: int
    size_bytes: int

    @property
    def is_needle(self) -> bool:
        """Whether it is one of many in that file."""
        return self.offset > 0

    def content(self, disk: Disk) -> bytes:
        """All bytes of it, as they stand there now."""
        with closing(disk.open(self.path)) as file:
            return file.read_at(self.offset, self.size_bytes)


def chunks_in(disk: Disk, root: str) -> dict[ChunkId, FoundChunk]:
    """
    All chunks below ``root``, dead ones included until their bytes are gone.

    Of one that is there in several states, as a node's crash may leave it, the first to be read
    counts. What a node that runs writes meanwhile may be missing.
    """
    found: dict[ChunkId, FoundChunk] = {}
    directory = ChunkDirectory(disk, root)
    for held in sorted(directory.look(), key=lambda held: [*ChunkState].index(held.state)):
        path = directory.path(held.chunk_id, held.state)
        found.setdefault(held.chunk_id, FoundChunk(held.state, path, 0, held.file_bytes))
    for _ in range(LOOKS_MAX - 1):
        # A volume that is compacted meanwhile is looked for in vain.
        with suppress(FileNotFoundError):
            return found | _needles_in(disk, root)
    return found | _needles_in(disk, root)


class _Nobody:
    """Needs to hear nothing."""

    def has_read(self, done_bytes: int, all_bytes: int) -> None:
        """So much of all is read."""

    def found(self, damage: Damage) -> None:
        """Something is damaged."""


def _needles_in(disk: Disk, root: str) -> dict[ChunkId, FoundChunk]:
    volumes = Volumes(disk, root)
    try:
        volumes.look()
    except FileNotFoundError:
        return {}
    index = Index(open_in_memory, Path())
    Replay(volumes, index, _Nobody()).run()
    found = {}
    for packed, row in index.page(None, index.rows):
        if row.state is not NeedleState.GONE:
            state, path = ChunkState[row.state.name], volumes.file_path(row.volume)
            found[ChunkId.unpack(packed)] = FoundChunk(state, path, row.offset, row.size_bytes)
    index.close()
    return found
