"""A deadline on progress, not on the whole: large chunks take long, stalled nodes do not answer."""

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime

LATE_SECONDS_MAX = 0.5
"""A deadline noticed later than this passed while this process itself stood still."""


class Watchdog:
    """
    Calls ``on_stall`` once when, while it watches, ``seconds`` pass without `progress`.

    Time in which this process was suspended does not count: what the peer sent may be waiting here.
    """

    def __init__(self, clock: IReactorTime, seconds: float, on_stall: Callable[[], None]) -> None:
        self._clock = clock
        self._seconds = seconds
        self._on_stall = on_stall
        self._call: IDelayedCall | None = None
        self.stalled = False

    def watch(self) -> None:
        """The peer owes us something from now on."""
        if self._call is None:
            self._call = self._clock.callLater(self._seconds, self._due)

    def progress(self) -> None:
        """The peer did something."""
        if self._call is not None:
            self._call.reset(self._seconds)

    def rest(self) -> None:
        """The peer owes us nothing."""
        call, self._call = self._call, None
        if call is not None:
            call.cancel()

    def _due(self) -> None:
        call, self._call = self._call, None
        assert call is not None
        if self._clock.seconds() - call.getTime() > LATE_SECONDS_MAX:
            self.watch()
        else:
            self.stalled = True
            self._on_stall()
