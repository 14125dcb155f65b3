"""The large chunks of a node: a file each."""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import closing
from functools import partial

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from twisted_store.core.durability import Durability, DurabilityMode
from twisted_store.core.ids import ChunkId
from twisted_store.core.whole_chunk import decode_whole
from twisted_store.errors import StoreError, TooLargeError
from twisted_store.storage.calls import DiskCalls, Lane, uninterrupted
from twisted_store.storage.directory import ALIVE, READABLE, ChunkDirectory, ChunkState
from twisted_store.storage.disk import Disk
from twisted_store.storage.draft import Draft
from twisted_store.storage.found import found_chunks
from twisted_store.storage.provisional import Provisionals
from twisted_store.storage.reader import OpenChunk, open_chunk, reading
from twisted_store.storage.space import Space
from twisted_store.storage.syncs import Syncs

START_SYNC_SECONDS = 1.0
"""After this the provisional chunks found at start are synced: who wrote them may not have."""

RECLAIM_PER_CALL = 16
"""Removing large files takes long; small calls do not look like one that hangs."""


class ChunkFiles:
    """
    The directory is the truth. In memory are only the provisional and the dead chunks, whose ages
    count from the start of the process, and sums. Changes of state go through one lane, so that no
    two of them meet.
    """

    def __init__(
        self,
        disk: Disk,
        root: str,
        calls: DiskCalls,
        space: Space,
        clock: IReactorTime,
        monotonic: Callable[[], float],
    ) -> None:
        self.directory = ChunkDirectory(disk, root)
        self._calls = calls
        self._space = space
        self._monotonic = monotonic
        self._lane = Lane(calls)
        self.syncs = Syncs(self.directory, calls)
        self._provisional = Provisionals(self.syncs, clock, monotonic)
        self._dead: dict[ChunkId, float] = {}
        self._set_aside: set[ChunkId] = set()

    def load(self) -> Iterator[ChunkId]:
        """See what is there; gives the chunks that are set aside. Blocking."""
        for held in found_chunks(self.directory):
            self._space.used_bytes += held.file_bytes
            if held.state is ChunkState.PROVISIONAL:
                self._provisional.add(held.chunk_id)
                self._provisional.sync_within(START_SYNC_SECONDS)
            elif held.state is ChunkState.QUARANTINED:
                self._set_aside.add(held.chunk_id)
                yield held.chunk_id
            elif held.state is ChunkState.DEAD:
                self._dead[held.chunk_id] = self._monotonic()

    def draft(self, chunk_id: ChunkId) -> Draft:
        """The file of a chunk to be written."""
        return Draft(self.directory, chunk_id)

    def open(self, chunk_id: ChunkId, *, alive_only: bool = False) -> OpenChunk:
        """
        Open a chunk, a dead one until it is reclaimed. Blocking.

        Raises `ChunkNotFoundError`, and `CorruptionError` when it is not what was written.
        """
        states = ALIVE if alive_only else READABLE
        open_file = partial(self.directory.open, chunk_id, states)
        return reading(chunk_id, partial(open_chunk, open_file, chunk_id))

    def read(self, chunk_id: ChunkId, bytes_max: int) -> bytes:
        """The bytes of the file, verified, if they are not more: `TooLargeError`. Blocking."""
        with closing(self.directory.open(chunk_id)) as file:
            size_bytes = file.size_bytes()
            if size_bytes > bytes_max:
                raise TooLargeError(f"Chunk {chunk_id} has no room among {bytes_max} bytes.")
            content = reading(chunk_id, partial(file.read_at, 0, size_bytes))
        decode_whole(content, chunk_id)
        return content

    async def publish(
        self,
        chunk_id: ChunkId,
        durability: Durability,
        is_elsewhere: Callable[[ChunkId], bool],
    ) -> bool:
        """
        A chunk has been written: give it its name, and make that as durable as it shall be.

        Gives what ``is_elsewhere``, which may block, says of it before, or raises that.
        """

        def publish() -> tuple[bool, int]:
            return is_elsewhere(chunk_id), self.directory.publish(chunk_id)

        was_elsewhere, freed_bytes = await self._lane.run(publish)
        self._space.freed(freed_bytes)
        self._dead.pop(chunk_id, None)
        self._set_aside.discard(chunk_id)
        added = self._provisional.add(chunk_id)
        match durability.mode:
            case DurabilityMode.STRICT:
                await self._sync_published(chunk_id)
                self._provisional.synced(added)
            case DurabilityMode.RELAXED:
                self._provisional.sync_within(durability.window_seconds)
            case DurabilityMode.NONE:
                self._provisional.synced(added)
        return was_elsewhere

    async def mark(
        self, confirm: Collection[ChunkId], dead: Collection[ChunkId], durability: Durability
    ) -> tuple[set[ChunkId], set[ChunkId]]:
        """Confirm and bury; those that are confirmed now, and those that are dead."""
        confirmed = await self._confirm(confirm) if confirm else set()
        buried = await self._bury(dead) if dead else set()
        if durability.mode is not DurabilityMode.NONE:
            # All of them: one that was dead before may have been so without a sync.
            await self.syncs.directories(dead)
        return confirmed, buried

    async def quarantine(self, chunk_id: ChunkId) -> bool:
        """Set a damaged chunk aside, durably; whether it was there, and alive."""
        was_there = await self._lane.run(partial(self.directory.quarantine, chunk_id))
        if was_there:
            self._provisional.remove(chunk_id)
            self._set_aside.add(chunk_id)
            await self.syncs.directories([chunk_id])
        return was_there

    async def forget(self, chunk_id: ChunkId) -> None:
        """Remove what is left of a chunk that is not a file any more."""
        known = (self._provisional, self._dead, self._set_aside)
        if any(chunk_id in each for each in known):
            self._space.freed(await self._lane.run(partial(self.directory.forget, chunk_id)))
            self._provisional.remove(chunk_id)
            self._dead.pop(chunk_id, None)
            self._set_aside.discard(chunk_id)

    async def discard(self, chunk_id: ChunkId) -> None:
        """Remove a provisional chunk; `ConflictError` when it is confirmed."""
        self._space.freed(await self._lane.run(partial(self.directory.discard, chunk_id)))
        self._provisional.remove(chunk_id)

    def is_older(self, chunk_id: ChunkId, seconds: float) -> bool:
        """Whether the chunk has been provisional for more than ``seconds``."""
        return self._provisional.is_older(chunk_id, seconds)

    def provisional_older_than(self, seconds: float) -> list[ChunkId]:
        """Those that nobody confirmed for so long, oldest first."""
        return self._provisional.older_than(seconds)

    async def reclaim(self, grace_seconds: float) -> tuple[int, int]:
        """Remove the chunks that have been dead for longer; how many, and the bytes freed."""
        latest = self._monotonic() - grace_seconds
        old = [chunk_id for chunk_id, since in self._dead.items() if since < latest]
        parts = [
            old[start : start + RECLAIM_PER_CALL] for start in range(0, len(old), RECLAIM_PER_CALL)
        ]
        freed = [await uninterrupted(Deferred.fromCoroutine(self._reclaim(part))) for part in parts]
        return len(old), sum(freed)

    async def stop(self) -> None:
        """Sync what is not."""
        await self._provisional.stop()

    async def _sync_published(self, chunk_id: ChunkId) -> None:
        """Sync its name, or take the name back; the writer gives back the space then."""
        try:
            await self.syncs.directories([chunk_id])
        except StoreError:
            await self._lane.run(partial(self.directory.discard, chunk_id))
            self._provisional.remove(chunk_id)
            raise

    async def _confirm(self, chunk_ids: Collection[ChunkId]) -> set[ChunkId]:
        unsyncable = await self._provisional.sync(chunk_ids)
        confirmable = [chunk_id for chunk_id in chunk_ids if chunk_id not in unsyncable]
        confirmed = await self._lane.run(partial(self.directory.confirm, confirmable))
        for chunk_id in confirmed:
            self._provisional.remove(chunk_id)
        return confirmed

    async def _bury(self, chunk_ids: Collection[ChunkId]) -> set[ChunkId]:
        buried = await self._lane.run(partial(self.directory.bury, chunk_ids))
        for chunk_id in buried:
            self._provisional.remove(chunk_id)
            self._set_aside.discard(chunk_id)
            self._dead.setdefault(chunk_id, self._monotonic())
        return buried

    async def _reclaim(self, chunk_ids: Sequence[ChunkId]) -> int:
        freed = await self._calls.run(
            lambda: [self.directory.remove(each, ChunkState.DEAD) for each in chunk_ids]
        )
        for chunk_id in chunk_ids:
            self._dead.pop(chunk_id, None)
        self._space.freed(sum(freed))
        return sum(freed)
