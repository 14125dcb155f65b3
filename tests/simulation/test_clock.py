"""Simulated time passes only in a run, call by call; a host may be left out of it."""

from functools import partial

import pytest
from twisted.internet.defer import CancelledError, Deferred, fail, gatherResults, succeed
from twisted.internet.task import deferLater

from twisted_store.simulation.clock import WALL_START_SECONDS, SimulatedClock, StillPendingError
from twisted_store.simulation.host_clock import HostClock


@pytest.fixture
def clock() -> SimulatedClock:
    """A clock at 0."""
    return SimulatedClock()


def test_a_run_jumps_to_each_call_and_stops_when_the_deferred_fires(clock: SimulatedClock) -> None:
    """Time at a call is the time it was due, and what is due later stays."""
    seen: list[float] = []
    for delay in (1.5, 0.5, 7.0):
        clock.callLater(delay, lambda: seen.append(clock.seconds()))
    assert clock.run_until(deferLater(clock, 2, lambda: "result"), 10) == "result"
    assert (seen, clock.seconds()) == ([0.5, 1.5], 2)


def test_a_deferred_that_has_fired_needs_no_time(clock: SimulatedClock) -> None:
    """Results and failures come out at once."""
    assert clock.run_until(succeed(1), 10) == 1
    with pytest.raises(ZeroDivisionError):
        clock.run_until(fail(ZeroDivisionError()), 10)
    assert clock.seconds() == 0


def test_a_deferred_that_stays_silent_is_an_error_that_names_what_waits(
    clock: SimulatedClock,
) -> None:
    """The limit is kept, and the message tells what was left to call, and when."""

    def much_too_late() -> None:
        """Never called."""

    clock.callLater(60, much_too_late)
    with pytest.raises(StillPendingError, match=r"within 5 s.* 1 waiting\n.*much_too_late in 60\."):
        clock.run_until(Deferred(), 5)


def test_a_run_for_some_seconds_ends_at_their_end(clock: SimulatedClock) -> None:
    """Calls made on the way count, and the call at the very end does too."""
    seen: list[float] = []

    def tick() -> None:
        seen.append(clock.seconds())
        clock.callLater(1, tick)

    tick()
    clock.run_for(2)
    assert (seen, clock.seconds()) == ([0, 1, 2], 2)
    clock.run_for(0.25)
    assert clock.seconds() == 2.25


def test_the_wall_clock_goes_with_the_simulation(clock: SimulatedClock) -> None:
    """The date depends on nothing outside."""
    clock.run_for(3)
    assert clock.wall_seconds() == WALL_START_SECONDS + 3


def test_blocking_calls_finish_in_a_later_turn_and_in_order(clock: SimulatedClock) -> None:
    """As with a thread, nobody has the result when the call returns."""
    finished: list[int] = []
    calls = [clock.run_blocking(partial(abs, n)).addCallback(finished.append) for n in range(3)]
    assert finished == []
    clock.run_until(gatherResults(calls), 0)
    assert finished == [0, 1, 2]


def test_a_blocking_call_that_fails_or_is_cancelled_says_so(clock: SimulatedClock) -> None:
    """The error arrives as a failure; a cancelled call has run all the same."""
    done: list[str] = []
    with pytest.raises(ZeroDivisionError):
        clock.run_until(clock.run_blocking(lambda: 1 // 0), 0)
    cancelled = clock.run_blocking(lambda: done.append("ran"))
    cancelled.cancel()
    with pytest.raises(CancelledError):
        clock.run_until(cancelled, 0)
    clock.run_for(1)
    assert done == ["ran"]


def test_a_paused_host_makes_up_for_its_calls_in_order(clock: SimulatedClock) -> None:
    """What is cancelled meanwhile, or by an earlier one of them, does not happen; others go on."""
    host, other = HostClock(clock), HostClock(clock)
    seen: list[str] = []
    host.callLater(3, seen.append, "third")
    unwanted = host.callLater(2.5, seen.append, "unwanted")
    host.callLater(2, unwanted.cancel)
    host.callLater(1, seen.append, "first")
    host.run_blocking(lambda: "disk").addCallback(seen.append)
    other.callLater(1, seen.append, "other")
    host.pause()
    host.callLater(2, seen.append, "second")
    host.callLater(1, seen.append, "unwanted").cancel()
    clock.run_for(10)
    assert seen == ["other"]
    host.pause()
    host.resume()
    host.callLater(0, seen.append, "new")
    clock.run_for(0)
    assert seen == ["other", "disk", "first", "second", "third", "new"]
    assert clock.seconds() == 10


def test_a_dead_host_does_nothing_more(clock: SimulatedClock) -> None:
    """Whether it was paused before or not; a failure that it has not heard of is nobody's."""
    seen: list[object] = []
    for pauses in (False, True):
        host = HostClock(clock)
        call = host.callLater(1, seen.append, "late")
        host.run_blocking(lambda: 1 // 0)
        if pauses:
            host.pause()
        host.die()
        call.cancel()
        host.callLater(0, seen.append, "remains")
        host.soon(seen.append, "remains")
        host.run_blocking(partial(seen.append, "disk"))
        clock.run_for(10)
        assert (seen, clock.getDelayedCalls()) == ([], [])
