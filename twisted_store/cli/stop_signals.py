"""Requests to end, taken note of and looked at only where it is safe to end."""

import signal
from types import FrameType, TracebackType
from typing import Any, Self

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StopRequested(Exception):  # noqa: N818 - an event, not an error
    """Somebody asked this process to end."""


class StopSignals:
    """
    While entered, Ctrl-C and the signals like it break nothing off.

    They make `check` raise, so that no child process is lost between its start and the note of it.
    """

    def __init__(self) -> None:
        self._received = False
        self._replaced: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        # Whoever started us with one ignored, as nohup does, wants it ignored.
        heeded = [each for each in STOP_SIGNALS if signal.getsignal(each) != signal.SIG_IGN]
        self._replaced = {each: signal.signal(each, self._note) for each in heeded}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for each, handler in self._replaced.items():
            signal.signal(each, handler)

    def check(self) -> None:
        """Raise `StopRequested` if a signal came."""
        if self._received:
            raise StopRequested

    def _note(self, _signal_number: int, _frame: FrameType | None) -> None:
        self._received = True
