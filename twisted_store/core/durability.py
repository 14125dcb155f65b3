"""How much a write must survive before it is acknowledged, and the header that says so."""

import math
import re
from dataclasses import dataclass
from enum import Enum
from typing import Self

from twisted_store.errors import BadRequestError

DURABILITY_HEADER = "X-Durability"

_FORM = re.compile(r"(?P<mode>strict|relaxed|none)(;window=(?P<window>[0-9]+(\.[0-9]+)?))?")


class DurabilityMode(Enum):
    """What an acknowledged write survives."""

    STRICT = "strict"
    """Power loss of all machines at once: synced before the acknowledgement."""

    RELAXED = "relaxed"
    """The end of any process; synced in the background within a window."""

    NONE = "none"
    """Never synced: for benchmarks."""


@dataclass(frozen=True, slots=True)
class Durability:
    """A mode; with `DurabilityMode.RELAXED` the window after which all is synced, in seconds."""

    mode: DurabilityMode
    window_seconds: float = 0.0

    def __post_init__(self) -> None:
        relaxed = self.mode is DurabilityMode.RELAXED
        if relaxed != (self.window_seconds > 0) or not math.isfinite(self.window_seconds):
            raise ValueError(f"{self.mode.value} with a window of {self.window_seconds} seconds")

    def __str__(self) -> str:
        if self.mode is DurabilityMode.RELAXED:
            return f"{self.mode.value};window={_decimal(self.window_seconds)}"
        return str(self.mode.value)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raise `BadRequestError` unless ``text`` is what `str` makes of a durability."""
        form = _FORM.fullmatch(text)
        try:
            if form is None:
                raise ValueError(text)
            return cls(DurabilityMode(form["mode"]), float(form["window"] or 0))
        except ValueError as error:
            raise BadRequestError(
                f"{text!r} is not a durability: strict, relaxed;window=SECONDS and none are."
            ) from error


def _decimal(seconds: float) -> str:
    """Never in exponent notation, which the header does not have."""
    return f"{seconds:.6f}".rstrip("0").rstrip(".")


STRICT = Durability(DurabilityMode.STRICT)
NONE = Durability(DurabilityMode.NONE)
