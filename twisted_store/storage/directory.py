"""
The directory of chunks: `chunks/SHARD/OBJECT_ID-INDEX.STATE`, the only truth about what is held.

All blocking. A chunk changes state by a rename within its directory: whatever a power loss takes
of it, the chunk is there under the old name or the new one. States only go forward, so a search in
their order finds a chunk that changes meanwhile, unless it is set aside.
"""

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from threading import Lock

from twisted_store.core.ids import ChunkId
from twisted_store.errors import BadRequestError, ChunkNotFoundError, ConflictError
from twisted_store.storage.disk import DirectoryEntry, Disk, DiskFile

SHARD_DIGITS = 2
"""So many of the last digits of the object id, which are random, name the directory."""

_SHARD = re.compile(rf"[0-9a-f]{{{SHARD_DIGITS}}}")
_INCOMING = "incoming"


class ChunkState(Enum):
    """The life of a chunk, in its order; the value is the end of its file's name."""

    PROVISIONAL = "provisional"
    CONFIRMED = "confirmed"
    QUARANTINED = "quarantined"
    DEAD = "dead"


ALIVE = (ChunkState.PROVISIONAL, ChunkState.CONFIRMED)
"""What a file may be made of."""

READABLE = (*ALIVE, ChunkState.DEAD)
"""What is sent to who asks: never a chunk that is known to be damaged."""


@dataclass(frozen=True, slots=True)
class HeldChunk:
    """A chunk that the directory holds, and the bytes of its file."""

    chunk_id: ChunkId
    state: ChunkState
    file_bytes: int

    @property
    def is_confirmed(self) -> bool:
        """Whether its object is committed, for all that is known here."""
        return self.state is ChunkState.CONFIRMED


@dataclass(frozen=True, slots=True)
class ChunkPage:
    """Some chunks in order of (shard, id), and after which one to go on; None at the end."""

    chunks: tuple[HeldChunk, ...]
    next_after: ChunkId | None


class ChunkDirectory:
    """The files of the chunks below ``root``."""

    def __init__(self, disk: Disk, root: str) -> None:
        self.disk = disk
        self._root = root
        self._path = f"{root}/chunks"
        self._shards: set[str] = set()
        self._making_shard = Lock()

    def path(self, chunk_id: ChunkId, state: ChunkState) -> str:
        """The file of a chunk in that state."""
        return f"{self._path}/{_shard(chunk_id)}/{chunk_id}.{state.value}"

    def load(self) -> Iterator[HeldChunk]:
        """At start: all chunks; what was being written is removed."""
        self.disk.make_directory(self._path)
        self.disk.sync_directory(self._root)
        # Found ones may have been made just before the last process was killed.
        self.disk.sync_directory(self._path)
        names = [entry.name for entry in self.disk.entries(self._path)]
        self._shards.update(name for name in names if _SHARD.fullmatch(name))
        for shard in sorted(self._shards):
            yield from self._load_shard(f"{self._path}/{shard}")

    def look(self) -> Iterator[HeldChunk]:
        """All chunks, and nothing is changed."""
        if self.disk.size_bytes(self._path) is not None:
            for entry in self.disk.entries(self._path):
                if _SHARD.fullmatch(entry.name):
                    yield from _chunks(self.disk.entries(f"{self._path}/{entry.name}"))

    def create_incoming(self, chunk_id: ChunkId) -> DiskFile:
        """A new file for a chunk to be written."""
        self._make_shard(_shard(chunk_id))
        return self.disk.create(self._incoming_path(chunk_id))

    def remove_incoming(self, chunk_id: ChunkId) -> None:
        """Remove the file of a chunk that was being written."""
        self.disk.remove(self._incoming_path(chunk_id))

    def sync(self, shard: str) -> None:
        """Make the names in a shard survive a power loss; there are none in one never made."""
        if shard in self._shards:
            self.disk.sync_directory(f"{self._path}/{shard}")

    def page(self, after: ChunkId | None, limit: int) -> ChunkPage:
        """At most ``limit`` chunks, beginning behind ``after``."""
        first = _shard(after) if after is not None else ""
        found: list[HeldChunk] = []
        for shard in sorted(self._shards):
            if shard < first:
                continue
            entries = self.disk.entries(f"{self._path}/{shard}")
            found += sorted(_chunks(entries), key=order)
            if after is not None and shard == first:
                del found[: bisect_right(found, (shard, after), key=order)]
            if len(found) > limit:
                return ChunkPage(tuple(found[:limit]), found[limit - 1].chunk_id)
        return ChunkPage(tuple(found), None)

    def open(self, chunk_id: ChunkId, states: Iterable[ChunkState] = READABLE) -> DiskFile:
        """The file of a chunk in one of these states, or `ChunkNotFoundError`."""
        for state in states:
            with suppress(FileNotFoundError):
                return self.disk.open(self.path(chunk_id, state))
        raise ChunkNotFoundError(f"Chunk {chunk_id} is not here.")

    def check_replaceable(self, chunk_id: ChunkId) -> None:
        """Raise `ConflictError` when the chunk is confirmed."""
        if (
            _shard(chunk_id) in self._shards
            and self._size(chunk_id, ChunkState.CONFIRMED) is not None
        ):
            raise ConflictError(f"Chunk {chunk_id} is confirmed and cannot be written again.")

    def publish(self, chunk_id: ChunkId) -> int:
        """
        Make a chunk that is wholly written provisional; the bytes of older files replaced by it.

        A chunk whose object is committed is never replaced: `ConflictError`.
        """
        self.check_replaceable(chunk_id)
        freed_bytes = self.remove(chunk_id, ChunkState.QUARANTINED)
        freed_bytes += self.remove(chunk_id, ChunkState.DEAD)
        freed_bytes += self._size(chunk_id, ChunkState.PROVISIONAL) or 0
        target = self.path(chunk_id, ChunkState.PROVISIONAL)
        self.disk.rename(self._incoming_path(chunk_id), target)
        return freed_bytes

    def confirm(self, chunk_ids: Iterable[ChunkId]) -> set[ChunkId]:
        """Make the provisional ones of them confirmed; those that are so now."""
        confirmed = set()
        for chunk_id in chunk_ids:
            here = self._move(chunk_id, ChunkState.PROVISIONAL, ChunkState.CONFIRMED)
            if here or self._size(chunk_id, ChunkState.CONFIRMED) is not None:
                confirmed.add(chunk_id)
        return confirmed

    def quarantine(self, chunk_id: ChunkId) -> bool:
        """Set a damaged chunk aside; whether it was there, and alive."""
        return any(self._move(chunk_id, state, ChunkState.QUARANTINED) for state in ALIVE)

    def is_alive(self, chunk_id: ChunkId) -> bool:
        """Whether the chunk is there, provisional or confirmed."""
        return any(self._size(chunk_id, state) is not None for state in ALIVE)

    def bury(self, chunk_ids: Iterable[ChunkId]) -> set[ChunkId]:
        """Make all of them dead; those that are so now."""
        dead = set()
        for chunk_id in chunk_ids:
            here = [
                self._move(chunk_id, state, ChunkState.DEAD)
                for state in (*ALIVE, ChunkState.QUARANTINED)
            ]
            if any(here) or self._size(chunk_id, ChunkState.DEAD) is not None:
                dead.add(chunk_id)
        return dead

    def forget(self, chunk_id: ChunkId) -> int:
        """Remove all but a confirmed one; the bytes freed."""
        states = (ChunkState.PROVISIONAL, ChunkState.QUARANTINED, ChunkState.DEAD)
        return sum(self.remove(chunk_id, state) for state in states)

    def discard(self, chunk_id: ChunkId) -> int:
        """Remove a provisional chunk; the bytes freed. `ConflictError` when it is confirmed."""
        if self._size(chunk_id, ChunkState.CONFIRMED) is not None:
            raise ConflictError(f"Chunk {chunk_id} is confirmed: only a dead mark ends it.")
        return self.remove(chunk_id, ChunkState.PROVISIONAL)

    def remove(self, chunk_id: ChunkId, state: ChunkState) -> int:
        """Remove the file if it is there; the bytes freed."""
        size_bytes = self._size(chunk_id, state)
        if size_bytes is None:
            return 0
        with suppress(FileNotFoundError):
            self.disk.remove(self.path(chunk_id, state))
        return size_bytes

    def _incoming_path(self, chunk_id: ChunkId) -> str:
        return f"{self._path}/{_shard(chunk_id)}/{chunk_id}.{_INCOMING}"

    def _make_shard(self, shard: str) -> None:
        """Nobody puts a chunk into a directory that a power loss could still take."""
        if shard not in self._shards:
            with self._making_shard:
                self.disk.make_directory(f"{self._path}/{shard}")
                self.disk.sync_directory(self._path)
                self._shards.add(shard)

    def _load_shard(self, path: str) -> Iterator[HeldChunk]:
        entries = self.disk.entries(path)
        for entry in entries:
            if entry.name.endswith(f".{_INCOMING}"):
                self.disk.remove(f"{path}/{entry.name}")
        yield from _chunks(entries)

    def _size(self, chunk_id: ChunkId, state: ChunkState) -> int | None:
        return self.disk.size_bytes(self.path(chunk_id, state))

    def _move(self, chunk_id: ChunkId, old: ChunkState, new: ChunkState) -> bool:
        try:
            self.disk.rename(self.path(chunk_id, old), self.path(chunk_id, new))
        except FileNotFoundError:
            return False
        return True


def _chunks(entries: Iterable[DirectoryEntry]) -> Iterator[HeldChunk]:
    """Leaves out foreign files and those being written."""
    for entry in entries:
        name, _, state = entry.name.partition(".")
        with suppress(BadRequestError, ValueError):
            yield HeldChunk(ChunkId.parse(name), ChunkState(state), entry.size_bytes)


def shards_of(chunk_ids: Iterable[ChunkId]) -> tuple[str, ...]:
    """Which directories these chunks are in, each once."""
    return tuple(dict.fromkeys(map(_shard, chunk_ids)))


def _shard(chunk_id: ChunkId) -> str:
    return chunk_id.object_id[-SHARD_DIGITS:]


def order(chunk: HeldChunk) -> tuple[str, ChunkId]:
    """Where a chunk stands in a list: shard by shard."""
    return _shard(chunk.chunk_id), chunk.chunk_id
