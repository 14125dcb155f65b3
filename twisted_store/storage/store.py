"""The chunk store: what a node holds, and everything that may happen to it."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from twisted_store.core.durability import STRICT, Durability, DurabilityMode
from twisted_store.core.ids import ChunkId
from twisted_store.errors import ConflictError, CorruptionError, StartupError, StoreError
from twisted_store.storage.calls import DiskCalls, Lane, RunBlocking, uninterrupted
from twisted_store.storage.counters import StoreCounters
from twisted_store.storage.directory import ChunkDirectory, ChunkPage, ChunkState
from twisted_store.storage.disk import Disk
from twisted_store.storage.draft import Draft
from twisted_store.storage.found import found_chunks
from twisted_store.storage.identity import IDENTITY_NAME
from twisted_store.storage.provisional import Provisionals
from twisted_store.storage.quarantine import Quarantine
from twisted_store.storage.reader import ChunkReader, open_chunk, reading
from twisted_store.storage.space import Allowance, Space
from twisted_store.storage.syncs import Syncs
from twisted_store.storage.writer import ChunkWriter, StoredChunk

START_SYNC_SECONDS = 1.0
"""After this the provisional chunks found at start are synced: who wrote them may not have."""

RECLAIM_PER_CALL = 16
"""Removing large files takes long; small calls do not look like one that hangs."""


@dataclass(frozen=True, slots=True)
class Missing:
    """Chunks named in marks that are not here in a state that the mark can apply to."""

    confirm: tuple[ChunkId, ...]
    dead: tuple[ChunkId, ...]


class ChunkStore:
    """
    The chunks below ``root``, a directory that a `NodeIdentity` holds. Opening blocks.

    The directory is the truth. In memory are only the provisional and the dead chunks, whose ages
    count from the start of the process, those set aside, and sums. Changes of state go through one
    lane, so that no two of them meet.
    """

    def __init__(
        self,
        disk: Disk,
        root: str,
        run_blocking: RunBlocking,
        clock: IReactorTime,
        monotonic: Callable[[], float],
        *,
        reserve_bytes: int | None = None,
        capacity_bytes_max: int | None = None,
    ) -> None:
        self._disk = disk
        self._root = root
        self._monotonic = monotonic
        self._calls = DiskCalls(run_blocking, monotonic)
        self._lane = Lane(self._calls)
        self._directory = ChunkDirectory(disk, root)
        self._syncs = Syncs(self._directory, self._calls)
        self._provisional = Provisionals(self._syncs, clock, monotonic)
        self._dead: dict[ChunkId, float] = {}
        self._writing: set[ChunkId] = set()
        self._quarantine = Quarantine(
            self._directory, self._calls, self._lane, self._syncs, self._writing, self._set_aside
        )
        self.counters = StoreCounters()
        try:
            self._space = Space(disk.space(root), reserve_bytes, capacity_bytes_max)
            self._load()
        except OSError as error:
            raise StartupError(f"Cannot use the data directory {root}: {error}.") from error

    @property
    def used_bytes(self) -> int:
        """Bytes of all files, dead and unfinished ones included."""
        return self._space.used_bytes

    @property
    def free_bytes(self) -> int:
        """What chunks may still take, as of the last `measure_space` and our own changes since."""
        return self._space.free_bytes

    @property
    def capacity_bytes(self) -> int:
        """What chunks can take in all: the limit, or what they use and what is free."""
        return self._space.capacity_bytes

    @property
    def oldest_call_seconds(self) -> float:
        """Age of the oldest disk call that has not returned."""
        return self._calls.oldest_seconds

    @property
    def last_sync_ok(self) -> bool:
        """Whether the last sync of a file went well, and the last one of a directory."""
        return self._syncs.last_ok

    @property
    def quarantined(self) -> Sequence[ChunkId]:
        """The chunks that are damaged and set aside, in order."""
        return self._quarantine.chunk_ids

    async def measure_space(self) -> None:
        """Ask the disk how much is free: others may use it too."""
        self._space.measured(await self._calls.run(partial(self._disk.space, self._root)))

    def begin(
        self, chunk_id: ChunkId, expected_bytes: int | None, durability: Durability
    ) -> ChunkWriter:
        """A writer for a chunk, with room kept for it, or `NoSpaceError`."""
        if chunk_id in self._writing:
            raise ConflictError(f"Chunk {chunk_id} is being written by another request.")
        allowance = Allowance(self._space, expected_bytes)
        self._writing.add(chunk_id)
        return ChunkWriter(
            chunk_id,
            Draft(self._directory, chunk_id),
            self._calls,
            allowance,
            sync=self._syncs.file if durability.mode is DurabilityMode.STRICT else None,
            publish=partial(self._publish, durability),
            closed=partial(self._writing.discard, chunk_id),
        )

    async def open(self, chunk_id: ChunkId) -> ChunkReader:
        """
        A reader of a chunk, of a dead one until it is reclaimed.

        Damage that it or the reader finds is a `CorruptionError`, and the chunk is set aside.
        """
        verify = partial(open_chunk, partial(self._directory.open, chunk_id), chunk_id)
        suspect = partial(self._quarantine.suspect, chunk_id)
        try:
            chunk = await self._calls.run(
                partial(reading, chunk_id, verify), unwanted=lambda chunk: chunk.close()
            )
        except CorruptionError:
            suspect()
            raise
        self.counters.chunks_opened += 1
        return ChunkReader(chunk, self._calls, self._count_read, suspect)

    async def mark(
        self,
        confirm: Collection[ChunkId] = (),
        dead: Collection[ChunkId] = (),
        durability: Durability = STRICT,
    ) -> Missing:
        """
        Confirm chunks, and make chunks dead; both may be repeated.

        When this returns, what is confirmed is synced itself, and that the dead are dead survives a
        power loss, unless nothing shall be synced at all.
        """
        return await uninterrupted(Deferred.fromCoroutine(self._mark(confirm, dead, durability)))

    async def discard(self, chunk_id: ChunkId) -> None:
        """Remove a provisional chunk at once; `ConflictError` when it is confirmed."""
        await uninterrupted(Deferred.fromCoroutine(self._discard(chunk_id)))

    async def drop(self, chunk_id: ChunkId, older_than_seconds: float) -> None:
        """
        Remove a chunk that has been provisional for longer.

        One that was written again since then, or is being written, stays.
        """
        is_old = self._provisional.is_older(chunk_id, older_than_seconds)
        if is_old and chunk_id not in self._writing:
            await self.discard(chunk_id)

    async def bury_quarantined(self, chunk_ids: Collection[ChunkId]) -> None:
        """Make dead those of them that are still set aside, and are not being written again."""
        quarantined = set(self.quarantined) - self._writing
        await self.mark(dead=[each for each in chunk_ids if each in quarantined])

    def provisional_older_than(self, seconds: float) -> Sequence[ChunkId]:
        """Those that nobody confirmed for so long, oldest first."""
        return self._provisional.older_than(seconds)

    async def reclaim(self, grace_seconds: float) -> int:
        """Remove the chunks that have been dead for longer; the bytes freed."""
        latest = self._monotonic() - grace_seconds
        old = [chunk_id for chunk_id, since in self._dead.items() if since < latest]
        parts = [
            old[start : start + RECLAIM_PER_CALL] for start in range(0, len(old), RECLAIM_PER_CALL)
        ]
        freed = [await uninterrupted(Deferred.fromCoroutine(self._reclaim(part))) for part in parts]
        return sum(freed)

    async def list(self, after: ChunkId | None, limit: int) -> ChunkPage:
        """A page of at least one chunk, if any is left behind ``after``."""
        return await self._calls.run(partial(self._directory.page, after, limit))

    async def stop(self) -> None:
        """Sync what is not; the writers must be done."""
        await self._quarantine.stop()
        await self._provisional.stop()

    def _load(self) -> None:
        if self._disk.size_bytes(f"{self._root}/{IDENTITY_NAME}") is None:
            raise StartupError(f"{self._root} is not a node's data directory.")
        for held in found_chunks(self._directory):
            self._space.used_bytes += held.file_bytes
            if held.state is ChunkState.PROVISIONAL:
                self._provisional.add(held.chunk_id)
                self._provisional.sync_within(START_SYNC_SECONDS)
            elif held.state is ChunkState.QUARANTINED:
                self._quarantine.add(held.chunk_id)
            elif held.state is ChunkState.DEAD:
                self._dead[held.chunk_id] = self._monotonic()

    async def _publish(self, durability: Durability, stored: StoredChunk) -> None:
        """A chunk has been written: give it its name, and make that as durable as it shall be."""
        chunk_id = stored.chunk_id
        self._space.freed(await self._lane.run(partial(self._directory.publish, chunk_id)))
        self._dead.pop(chunk_id, None)
        self._quarantine.forget(chunk_id)
        added = self._provisional.add(chunk_id)
        match durability.mode:
            case DurabilityMode.STRICT:
                await self._sync_published(chunk_id)
                self._provisional.synced(added)
            case DurabilityMode.RELAXED:
                self._provisional.sync_within(durability.window_seconds)
            case DurabilityMode.NONE:
                self._provisional.synced(added)
        self.counters.chunks_written += 1
        self.counters.bytes_written += stored.chunk_bytes

    async def _sync_published(self, chunk_id: ChunkId) -> None:
        """Sync its name, or take the name back; the writer gives back the space then."""
        try:
            await self._syncs.directories([chunk_id])
        except StoreError:
            await self._lane.run(partial(self._directory.discard, chunk_id))
            self._provisional.remove(chunk_id)
            raise

    async def _mark(
        self, confirm: Collection[ChunkId], dead: Collection[ChunkId], durability: Durability
    ) -> Missing:
        confirmed = await self._confirm(confirm) if confirm else set()
        buried = await self._bury(dead) if dead else set()
        if durability.mode is not DurabilityMode.NONE:
            # All of them: one that was dead before may have been so without a sync.
            await self._syncs.directories(dead)
        return Missing(
            tuple(chunk_id for chunk_id in confirm if chunk_id not in confirmed),
            tuple(chunk_id for chunk_id in dead if chunk_id not in buried),
        )

    async def _confirm(self, chunk_ids: Collection[ChunkId]) -> set[ChunkId]:
        unsyncable = await self._provisional.sync(chunk_ids)
        confirmable = [chunk_id for chunk_id in chunk_ids if chunk_id not in unsyncable]
        confirmed = await self._lane.run(partial(self._directory.confirm, confirmable))
        for chunk_id in confirmed:
            self._provisional.remove(chunk_id)
        return confirmed

    async def _bury(self, chunk_ids: Collection[ChunkId]) -> set[ChunkId]:
        buried = await self._lane.run(partial(self._directory.bury, chunk_ids))
        for chunk_id in buried:
            self._provisional.remove(chunk_id)
            self._quarantine.forget(chunk_id)
            self._dead.setdefault(chunk_id, self._monotonic())
        return buried

    async def _discard(self, chunk_id: ChunkId) -> None:
        self._space.freed(await self._lane.run(partial(self._directory.discard, chunk_id)))
        self._provisional.remove(chunk_id)

    async def _reclaim(self, chunk_ids: Sequence[ChunkId]) -> int:
        freed = await self._calls.run(
            lambda: [self._directory.remove(each, ChunkState.DEAD) for each in chunk_ids]
        )
        for chunk_id in chunk_ids:
            self._dead.pop(chunk_id, None)
        self._space.freed(sum(freed))
        self.counters.chunks_reclaimed += len(chunk_ids)
        return sum(freed)

    def _set_aside(self, chunk_id: ChunkId) -> None:
        self._provisional.remove(chunk_id)
        self.counters.chunks_quarantined += 1

    def _count_read(self, size_bytes: int) -> None:
        self.counters.bytes_read += size_bytes
