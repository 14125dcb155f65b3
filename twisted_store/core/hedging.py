"""How long to wait for a source before others are asked (Dean and Barroso, 2013)."""

from collections import deque
from math import ceil

WAITS_KEPT = 512
"""So many of the last waits count."""

WAITS_PER_LOOK = 32
"""The delay is computed anew after so many waits."""

QUANTILE = 0.99
FACTOR = 3.0
"""The delay is so many times the wait that all but one in a hundred stay below."""

DELAY_SECONDS_FIRST = 0.5
"""Before enough is known."""

DELAY_SECONDS_MIN = 0.1
DELAY_SECONDS_MAX = 2.0
"""The bounds; an operator reads the upper one as what a slow node costs at most."""


class HedgingDelay:
    """Follows the waits that were observed, in seconds."""

    def __init__(self) -> None:
        self.seconds = DELAY_SECONDS_FIRST
        self._waits: deque[float] = deque(maxlen=WAITS_KEPT)
        self._unseen = 0

    def observe(self, wait_seconds: float) -> None:
        """A source answered after so long."""
        self._waits.append(wait_seconds)
        self._unseen += 1
        if self._unseen == WAITS_PER_LOOK:
            self._unseen = 0
            ordered = sorted(self._waits)
            usual = ordered[ceil(QUANTILE * len(ordered)) - 1]
            self.seconds = min(max(FACTOR * usual, DELAY_SECONDS_MIN), DELAY_SECONDS_MAX)
