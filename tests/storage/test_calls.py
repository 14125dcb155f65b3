"""Disk calls: what is slow is known, what fails is named, what waits goes together."""

import errno
from collections.abc import Callable, Sequence

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from tests.storage.bench import result_of
from tests.storage.seams import HeldCalls, run_inline
from twisted_store.errors import NodeFailedError, NoSpaceError, StoreError
from twisted_store.storage.calls import Batches, DiskCalls, Lane, uninterrupted


def failing(error: Exception) -> Callable[[], object]:
    """A call that raises."""

    def call() -> object:
        raise error

    return call


@pytest.fixture
def clock() -> Clock:
    """The time."""
    return Clock()


@pytest.fixture
def held() -> HeldCalls:
    """The threads."""
    return HeldCalls()


@pytest.fixture
def calls(held: HeldCalls, clock: Clock) -> DiskCalls:
    """Calls that wait for their thread."""
    return DiskCalls(held, clock.seconds)


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (errno.ENOSPC, NoSpaceError),
        (errno.EDQUOT, NoSpaceError),
        (errno.EIO, NodeFailedError),
        (errno.EROFS, NodeFailedError),
    ],
)
def test_disk_errors_come_in_our_terms(
    clock: Clock, number: int, expected: type[StoreError]
) -> None:
    """With the cause attached, from single calls and from those in a lane."""
    error = OSError(number, "broken")
    calls = DiskCalls(run_inline, clock.seconds)
    for run in (calls.run, Lane(calls).run):
        with pytest.raises(expected, match="broken") as raised:
            result_of(run(failing(error)))
        assert raised.value.__cause__ is error


def test_the_oldest_call_is_known(calls: DiskCalls, held: HeldCalls, clock: Clock) -> None:
    """A disk that hangs shows, and one that is idle has age 0."""
    assert calls.oldest_seconds == 0
    first = calls.run(int)
    clock.advance(2)
    second = calls.run(int)
    clock.advance(3)
    assert calls.oldest_seconds == 5
    first.addErrback(lambda _: None).cancel()
    assert calls.oldest_seconds == 5, "nothing stops a thread"
    held.run_next()
    assert calls.oldest_seconds == 3
    held.run_next()
    assert calls.oldest_seconds == 0
    assert result_of(second) == 0


def test_a_result_that_nobody_waits_for_is_disposed_of(calls: DiskCalls, held: HeldCalls) -> None:
    """Else a file would stay open."""
    disposed: list[str] = []
    wanted = calls.run(lambda: "wanted", disposed.append)
    cancelled = calls.run(lambda: "unwanted", disposed.append)
    cancelled.cancel()
    held.run_all()
    assert result_of(wanted) == "wanted"
    with pytest.raises(CancelledError):
        result_of(cancelled)
    assert disposed == ["unwanted"]


def test_an_error_that_nobody_waits_for_is_logged(
    clock: Clock, expected_failures: Callable[..., list[Failure]]
) -> None:
    """A close that fails, for example."""
    DiskCalls(run_inline, clock.seconds).run_unattended(failing(OSError(errno.EIO, "broken")))
    [failure] = expected_failures(NodeFailedError)
    assert "broken" in failure.getErrorMessage()


def test_what_waits_goes_together(calls: DiskCalls, held: HeldCalls) -> None:
    """One call under way; all that comes meanwhile is one batch, in order."""
    batches: list[list[int]] = []

    def perform(items: Sequence[int]) -> list[int | Failure]:
        batches.append(list(items))
        return [-item for item in items]

    lane = Batches(calls, perform)
    results = [lane.add(number) for number in range(4)]
    assert len(held) == 1
    held.run_next()
    results.append(lane.add(4))
    held.run_all()
    assert batches == [[0], [1, 2, 3], [4]]
    assert [result_of(result) for result in results] == [0, -1, -2, -3, -4]


def test_a_failure_in_a_batch_is_that_of_one_item(clock: Clock, held: HeldCalls) -> None:
    """The others get their results."""
    lane = Lane(DiskCalls(held, clock.seconds))
    first, second = lane.run(lambda: 1), lane.run(failing(ValueError("two")))
    third = lane.run(lambda: 3)
    held.run_all()
    assert (result_of(first), result_of(third)) == (1, 3)
    with pytest.raises(ValueError, match="two"):
        result_of(second)


def test_a_thread_that_cannot_run_fails_the_whole_batch(clock: Clock) -> None:
    """And the lane goes on."""
    refused: list[Deferred[object]] = []

    def refuse(call: Callable[[], object], /) -> "Deferred[object]":
        refused.append(Deferred())
        return refused[-1]

    lane = Lane(DiskCalls(refuse, clock.seconds))  # type: ignore[arg-type]
    results = [lane.run(int) for _ in range(3)]
    for deferred in refused:
        deferred.errback(RuntimeError("no threads"))
    for result in results:
        with pytest.raises(RuntimeError):
            result_of(result)
    assert len(refused) == 2


def test_an_uninterrupted_call_outlives_who_waits() -> None:
    """Cancelling stops the waiting only."""
    running: Deferred[int] = Deferred()
    waiter = uninterrupted(running)
    waiter.cancel()
    with pytest.raises(CancelledError):
        result_of(waiter)
    assert not running.called
    running.callback(1)
