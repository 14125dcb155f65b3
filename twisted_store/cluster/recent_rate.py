"""How much was done lately."""

from collections import deque
from collections.abc import Callable

WINDOW_SECONDS = 10.0
"""The rate is that of so long."""


class RecentRate:
    """Bytes per second, over the last `WINDOW_SECONDS`."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._passed: deque[tuple[float, int]] = deque()
        self._sum_bytes = 0

    def add(self, size_bytes: int) -> None:
        """So many bytes have passed now."""
        now_seconds = self._monotonic()
        self._passed.append((now_seconds, size_bytes))
        self._sum_bytes += size_bytes
        self._forget(now_seconds)

    @property
    def bytes_per_second(self) -> float:
        """The rate now."""
        self._forget(self._monotonic())
        return self._sum_bytes / WINDOW_SECONDS

    def _forget(self, now_seconds: float) -> None:
        while self._passed and self._passed[0][0] < now_seconds - WINDOW_SECONDS:
            self._sum_bytes -= self._passed.popleft()[1]
