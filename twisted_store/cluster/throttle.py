"""How fast bytes may pass, all users together."""

from collections import deque
from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

BURST_SECONDS = 0.1
"""What was not used passes later, but no more than of so long."""


class Throttle:
    """
    Lets ``rate_bytes`` per second pass, in the order in which they are asked for; None: all.

    Bytes pass at once when those before them have had their time, so the first of a pause never
    wait. Another rate holds at once, for those who wait as well.
    """

    def __init__(
        self, clock: IReactorTime, monotonic: Callable[[], float], rate_bytes: int | None
    ) -> None:
        self._clock = clock
        self._monotonic = monotonic
        self._rate_bytes = rate_bytes
        self._due_seconds = monotonic()
        self._waiting: deque[tuple[int, Deferred[None]]] = deque()
        self._timer: IDelayedCall | None = None
        self._passing = False

    @property
    def rate_bytes(self) -> int | None:
        """Bytes per second."""
        return self._rate_bytes

    @rate_bytes.setter
    def rate_bytes(self, rate_bytes: int | None) -> None:
        now_seconds = self._monotonic()
        left_bytes = max(self._due_seconds - now_seconds, 0.0) * (self._rate_bytes or 0)
        self._due_seconds = now_seconds + (left_bytes / rate_bytes if rate_bytes else 0.0)
        self._rate_bytes = rate_bytes
        self._pass()

    async def take(self, size_bytes: int) -> None:
        """Return when so many bytes may pass."""

        def give_up(_: "Deferred[None]") -> None:
            self._waiting.remove(taker)
            self._pass()

        taker = (size_bytes, Deferred[None](give_up))
        self._waiting.append(taker)
        self._pass()
        await taker[1]

    def _pass(self) -> None:
        """Let all pass whose time has come, and come back for the next one."""
        if self._passing:
            return
        self._passing = True
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        while self._waiting and not self._wait_seconds():
            size_bytes, waiting = self._waiting.popleft()
            if self._rate_bytes is not None:
                since_seconds = max(self._due_seconds, self._monotonic() - BURST_SECONDS)
                self._due_seconds = since_seconds + size_bytes / self._rate_bytes
            waiting.callback(None)
        if self._waiting:
            self._timer = self._clock.callLater(self._wait_seconds(), self._pass)
        self._passing = False

    def _wait_seconds(self) -> float:
        if self._rate_bytes is None:
            return 0.0
        return max(self._due_seconds - self._monotonic(), 0.0)
