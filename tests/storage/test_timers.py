"""Work in the background begins in time, and never twice at once."""

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from tests.storage.bench import result_of, started
from twisted_store.errors import NodeFailedError
from twisted_store.storage.timers import Within


class Work:
    """Runs until it is told to end."""

    def __init__(self) -> None:
        self.began = 0
        self._running: Deferred[None] | None = None

    async def __call__(self) -> None:
        """Run."""
        self.began += 1
        self._running = Deferred()
        await self._running

    def end(self) -> None:
        """End well."""
        assert self._running is not None
        self._running.callback(None)

    def fail(self) -> None:
        """End with an error of the disk."""
        assert self._running is not None
        self._running.errback(NodeFailedError("The disk failed."))


@pytest.fixture
def clock() -> Clock:
    """A clock of the test."""
    return Clock()


@pytest.fixture
def work() -> Work:
    """Something to be done."""
    return Work()


@pytest.fixture
def within(clock: Clock, work: Work) -> Within:
    """What does it."""
    return Within(clock, work)


def test_it_begins_in_time(within: Within, clock: Clock, work: Work) -> None:
    """Once for all that asked for it before."""
    within.call(5)
    within.call(7)
    clock.advance(4.9)
    assert work.began == 0
    clock.advance(0.1)
    assert work.began == 1
    work.end()
    clock.advance(100)
    assert work.began == 1


def test_who_is_in_a_hurry_counts(within: Within, clock: Clock, work: Work) -> None:
    """A later one delays nobody."""
    within.call(5)
    within.call(1)
    within.call(9)
    clock.advance(1)
    assert work.began == 1
    work.end()


@pytest.mark.parametrize("fails", [False, True])
def test_what_is_asked_for_meanwhile_is_done_afterwards(
    within: Within, clock: Clock, work: Work, fails: bool
) -> None:
    """It may concern what the work under way has passed; also when that fails."""
    within.call(1)
    clock.advance(1)
    within.call(8)
    within.call(3)
    clock.advance(50)
    assert work.began == 1
    if fails:
        work.fail()
    else:
        work.end()
    clock.advance(2.9)
    assert work.began == 1
    clock.advance(0.1)
    assert work.began == 2
    work.end()


def test_at_once_is_at_once(within: Within, clock: Clock, work: Work) -> None:
    """Although somebody else is in no hurry."""
    within.call(0)
    clock.advance(0)
    within.call(0)
    within.call(5)
    work.end()
    clock.advance(0)
    assert work.began == 2
    work.end()


def test_it_is_stopped_before_it_begins(within: Within, clock: Clock, work: Work) -> None:
    """Nothing is left in the clock."""
    within.call(1)
    result_of(within.stop())
    assert clock.getDelayedCalls() == []
    assert work.began == 0


def test_a_stop_waits_for_what_runs(within: Within, clock: Clock, work: Work) -> None:
    """And nothing begins after it."""
    within.call(0)
    clock.advance(0)
    within.call(2)
    ended: list[None] = []
    started(within.stop()).addCallback(ended.append)
    assert ended == []
    work.end()
    assert ended == [None]
    assert clock.getDelayedCalls() == []
