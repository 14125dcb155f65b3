"""The memory budget: bounded, in order of arrival, nothing lost on cancellation."""

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from twisted_store.api.budget import WAIT_SECONDS, WAITING_MAX, MemoryBudget
from twisted_store.errors import OverloadedError


class Request:
    """Holds a reservation until it is told to let go."""

    def __init__(self, budget: MemoryBudget, size_bytes: int) -> None:
        self.inside = False
        self.failure: Failure | None = None
        self._gate: Deferred[None] = Deferred()
        self.done = Deferred.fromCoroutine(self._run(budget, size_bytes))
        self.done.addErrback(self._failed)

    def let_go(self) -> None:
        """Leave the context."""
        self._gate.callback(None)

    async def _run(self, budget: MemoryBudget, size_bytes: int) -> None:
        async with budget.reserve(size_bytes):
            self.inside = True
            await self._gate

    def _failed(self, failure: Failure) -> None:
        self.failure = failure


@pytest.fixture
def clock() -> Clock:
    """Simulated time."""
    return Clock()


@pytest.fixture
def budget(clock: Clock) -> MemoryBudget:
    """100 bytes."""
    return MemoryBudget("uploads", 100, clock)


def test_requests_wait_in_order_of_arrival(budget: MemoryBudget) -> None:
    """A small request does not overtake a large one that waits, so none starves."""
    first, large, small = Request(budget, 60), Request(budget, 80), Request(budget, 10)
    assert (first.inside, large.inside, small.inside) == (True, False, False)
    assert budget.contended
    first.let_go()
    assert (large.inside, small.inside) == (True, True)
    assert budget.reserved_bytes == 90


def test_more_than_the_whole_budget_takes_it_all(budget: MemoryBudget) -> None:
    """A request larger than the budget is served alone rather than never."""
    request = Request(budget, 1000)
    assert request.inside
    assert budget.reserved_bytes == 100
    request.let_go()
    assert budget.reserved_bytes == 0


def test_a_wait_that_takes_too_long_is_refused(budget: MemoryBudget, clock: Clock) -> None:
    """And gives its place to those behind it."""
    holder, large, small = Request(budget, 90), Request(budget, 80), Request(budget, 5)
    clock.advance(WAIT_SECONDS)
    assert large.failure is not None
    assert large.failure.check(OverloadedError)
    assert holder.inside
    assert small.inside or small.failure is not None


def test_a_cancelled_wait_lets_the_next_in(budget: MemoryBudget) -> None:
    """Clients that go away while they wait cost nothing."""
    holder, large, small = Request(budget, 90), Request(budget, 80), Request(budget, 5)
    large.done.cancel()
    assert large.failure is not None
    assert large.failure.check(CancelledError)
    assert small.inside
    assert holder.inside


def test_a_cancelled_holder_gives_back(budget: MemoryBudget) -> None:
    """Whatever ends the context."""
    holder = Request(budget, 100)
    holder.done.cancel()
    assert budget.reserved_bytes == 0


def test_too_many_waiting_are_refused_at_once(budget: MemoryBudget) -> None:
    """The queue is bounded too."""
    others = [Request(budget, 100), *(Request(budget, 1) for _ in range(WAITING_MAX))]
    refused = Request(budget, 1)
    assert all(other.failure is None for other in others)
    assert refused.failure is not None
    assert refused.failure.check(OverloadedError)
