"""Several calls at once: all results, or the first failure and nothing goes on."""

import pytest
from twisted.internet.defer import CancelledError, Deferred

from tests.catalog.seams import now, result_of, start
from twisted_store.errors import NodeFailedError
from twisted_store.node_client.fanout import all_of


class Calls:
    """Calls that end when told."""

    def __init__(self, count: int) -> None:
        self.gates: list[Deferred[str]] = [Deferred() for _ in range(count)]
        self.cancelled: list[int] = []
        self.all = start(all_of(self._call(number) for number in range(count)))

    async def _call(self, number: int) -> str:
        try:
            return await self.gates[number]
        except CancelledError:
            self.cancelled.append(number)
            raise


def test_results_come_in_the_order_of_the_calls() -> None:
    """Not in that of their ends."""
    calls = Calls(3)
    for number in (2, 0, 1):
        assert not calls.all.called
        calls.gates[number].callback(f"result {number}")
    assert result_of(calls.all) == ["result 0", "result 1", "result 2"]


def test_nothing_to_do_is_done() -> None:
    """A range of no chunk asks no node."""
    assert now(all_of([])) == []


def test_the_first_failure_is_raised_as_it_is_and_stops_the_others() -> None:
    """Those that have ended by then stay as they are; later failures are nobody's business."""
    calls = Calls(4)
    calls.gates[0].callback("done")
    calls.gates[2].errback(NodeFailedError("gone"))
    with pytest.raises(NodeFailedError, match="gone"):
        result_of(calls.all)
    assert calls.cancelled == [1, 3]


def test_a_call_that_fails_at_once_stops_the_others() -> None:
    """Also those that were not begun when it failed."""
    begun: list[int] = []

    async def call(number: int) -> None:
        begun.append(number)
        if number == 0:
            raise NodeFailedError("refused")
        waiting: Deferred[None] = Deferred()
        await waiting

    with pytest.raises(NodeFailedError, match="refused"):
        now(all_of(call(number) for number in range(3)))
    assert begun == [0, 1, 2]


def test_who_leaves_stops_all_calls() -> None:
    """And hears of its leaving, not of theirs."""
    calls = Calls(3)
    calls.gates[1].callback("done")
    calls.all.cancel()
    with pytest.raises(CancelledError):
        result_of(calls.all)
    assert calls.cancelled == [0, 2]
