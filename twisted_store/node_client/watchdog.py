"""A deadline on progress, not on the whole: large chunks take long, stalled nodes do not answer."""

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime


class Watchdog:
    """Calls ``on_stall`` once when, while it watches, ``seconds`` pass without `progress`."""

    def __init__(self, clock: IReactorTime, seconds: float, on_stall: Callable[[], None]) -> None:
        self._clock = clock
        self._seconds = seconds
        self._on_stall = on_stall
        self._call: IDelayedCall | None = None

    def watch(self) -> None:
        """The peer owes us something from now on."""
        if self._call is None:
            self._call = self._clock.callLater(self._seconds, self._stalled)

    def progress(self) -> None:
        """The peer did something."""
        if self._call is not None:
            self._call.reset(self._seconds)

    def rest(self) -> None:
        """The peer owes us nothing."""
        call, self._call = self._call, None
        if call is not None:
            call.cancel()

    def _stalled(self) -> None:
        self._call = None
        self._on_stall()
