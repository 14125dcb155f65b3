"""Simulated time: a reactor clock that jumps from one delayed call to the next."""

from collections.abc import Callable
from typing import TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import Clock
from twisted.python.failure import Failure

WALL_START_SECONDS = 1_750_000_000.0
PENDING_CALLS_SHOWN_MAX = 20

T = TypeVar("T")


class StillPendingError(Exception):
    """A Deferred did not fire within its limit of simulated time; the message lists what waits."""


class SimulatedClock(Clock):
    """
    Time in seconds from 0, which passes only while a ``run_…`` method runs.

    A delayed call that raises ends the run, which raises the same, where a reactor would log it.
    """

    def wall_seconds(self) -> float:
        """Seconds since the epoch; every simulation starts at the same date."""
        return WALL_START_SECONDS + self.seconds()

    def run_blocking(self, f: Callable[[], T]) -> Deferred[T]:
        """
        Run ``f`` now; its result or failure arrives in a later turn, in the order of the calls.

        Cancelling the Deferred does not undo ``f``, as it would not stop a thread.
        """
        return run_inline(self, f)

    def run_until(self, deferred: Deferred[T], limit_seconds: float) -> T:
        """
        Advance call by call until ``deferred`` fires; return its result or raise its failure.

        Raises StillPendingError when ``limit_seconds`` pass first, or nothing is left to call.
        """
        end_seconds = self.seconds() + limit_seconds
        outcomes: list[T | Failure] = []
        deferred.addBoth(outcomes.append)
        while not outcomes:
            if not self._run_next(end_seconds):
                raise StillPendingError(self._describe_pending(limit_seconds))
        [outcome] = outcomes
        if isinstance(outcome, Failure):
            outcome.raiseException()
        return outcome

    def run_for(self, seconds: float) -> None:
        """Advance call by call through the next ``seconds``."""
        end_seconds = self.seconds() + seconds
        while self._run_next(end_seconds):
            pass
        self.rightNow = end_seconds

    def _run_next(self, end_seconds: float) -> bool:
        """Jump to the next delayed call and run all that is due then; False if none is in time."""
        due_seconds = min((call.getTime() for call in self.calls), default=float("inf"))
        if due_seconds > end_seconds:
            return False
        self.rightNow = max(self.rightNow, due_seconds)
        self.advance(0)
        return True

    def _describe_pending(self, limit_seconds: float) -> str:
        lines = [f"not fired within {limit_seconds} s of simulated time; {len(self.calls)} waiting"]
        for call in self.calls[:PENDING_CALLS_SHOWN_MAX]:
            name = getattr(call.func, "__qualname__", repr(call.func))
            lines.append(f"{name} in {call.getTime() - self.seconds():.6f} s")
        return "\n  ".join(lines)


def run_inline(clock: IReactorTime, f: Callable[[], T]) -> Deferred[T]:
    """Run ``f`` now; its result or failure arrives in a later turn of ``clock``, if it has one."""
    finished: Deferred[T] = Deferred()
    # No Deferred holds the result meanwhile: it would log a failure that nobody comes to take.
    clock.callLater(0, finished.callback, _outcome(f))
    return finished


def _outcome(f: Callable[[], T]) -> T | Failure:
    try:
        return f()
    except Exception:
        return Failure()
