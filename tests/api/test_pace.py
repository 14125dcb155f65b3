"""Slow senders while others wait for memory, on requests as they are on the wire."""

from collections.abc import Iterator

import pytest
from twisted.internet.defer import Deferred

from tests.api.world import HandFed
from tests.catalog.seams import start
from tests.web.wire import Wire, head
from twisted_store.api.budget import MemoryBudget
from twisted_store.api.pace import PACE_BYTES_MIN, PACE_SECONDS, Pace
from twisted_store.errors import SlowClientError
from twisted_store.streams import ByteStream
from twisted_store.web.request import StreamingRequest

LARGE = head("PUT /waits", "Content-Length: 100000000")


class Upload:
    """A large request on a wire, whose pace is kept by a budget of one byte."""

    def __init__(self) -> None:
        self.wire = Wire()
        # The channel has a timeout of its own, which is not what is tested here.
        self.wire.channel.setTimeout(None)  # type: ignore[no-untyped-call]
        self.budget = MemoryBudget("uploads", 1, self.wire.clock)
        self.wire.send(LARGE)
        self.received_bytes = 0
        self._others: list[Deferred[None]] = []
        body = self.request.body
        assert body is not None
        self.reading = start(self._read(Pace(self.request, self.budget, self.wire.clock), body))

    @property
    def request(self) -> StreamingRequest:
        """As its handler has it."""
        return self.wire.routes.started[0]

    @property
    def broken(self) -> bool:
        """Whether the body was broken off."""
        return isinstance(self.failure, SlowClientError)

    failure: Exception | None = None

    async def _read(self, pace: Pace, body: ByteStream) -> None:
        try:
            with pace.kept(body) as paced:
                async for piece in paced:
                    self.received_bytes += len(piece)
        except Exception as error:
            self.failure = error

    def let_others_wait(self) -> None:
        """One request holds the memory, and one waits for it."""
        self._others = [start(_hold(self.budget)) for _ in range(2)]

    def pass_time(self, sent_bytes: int) -> None:
        """One interval, in which the client sends so many bytes."""
        self.wire.send(bytes(sent_bytes))
        self.wire.clock.advance(PACE_SECONDS)

    def end(self) -> None:
        """Everybody leaves."""
        for each in [*self._others, self.reading]:
            each.addErrback(lambda _: None)
            each.cancel()


async def _hold(budget: MemoryBudget) -> None:
    async with budget.reserve(1):
        await Deferred()


@pytest.fixture
def upload() -> Iterator[Upload]:
    """One that has just begun."""
    upload = Upload()
    yield upload
    upload.end()


def wait_longer_than_a_budget_lets(upload: Upload) -> None:
    """Others came late enough to wait still when the interval ends."""
    upload.wire.clock.advance(PACE_SECONDS - 1)
    upload.let_others_wait()
    upload.wire.clock.advance(1)


def test_a_slow_sender_is_broken_off_while_others_wait(upload: Upload) -> None:
    """Its memory goes to them."""
    wait_longer_than_a_budget_lets(upload)
    assert upload.broken


def test_a_slow_sender_may_go_on_while_nobody_waits(upload: Upload) -> None:
    """There is no other reason to refuse thin lines."""
    upload.pass_time(1)
    upload.pass_time(1)
    assert not upload.broken


def test_a_sender_at_its_pace_may_go_on(upload: Upload) -> None:
    """16 KiB a second are enough."""
    upload.wire.send(bytes(PACE_BYTES_MIN))
    wait_longer_than_a_budget_lets(upload)
    assert not upload.broken


def test_each_interval_counts_for_itself(upload: Upload) -> None:
    """Who was fast before must not sit on the memory afterwards."""
    upload.pass_time(10 * PACE_BYTES_MIN)
    wait_longer_than_a_budget_lets(upload)
    assert upload.broken


def test_nothing_is_measured_after_the_upload(upload: Upload) -> None:
    """The connection may serve the next request by then."""
    upload.end()
    assert upload.wire.clock.getDelayedCalls() == []


def test_the_time_in_which_a_sender_had_to_wait_does_not_count() -> None:
    """Nobody asked for its bytes before it had its memory."""
    wire = Wire()
    wire.send(LARGE)
    body = HandFed()
    pace = Pace(wire.routes.started[0], MemoryBudget("uploads", 1, wire.clock), wire.clock)
    before = len(wire.clock.getDelayedCalls())
    with pace.kept(body) as paced:
        assert len(wire.clock.getDelayedCalls()) == before
        reading = start(_first(paced))
        assert len(wire.clock.getDelayedCalls()) == before + 1
        body.give(b"x")
    assert reading.called
    assert len(wire.clock.getDelayedCalls()) == before


async def _first(body: object) -> bytes:
    piece: bytes = await anext(body)  # type: ignore[call-overload]
    return piece
