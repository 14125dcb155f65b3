"""Loops: steps never overlap, and nothing but a stop ends them."""

from collections.abc import Callable
from random import Random

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from twisted_store.cluster.loop import JITTER, Loop

DELAY_SECONDS = 10.0
RETRY_SECONDS = 1.0


class Steps:
    """Counts its calls; each waits until the test ends it."""

    def __init__(self) -> None:
        self.begun = 0
        self.pending: Deferred[float] = Deferred()

    async def step(self) -> float:
        """Begin a step."""
        self.begun += 1
        self.pending = Deferred()
        return await self.pending


def started(steps: Steps, clock: Clock) -> Loop:
    """A loop over these steps."""
    loop = Loop(clock, Random(1), steps.step, RETRY_SECONDS)
    loop.start()
    return loop


def has_ended(stopped: Deferred[None]) -> bool:
    """Whether the loop has ended without an error."""
    results: list[None] = []
    stopped.addCallback(results.append)
    return results == [None]


def test_the_first_step_comes_at_once_and_the_next_after_its_delay() -> None:
    """The delay counts from the end of a step, so that steps never overlap."""
    clock, steps = Clock(), Steps()
    started(steps, clock)
    clock.advance(100)
    assert steps.begun == 1
    steps.pending.callback(DELAY_SECONDS)
    clock.advance(DELAY_SECONDS * (1 - JITTER) - 0.1)
    assert steps.begun == 1
    clock.advance(DELAY_SECONDS * 2 * JITTER + 0.2)
    assert steps.begun == 2


def test_delays_differ_so_that_loops_drift_apart() -> None:
    """All nodes of a cluster start at the same time."""
    clock = Clock()
    for seed in range(5):
        steps = Steps()
        Loop(clock, Random(seed), steps.step, RETRY_SECONDS).start()
        steps.pending.callback(DELAY_SECONDS)
    assert len({call.getTime() for call in clock.getDelayedCalls()}) == 5


def test_a_step_that_raises_is_logged_and_tried_again(
    expected_failures: Callable[..., list[Failure]],
) -> None:
    """A loop that ended would leave a node without a sign of life."""
    clock, steps = Clock(), Steps()
    started(steps, clock)
    for _ in range(3):
        steps.pending.errback(ZeroDivisionError())
        clock.advance(RETRY_SECONDS * (1 + JITTER))
    assert steps.begun == 4
    assert len(expected_failures(ZeroDivisionError)) == 3


def test_stop_cancels_the_step_under_way() -> None:
    """And fires when it has ended; no delay is left behind."""
    clock, steps = Clock(), Steps()
    loop = started(steps, clock)
    assert has_ended(loop.stop())
    assert steps.pending.called
    assert not clock.getDelayedCalls()


def test_stop_waits_for_a_step_that_cleans_up() -> None:
    """What the step still has to do is done before the service goes on to close what it uses."""
    clock: Clock = Clock()
    cleaned: Deferred[None] = Deferred()

    async def step() -> float:
        try:
            await Deferred()
        finally:
            await cleaned
        return DELAY_SECONDS

    loop = Loop(clock, Random(1), step, RETRY_SECONDS)
    loop.start()
    stopped = loop.stop()
    assert not has_ended(stopped)
    cleaned.callback(None)
    assert has_ended(stopped)


def test_stop_ends_a_delay_and_a_loop_that_never_started() -> None:
    """In either case there is nothing to wait for."""
    clock, steps = Clock(), Steps()
    loop = started(steps, clock)
    steps.pending.callback(DELAY_SECONDS)
    assert has_ended(loop.stop())
    assert not clock.getDelayedCalls()
    assert has_ended(Loop(clock, Random(1), steps.step, RETRY_SECONDS).stop())
