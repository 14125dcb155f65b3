"""The small chunks of a node: needles in volumes, found by an index."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from functools import partial
from itertools import takewhile
from typing import Any

from twisted.internet.interfaces import IReactorTime

from twisted_store.core.durability import Durability, DurabilityMode
from twisted_store.core.ids import ChunkId
from twisted_store.core.needles import ALIVE, READABLE, NeedleRow
from twisted_store.core.volume import NeedleState
from twisted_store.core.whole_chunk import WholeChunk
from twisted_store.errors import (
    ChunkNotFoundError,
    ConflictError,
    CorruptionError,
    NodeFailedError,
    StoreError,
)
from twisted_store.storage.batch_draft import BatchDraft, Step
from twisted_store.storage.calls import Batches, DiskCalls
from twisted_store.storage.compaction import Compaction, Work
from twisted_store.storage.directory import ChunkState, HeldChunk
from twisted_store.storage.needle_log import NeedleLog, read_needle
from twisted_store.storage.reader import reading
from twisted_store.storage.space import Space
from twisted_store.storage.timers import Within
from twisted_store.storage.volumes import OpenVolumes

WRITE_INDEX_SECONDS = 5.0
"""After this at the latest the index file tells of a change."""

UNWRITTEN_ROWS = 4000
"""When so many rows are in memory only, they go into the index file at once."""

PRESSED_FRACTION = 0.1
"""With less of its capacity free a node is pressed to get its garbage back."""

UNWRITTEN_ROWS_MAX = 200_000
"""With more than these in memory, as the index file cannot be written, no chunks are taken."""


class Needles:
    """
    A log of needles in threads: what is asked for while a batch is written goes together.

    Provisional ages count from the start of the process.
    """

    def __init__(
        self,
        log: NeedleLog,
        calls: DiskCalls,
        space: Space,
        clock: IReactorTime,
        monotonic: Callable[[], float],
    ) -> None:
        self._log = log
        self._calls = calls
        self._space = space
        self._monotonic = monotonic
        self._lane = Batches[Step[Any], Any](calls, log.perform)
        self._used_bytes = 0
        self._sync_in_time = Within(clock, self._sync)
        self._write_in_time = Within(clock, self._write_index)
        provisional = self._log.index.in_state(NeedleState.PROVISIONAL)
        self._provisional = dict.fromkeys(map(ChunkId.unpack, provisional), monotonic())
        self._account()

    @property
    def problem(self) -> str:
        """What is wrong with volumes or index; empty when they are well."""
        return self._log.problem

    def quarantined(self) -> list[ChunkId]:
        """Those that are set aside, as found at start."""
        return [ChunkId.unpack(each) for each in self._log.index.in_state(NeedleState.QUARANTINED)]

    async def put(
        self,
        chunks: Sequence[WholeChunk],
        durability: Durability,
        check: Callable[[ChunkId], object],
    ) -> list[StoreError | None]:
        """
        Write provisional chunks, each of which may meet its own error.

        A confirmed one is never replaced, and neither is one for which ``check``, which may block,
        raises.
        """

        if self._log.index.unwritten > UNWRITTEN_ROWS_MAX:
            raise NodeFailedError(self._log.problem or "The index is too far behind.")

        def apply(draft: BatchDraft) -> list[StoreError | None]:
            draft.look_up([chunk.chunk_id.packed for chunk in chunks])
            return [_put(draft, chunk, check) for chunk in chunks]

        strict = durability.mode is DurabilityMode.STRICT
        results: list[StoreError | None] = await self._do(Step(apply, strict))
        if durability.mode is DurabilityMode.RELAXED:
            self._sync_in_time.call(durability.window_seconds)
        now = self._monotonic()
        for chunk, error in zip(chunks, results, strict=True):
            if error is None:
                self._provisional.pop(chunk.chunk_id, None)
                self._provisional[chunk.chunk_id] = now
        return results

    async def mark(
        self, confirm: Iterable[ChunkId], dead: Iterable[ChunkId], durability: Durability
    ) -> tuple[set[ChunkId], set[ChunkId]]:
        """Confirm and bury; those that are confirmed now, and those that are dead."""
        wanted = [(NeedleState.CONFIRMED, confirm), (NeedleState.DEAD, dead)]

        def apply(draft: BatchDraft) -> tuple[set[ChunkId], set[ChunkId]]:
            confirmed, buried = (_mark(draft, ids, state) for state, ids in wanted)
            return confirmed, buried

        marked: tuple[set[ChunkId], set[ChunkId]] = await self._do(
            Step(apply, durability.mode is not DurabilityMode.NONE)
        )
        for chunk_id in (*marked[0], *marked[1]):
            self._provisional.pop(chunk_id, None)
        return marked

    async def discard(self, chunk_id: ChunkId) -> None:
        """Forget a chunk; `ConflictError` when it is confirmed."""
        await self._do(Step(partial(_discard, chunk_id=chunk_id)))
        self._provisional.pop(chunk_id, None)

    async def quarantine(self, chunk_id: ChunkId) -> bool:
        """Set a damaged chunk aside, durably; whether it was there, and alive."""
        apply = partial(_mark, chunk_ids=[chunk_id], state=NeedleState.QUARANTINED)
        was_there = bool(await self._do(Step(apply, sync=True)))
        self._provisional.pop(chunk_id, None)
        return was_there

    async def forget(self, chunk_id: ChunkId) -> None:
        """A chunk is to be another one: let go of it, unless it is confirmed (`ConflictError`)."""
        await self._do(Step(partial(_forget, chunk_id=chunk_id)))
        self._provisional.pop(chunk_id, None)

    def is_replaceable(self, chunk_id: ChunkId) -> bool:
        """
        Whether there is a needle that another one may replace. Blocking.

        Raises `ConflictError` when it is confirmed.
        """
        row = self._log.index.get(chunk_id.packed)
        _check_replaceable(chunk_id, row)
        return row is not None and row.state is not NeedleState.GONE

    @property
    def garbage_bytes(self) -> int:
        """What volumes hold that nobody needs any more: room that comes back."""
        return max(self._log.volumes.used_bytes - self._log.index.live_bytes.total(), 0)

    async def compact(self, compaction: Compaction, bytes_max: int) -> Work:
        """Do a part of a compaction."""
        pressed = self._space.free_bytes < PRESSED_FRACTION * self._space.capacity_bytes
        try:
            work = await self._calls.run(partial(compaction.step, bytes_max, pressed=pressed))
        finally:
            self._account()
        for chunk_id in work.damaged:
            self._provisional.pop(chunk_id, None)
        return work

    def opened(self) -> AbstractContextManager[OpenVolumes]:
        """Volumes to read from."""
        return self._log.volumes.opened()

    def read(self, chunk_id: ChunkId, volumes: OpenVolumes, *, alive_only: bool = False) -> bytes:
        """
        The content of a chunk. Blocking.

        Raises `ChunkNotFoundError`, and `CorruptionError` when it is not what was written.
        """
        packed = chunk_id.packed
        row = self._log.index.get(packed)
        while row is not None and row.state in (ALIVE if alive_only else READABLE):
            try:
                return reading(chunk_id, partial(read_needle, packed, row, volumes))
            except FileNotFoundError:
                # Its volume was compacted since the index was asked.
                known, row = row, self._log.index.get(packed)
                if row == known and row.state not in ALIVE:
                    break
                if row == known:
                    message = f"Chunk {chunk_id} is lost: volume {row.volume} is not there."
                    raise CorruptionError(message) from None
        raise ChunkNotFoundError(f"Chunk {chunk_id} is not here.")

    def page(self, after: ChunkId | None, limit: int) -> list[HeldChunk]:
        """At most ``limit`` chunks behind ``after``, in the order of chunk files. Blocking."""
        start = None if after is None else after.packed
        found = self._log.index.page(start, limit)
        return [_held(packed, row) for packed, row in found if row.state is not NeedleState.GONE]

    def provisional_older_than(self, seconds: float) -> list[ChunkId]:
        """Those that nobody confirmed for so long, oldest first."""
        latest = self._monotonic() - seconds
        return [
            chunk_id
            for chunk_id, _ in takewhile(lambda each: each[1] < latest, self._provisional.items())
        ]

    def is_older(self, chunk_id: ChunkId, seconds: float) -> bool:
        """Whether the chunk has been provisional for more than ``seconds``."""
        since = self._provisional.get(chunk_id)
        return since is not None and since < self._monotonic() - seconds

    async def stop(self) -> None:
        """Write what is not written, and let go of the files."""
        await self._sync_in_time.stop()
        await self._write_in_time.stop()
        await self._calls.run(self._log.close)

    async def _do(self, step: Step[Any]) -> Any:
        try:
            return await self._lane.add(step)
        finally:
            self._account()

    async def _sync(self) -> None:
        await self._do(Step(lambda _: None, sync=True))

    async def _write_index(self) -> None:
        try:
            await self._calls.run(self._log.write_index)
        finally:
            self._account()

    def _account(self) -> None:
        """Volumes change in threads; what they take is counted here."""
        used_bytes = self._log.volumes.used_bytes
        self._space.took(used_bytes - self._used_bytes)
        self._used_bytes = used_bytes
        if unwritten := self._log.index.unwritten:
            self._write_in_time.call(0 if unwritten > UNWRITTEN_ROWS else WRITE_INDEX_SECONDS)


def _put(
    draft: BatchDraft, chunk: WholeChunk, check: Callable[[ChunkId], object]
) -> StoreError | None:
    packed = chunk.chunk_id.packed
    try:
        _check_replaceable(chunk.chunk_id, draft.get(packed))
        check(chunk.chunk_id)
    except StoreError as error:
        return error
    draft.put(packed, chunk.content, NeedleState.PROVISIONAL)
    return None


def _mark(draft: BatchDraft, chunk_ids: Iterable[ChunkId], state: NeedleState) -> set[ChunkId]:
    """Move those on that can be; all that are in that state now."""
    marked, moved = set(), []
    by_packed = {chunk_id.packed: chunk_id for chunk_id in chunk_ids}
    draft.look_up([*by_packed])
    for packed, chunk_id in by_packed.items():
        row = draft.get(packed)
        if row is None or not (row.state is state or row.may_become(state)):
            continue
        if row.state is not state:
            moved.append(packed)
        marked.add(chunk_id)
    draft.mark(moved, state)
    return marked


def _discard(draft: BatchDraft, chunk_id: ChunkId) -> None:
    row = draft.get(chunk_id.packed)
    if row is not None and row.state is NeedleState.PROVISIONAL:
        draft.mark([chunk_id.packed], NeedleState.GONE)
    elif row is not None and row.state is NeedleState.CONFIRMED:
        raise ConflictError(f"Chunk {chunk_id} is confirmed: only a dead mark ends it.")


def _forget(draft: BatchDraft, chunk_id: ChunkId) -> None:
    _check_replaceable(chunk_id, draft.get(chunk_id.packed))
    _mark(draft, [chunk_id], NeedleState.GONE)


def _check_replaceable(chunk_id: ChunkId, row: NeedleRow | None) -> None:
    if row is not None and row.state is NeedleState.CONFIRMED:
        raise ConflictError(f"Chunk {chunk_id} is confirmed and cannot be written again.")


def _held(packed: bytes, row: NeedleRow) -> HeldChunk:
    return HeldChunk(ChunkId.unpack(packed), ChunkState[row.state.name], row.record_bytes)
