"""A step that is repeated for as long as its service runs."""

from collections.abc import Awaitable, Callable
from random import Random

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

JITTER = 0.1
"""By which part a delay is longer or shorter, so that loops that began together drift apart."""

log = Logger()


class Loop:
    """
    Runs ``step`` at once, then again and again after about the seconds that it returned.

    Runs never overlap. A step that raises is logged and comes again after ``retry_seconds``:
    nothing but `stop` ends the loop.
    """

    def __init__(
        self,
        clock: IReactorTime,
        random: Random,
        step: Callable[[], Awaitable[float]],
        retry_seconds: float,
    ) -> None:
        self._clock = clock
        self._random = random
        self._step = step
        self._retry_seconds = retry_seconds
        self._running: Deferred[None] = succeed(None)
        self._stopping = False

    def start(self) -> None:
        """Begin with the first step."""
        self._running = Deferred.fromCoroutine(self._run())

    def stop(self) -> "Deferred[None]":
        """Cancel the step or the delay under way; fires when it has ended."""
        self._stopping = True
        self._running.addErrback(_expect_cancellation)
        self._running.cancel()
        return self._running

    async def _run(self) -> None:
        while True:
            delay_seconds = await self._attempt()
            if self._stopping:  # the step made something else of its cancellation
                return
            jitter = self._random.uniform(1 - JITTER, 1 + JITTER)
            await deferLater(self._clock, delay_seconds * jitter)

    async def _attempt(self) -> float:
        try:
            return await self._step()
        except CancelledError:
            raise
        except Exception:
            log.failure("{step} failed, it will be tried again", step=self._step)
            return self._retry_seconds


def _expect_cancellation(reason: Failure) -> None:
    reason.trap(CancelledError)
