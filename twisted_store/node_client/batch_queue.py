"""Operations for one node: what comes while a batch is under way goes together in the next."""

import json
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from itertools import chain

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from twisted_store.core.batch import OK, Record, decode_results, operation_head
from twisted_store.core.checksums import Buffer
from twisted_store.core.ids import NodeId
from twisted_store.errors import CorruptionError, NodeFailedError, NodeSlowError, StoreError
from twisted_store.node_client.answers import node_failure, told_error
from twisted_store.node_client.watchdog import LATE_SECONDS_MAX

BATCH_BYTES = 1024 * 1024
"""So much goes in one batch, or is asked for by one, unless a single chunk has more."""

Numbers = tuple[int, int]
"""Incarnation and sequence of the catalog that marks chunks."""

NO_NUMBERS: Numbers = (0, 0)
"""Of operations that are no marks."""

Send = Callable[[bytes, Numbers, Callable[[], None]], Awaitable[Buffer]]
"""Sends a body and gives that of the answer; the last argument is told of all progress."""


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """So many ``operations`` go in one batch, and so many ``batches`` are under way at once."""

    operations: int
    batches: int


@dataclass(slots=True, eq=False)
class _Entry:
    """An operation, and who waits for its result until ``due_seconds`` on the clock."""

    kind: int
    ids: int
    payload: Buffer
    size_bytes: int
    numbers: Numbers
    due_seconds: float
    bounded: bool
    waiter: "Deferred[memoryview]" = field(default_factory=Deferred)


@dataclass(slots=True, eq=False)
class _Flight:
    """A batch under way."""

    entries: list[_Entry]
    running: "Deferred[None] | None" = None


class BatchQueue:
    """
    Gathers operations while others are under way, and while each turn of the reactor brings more.

    A node that makes no progress for ``stall_seconds`` has failed: all that it was sent fails, and
    what waits when its own time is over, counted from when it was added.
    """

    def __init__(
        self,
        node_id: NodeId,
        send: Send,
        limits: BatchLimits,
        clock: IReactorTime,
        stall_seconds: float,
    ) -> None:
        self._node_id = node_id
        self._send = send
        self._limits = limits
        self._clock = clock
        self._stall_seconds = stall_seconds
        self._waiting: deque[_Entry] = deque()
        self._flights: list[_Flight] = []
        self._leaving: IDelayedCall | None = None
        self._gathered = 0
        self._look_call: IDelayedCall | None = None
        self._look_seconds = 0.0
        self._progress_seconds = 0.0

    def add(
        self,
        kind: int,
        payload: Buffer,
        *,
        ids: int = 0,
        size_bytes: int = 0,
        numbers: Numbers = NO_NUMBERS,
        patience_seconds: float | None = None,
    ) -> "Deferred[memoryview]":
        """
        The payload of the operation's result.

        ``size_bytes`` are what it adds to the batch or to the answer. With ``patience_seconds`` it
        fails after these at the latest. Who cancels it before it has left takes it back, later only
        stops waiting. Fails with what the node answered, `NodeFailedError` or `NodeSlowError`.
        """
        seconds = patience_seconds or self._stall_seconds
        due_seconds = self._clock.seconds() + seconds
        bounded = patience_seconds is not None
        entry = _Entry(kind, ids, payload, size_bytes, numbers, due_seconds, bounded)
        self._waiting.append(entry)
        if self._look_call is None or due_seconds < self._look_seconds:
            self._look_at(due_seconds)
        self._leave_soon()
        return entry.waiter

    def _leave_soon(self) -> None:
        if self._leaving is None and len(self._flights) < self._limits.batches:
            self._leaving = self._clock.callLater(0, self._leave)

    def _leave(self) -> None:
        self._leaving = None
        waiting = len(self._waiting)
        if self._gathered < waiting < self._limits.operations:
            # Where many come, more may come with the next turn, and all of them cost one call.
            self._gathered = waiting
            self._leave_soon()
            return
        self._gathered = 0
        while len(self._flights) < self._limits.batches and (entries := self._take()):
            flight = _Flight(entries)
            self._flights.append(flight)
            flight.running = Deferred.fromCoroutine(self._fly(flight))
        self._rest_if_idle()

    def _take(self) -> list[_Entry]:
        taken: list[_Entry] = []
        size_bytes = 0
        while self._waiting and len(taken) < self._limits.operations:
            entry = self._waiting[0]
            if not entry.waiter.called:
                size_bytes += entry.size_bytes
                if taken and size_bytes > BATCH_BYTES:
                    break
                taken.append(entry)
            self._waiting.popleft()
        return taken

    async def _fly(self, flight: _Flight) -> None:
        entries = flight.entries
        try:
            results = await self._exchange(entries)
        except Exception:
            failure = node_failure(self._node_id, Failure())
            self._landed(flight)
            for entry in entries:
                if not entry.waiter.called:
                    entry.waiter.errback(failure)
        else:
            self._landed(flight)
            for entry, result in zip(entries, results, strict=True):
                if not entry.waiter.called:
                    self._settle(entry.waiter, result)

    async def _exchange(self, entries: list[_Entry]) -> list[Record]:
        pieces: list[Buffer] = []
        for entry in entries:
            pieces += (operation_head(entry.kind, entry.ids, entry.payload), entry.payload)
        numbers = max(entry.numbers for entry in entries)
        answer = await self._send(b"".join(pieces), numbers, self._progressed)
        try:
            results = decode_results(answer)
        except CorruptionError as error:
            raise NodeFailedError(f"Node {self._node_id}: {error.message}") from error
        if len(results) != len(entries):
            raise NodeFailedError(
                f"Node {self._node_id} gave {len(results)} results for {len(entries)} operations."
            )
        return results

    def _landed(self, flight: _Flight) -> None:
        # Before anybody hears of it: what is added on this occasion goes with the next batch.
        self._flights.remove(flight)
        if self._waiting:
            self._leave_soon()
        self._rest_if_idle()

    def _settle(self, waiter: "Deferred[memoryview]", result: Record) -> None:
        try:
            payload = result.sound_payload()
        except CorruptionError as error:
            waiter.errback(error)
            return
        if result.kind == OK:
            waiter.callback(payload)
        else:
            waiter.errback(self._told(payload))

    def _told(self, payload: memoryview) -> StoreError:
        try:
            return told_error(json.loads(bytes(payload)), f"Node {self._node_id} answered: ")
        except (ValueError, AttributeError):
            return NodeFailedError(f"Node {self._node_id} answered with no error that is known.")

    def _progressed(self) -> None:
        self._progress_seconds = self._clock.seconds()

    def _due(self, entry: _Entry) -> float:
        if entry.bounded:
            return entry.due_seconds
        return max(entry.due_seconds, self._progress_seconds + self._stall_seconds)

    def _look_at(self, seconds: float) -> None:
        delay_seconds = max(seconds - self._clock.seconds(), 0)
        self._look_seconds = seconds
        if self._look_call is None:
            self._look_call = self._clock.callLater(delay_seconds, self._look)
        else:
            self._look_call.reset(delay_seconds)

    def _look(self) -> None:
        """See whose time is over."""
        self._look_call = None
        now_seconds = self._clock.seconds()
        self._forgive(now_seconds - self._look_seconds)
        for entry in [*self._entries()]:
            if self._due(entry) <= now_seconds and not entry.waiter.called:
                slow = NodeSlowError(f"Node {self._node_id} did not answer in time.")
                entry.waiter.errback(slow)
        for flight in [*self._flights]:
            if all(self._due(entry) <= now_seconds for entry in flight.entries):
                self._give_up(flight)
        rest = [self._due(entry) for entry in self._entries() if self._due(entry) > now_seconds]
        if rest and self._look_call is None:
            self._look_at(min(rest))

    def _give_up(self, flight: _Flight) -> None:
        if flight.running is not None:
            flight.running.cancel()

    def _forgive(self, late_seconds: float) -> None:
        """Time in which this process stood still does not count: answers may be waiting here."""
        if late_seconds > LATE_SECONDS_MAX:
            more_seconds = late_seconds + LATE_SECONDS_MAX
            self._progress_seconds += more_seconds
            for entry in self._entries():
                entry.due_seconds += more_seconds

    def _entries(self) -> Iterator[_Entry]:
        flying = chain.from_iterable(flight.entries for flight in self._flights)
        return chain(flying, self._waiting)

    def _rest_if_idle(self) -> None:
        call = self._look_call
        if call is not None and not self._flights and not self._waiting:
            self._look_call = None
            call.cancel()
