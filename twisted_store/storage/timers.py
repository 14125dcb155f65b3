"""Work in the background that must be done within some time."""

from collections.abc import Awaitable, Callable

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from twisted_store.errors import StoreError

log = Logger()


class Within:
    """
    Runs ``work`` in time, never twice at once. One that fails is logged.

    What is asked for while it runs is done after it.
    """

    def __init__(self, clock: IReactorTime, work: Callable[[], Awaitable[None]]) -> None:
        self._clock = clock
        self._work = work
        self._next: IDelayedCall | None = None
        self._again_seconds: float | None = None
        self._running = False
        self._stopped: Deferred[None] | None = None

    def call(self, seconds: float) -> None:
        """Begin within so many seconds."""
        if self._running:
            again_seconds = seconds if self._again_seconds is None else self._again_seconds
            self._again_seconds = min(seconds, again_seconds)
        elif self._next is None:
            self._next = self._clock.callLater(seconds, self._start)
        elif self._next.getTime() > self._clock.seconds() + seconds:
            self._next.reset(seconds)

    async def stop(self) -> None:
        """Begin no more; returns when nothing runs."""
        self._stopped = Deferred()
        if self._running:
            await self._stopped
        elif self._next is not None:
            self._next.cancel()
            self._next = None

    def _start(self) -> None:
        self._next = None
        Deferred.fromCoroutine(self._run())

    async def _run(self) -> None:
        self._running = True
        try:
            await self._work()
        except StoreError as error:
            log.warn("what is done in the background failed: {problem}", problem=error.message)
        self._running = False
        again_seconds, self._again_seconds = self._again_seconds, None
        if self._stopped is not None:
            self._stopped.callback(None)
        elif again_seconds is not None:
            self.call(again_seconds)
