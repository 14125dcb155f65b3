"""The chunk store: what a node holds, and everything that may happen to it."""

from collections.abc import Callable, Collection, Sequence
from functools import partial
from random import Random

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from twisted_store.core.durability import STRICT, Durability, DurabilityMode
from twisted_store.core.ids import ChunkId
from twisted_store.core.peer import Missing
from twisted_store.core.whole_chunk import WholeChunk
from twisted_store.database import DatabaseOpener
from twisted_store.errors import CorruptionError, StartupError, StoreError
from twisted_store.storage.calls import DiskCalls, RunBlocking, uninterrupted
from twisted_store.storage.chunks import Chunks
from twisted_store.storage.compaction import Compaction
from twisted_store.storage.counters import StoreCounters
from twisted_store.storage.directory import ChunkPage
from twisted_store.storage.disk import Disk
from twisted_store.storage.files import ChunkFiles
from twisted_store.storage.identity import IDENTITY_NAME
from twisted_store.storage.limits import StoreLimits
from twisted_store.storage.needles import Needles
from twisted_store.storage.quarantine import Quarantine
from twisted_store.storage.reader import ChunkReader, OpenChunk
from twisted_store.storage.recovery import open_log
from twisted_store.storage.space import Allowance, Space
from twisted_store.storage.whole import Found, Outcomes, being_written, put_at_once, put_each
from twisted_store.storage.witness import LogWitness
from twisted_store.storage.writer import ChunkWriter, SmallChunks, StoredChunk


class ChunkStore:
    """
    The chunks below ``root``, a directory that a `NodeIdentity` holds. Opening blocks.

    Small ones are needles, large ones files.
    """

    def __init__(
        self,
        disk: Disk,
        root: str,
        run_blocking: RunBlocking,
        open_database: DatabaseOpener,
        clock: IReactorTime,
        monotonic: Callable[[], float],
        random: Random,
        limits: StoreLimits,
    ) -> None:
        self._measure = partial(disk.space, root)
        self._limits = limits
        self._calls = DiskCalls(run_blocking, monotonic)
        self._writing: set[ChunkId] = set()
        self.counters = StoreCounters()
        self._quarantine = Quarantine(self._reopen, self._set_aside, self._calls, self._writing)
        try:
            self._space = Space(self._measure(), limits.reserve_bytes, limits.capacity_bytes_max)
            if disk.size_bytes(f"{root}/{IDENTITY_NAME}") is None:
                raise StartupError(f"{root} is not a node's data directory.")
            self._files = ChunkFiles(disk, root, self._calls, self._space, clock, monotonic)
            self._quarantine.add(self._files.load())
            witness = LogWitness(monotonic)
            log = open_log(disk, root, open_database, random, limits.volume_bytes_max, witness)
        except OSError as error:
            raise StartupError(f"Cannot use the data directory {root}: {error}.") from error
        self._needles = Needles(log, self._calls, self._space, clock, monotonic)
        self._quarantine.add(self._needles.quarantined())
        self._compaction = Compaction(log, monotonic)
        self._chunks = Chunks(self._files, self._needles)

    @property
    def used_bytes(self) -> int:
        """Bytes of all files, those of dead and unfinished chunks included."""
        return self._space.used_bytes

    @property
    def needed_bytes(self) -> int:
        """The same without the garbage of volumes, which is taken for free: it comes back."""
        return self._space.used_bytes - self._needles.garbage_bytes

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
    def problem(self) -> str:
        """What is wrong with the disk, as far as it was tried; empty when it is well."""
        return self._chunks.problem

    @property
    def quarantined(self) -> Sequence[ChunkId]:
        """The chunks that are damaged and set aside, in order."""
        return self._quarantine.chunk_ids

    async def measure_space(self) -> None:
        """Ask the disk how much is free: others may use it too."""
        self._space.measured(await self._calls.run(self._measure))

    def begin(
        self, chunk_id: ChunkId, expected_bytes: int | None, durability: Durability
    ) -> ChunkWriter:
        """A writer for a chunk, with room kept for it, or `NoSpaceError`."""
        return self._begin(chunk_id, expected_bytes, durability, self._limits.needle_bytes_max)

    async def try_disk(self, chunk_id: ChunkId) -> None:
        """Write a chunk, as file and as needle, and remove it again; raises what fails."""
        for needle_bytes_max in (0, 1):
            writer = self._begin(chunk_id, None, STRICT, needle_bytes_max)
            try:
                await writer.finish(b"trial")
            finally:
                await writer.abort()
            await self.discard(chunk_id)

    async def put_whole(self, chunks: Sequence[WholeChunk], durability: Durability) -> Outcomes:
        """Store chunks, provisionally, all at once; for each None, or why it is not stored."""
        if all(chunk.chunk_bytes < self._limits.needle_bytes_max for chunk in chunks):
            return await uninterrupted(Deferred.fromCoroutine(self._put(chunks, durability)))
        return await put_each(self.begin, chunks, durability)

    async def open(self, chunk_id: ChunkId) -> ChunkReader:
        """
        A reader of a chunk, of a dead one until it is reclaimed.

        Damage that it or the reader finds is a `CorruptionError`, and the chunk is set aside.
        """
        suspect = partial(self._quarantine.suspect, chunk_id)
        open_it = partial(self._chunks.open, chunk_id)
        try:
            chunk = await self._calls.run(open_it, unwanted=lambda chunk: chunk.close())
        except CorruptionError:
            suspect()
            raise
        self.counters.chunks_opened += 1
        return ChunkReader(chunk, self._calls, self._count_read, suspect)

    async def read_whole(self, chunk_ids: Sequence[ChunkId], bytes_max: int) -> Found:
        """
        Of each chunk the bytes of its file, verified, or why not; damage is treated as in `open`.

        What would make it more than ``bytes_max`` in all is a `TooLargeError`.
        """
        found = await self._calls.run(partial(self._chunks.read_each, chunk_ids, bytes_max))
        for chunk_id, content in zip(chunk_ids, found, strict=True):
            if isinstance(content, CorruptionError):
                self._quarantine.suspect(chunk_id)
            elif not isinstance(content, StoreError):
                self.counters.chunks_opened += 1
                self._count_read(len(content))
        return found

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
        await uninterrupted(Deferred.fromCoroutine(self._chunks.discard(chunk_id)))

    async def drop(self, chunk_id: ChunkId, older_than_seconds: float) -> None:
        """
        Remove a chunk that has been provisional for longer.

        One that was written again since then, or is being written, stays.
        """
        is_old = self._chunks.is_older(chunk_id, older_than_seconds)
        if is_old and chunk_id not in self._writing:
            await self.discard(chunk_id)

    async def bury_quarantined(self, chunk_ids: Collection[ChunkId]) -> None:
        """Make dead those of them that are still set aside, and are not being written again."""
        quarantined = set(self.quarantined) - self._writing
        await self.mark(dead=[each for each in chunk_ids if each in quarantined])

    def provisional_older_than(self, seconds: float) -> Sequence[ChunkId]:
        """Those that nobody confirmed for so long, oldest first of each kind."""
        return self._chunks.provisional_older_than(seconds)

    async def reclaim(self, grace_seconds: float) -> int:
        """
        Let go of the chunks that have been dead for longer; the bytes freed.

        Space of needles comes back when their volumes are compacted.
        """
        self._compaction.allow(grace_seconds)
        chunks, freed_bytes = await self._files.reclaim(grace_seconds)
        self.counters.chunks_reclaimed += chunks
        return freed_bytes

    async def compact(self, bytes_max: int) -> int:
        """
        Rewrite some needles of a volume that holds much garbage, and remove it in the end.

        The bytes that were read and written, about ``bytes_max``; 0 when there is nothing to do.
        """
        work = await self._needles.compact(self._compaction, bytes_max)
        self._quarantine.add(work.damaged)
        self.counters.chunks_quarantined += len(work.damaged)
        self.counters.bytes_compacted += work.bytes
        return work.bytes

    async def list(self, after: ChunkId | None, limit: int) -> ChunkPage:
        """A page of at least one chunk, if any is left behind ``after``."""
        return await self._calls.run(partial(self._chunks.page, after, limit))

    async def stop(self) -> None:
        """Sync what is not; the writers must be done."""
        await self._quarantine.stop()
        await self._chunks.stop()

    def _begin(
        self,
        chunk_id: ChunkId,
        expected_bytes: int | None,
        durability: Durability,
        needle_bytes_max: int,
    ) -> ChunkWriter:
        if chunk_id in self._writing:
            raise being_written(chunk_id)
        allowance = Allowance(self._space, expected_bytes)
        self._writing.add(chunk_id)
        return ChunkWriter(
            chunk_id,
            self._files.draft(chunk_id),
            self._calls,
            allowance,
            sync=self._files.syncs.file if durability.mode is DurabilityMode.STRICT else None,
            publish=partial(self._publish, durability),
            small=SmallChunks(needle_bytes_max, partial(self._put_one, durability)),
            closed=partial(self._writing.discard, chunk_id),
        )

    async def _put(self, chunks: Sequence[WholeChunk], durability: Durability) -> Outcomes:
        put = partial(self._chunks.put, durability=durability)
        outcomes = await put_at_once(put, self._space, self._writing, chunks)
        for chunk, outcome in zip(chunks, outcomes, strict=True):
            if outcome is None:
                self._stored(chunk.chunk_id, chunk.chunk_bytes)
        return outcomes

    async def _put_one(self, durability: Durability, chunk: WholeChunk) -> None:
        """A writer has a chunk that is small."""
        [outcome] = await self._chunks.put([chunk], durability)
        if outcome is not None:
            raise outcome
        self._stored(chunk.chunk_id, chunk.chunk_bytes)

    async def _publish(self, durability: Durability, stored: StoredChunk) -> None:
        """A writer has written a file."""
        await self._chunks.publish(stored.chunk_id, durability)
        self._stored(stored.chunk_id, stored.chunk_bytes)

    def _stored(self, chunk_id: ChunkId, chunk_bytes: int) -> None:
        self._quarantine.forget(chunk_id)
        self.counters.chunks_written += 1
        self.counters.bytes_written += chunk_bytes

    async def _mark(
        self, confirm: Collection[ChunkId], dead: Collection[ChunkId], durability: Durability
    ) -> Missing:
        missing = await self._chunks.mark(confirm, dead, durability)
        for chunk_id in {*dead}.difference(missing.dead):
            self._quarantine.forget(chunk_id)
        return missing

    async def _reopen(self, chunk_id: ChunkId) -> OpenChunk:
        """A chunk that may be damaged, as it stands there now."""
        return await self._calls.run(partial(self._chunks.open, chunk_id, alive_only=True))

    async def _set_aside(self, chunk_id: ChunkId) -> bool:
        was_there = await self._chunks.quarantine(chunk_id)
        self.counters.chunks_quarantined += was_there
        return was_there

    def _count_read(self, size_bytes: int) -> None:
        self.counters.bytes_read += size_bytes
