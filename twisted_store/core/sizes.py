"""Amounts of bytes as people write and read them."""

import re
from dataclasses import dataclass

_UNIT_BYTES = {
    "": 1,
    "b": 1,
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
    "tb": 10**12,
    "pb": 10**15,
    "kib": 2**10,
    "mib": 2**20,
    "gib": 2**30,
    "tib": 2**40,
    "pib": 2**50,
}
_BINARY_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_SIZE = re.compile(r"(?P<number>[0-9]+(\.[0-9]+)?) ?(?P<unit>[A-Za-z]*)")
_PERCENT = re.compile(r"(?P<number>[0-9]+(\.[0-9]+)?) ?%")


def parse_size(text: str) -> int:
    """
    Bytes meant by ``2GiB``, ``1.5 TB``, ``500MB`` or a bare number of bytes; units in any case.

    Raises ValueError with a sentence that says what a size looks like.
    """
    match = _SIZE.fullmatch(text.strip())
    factor = _UNIT_BYTES.get(match["unit"].lower()) if match else None
    if match is None or factor is None:
        raise ValueError(f"{text!r} is not a size: write it like 2GiB, 500MB or 1048576.")
    return int(float(match["number"]) * factor) if "." in text else int(match["number"]) * factor


def format_size(size_bytes: int) -> str:
    """``size_bytes`` with one decimal in the largest binary unit that it fills, like 1.5 GiB."""
    power = min(max(size_bytes.bit_length() - 1, 0) // 10, len(_BINARY_UNITS) - 1)
    if power == 0:
        return f"{size_bytes} B"
    return f"{size_bytes / 2 ** (10 * power):.1f} {_BINARY_UNITS[power]}"


@dataclass(frozen=True, slots=True)
class Share:
    """A part of a whole that is given: a fixed number of bytes or a fraction from 0 to 1."""

    size_bytes: int = 0
    fraction: float = 0.0

    def of(self, whole_bytes: int) -> int:
        """The part in bytes."""
        return self.size_bytes + int(self.fraction * whole_bytes)


def parse_share(text: str) -> Share:
    """The share meant by a percentage, ``5%``, or a size; raises ValueError like `parse_size`."""
    match = _PERCENT.fullmatch(text.strip())
    if match is None:
        return Share(size_bytes=parse_size(text))
    percent = float(match["number"])
    if percent > 100:
        raise ValueError(f"{text!r} is more than all: write at most 100%.")
    return Share(fraction=percent / 100)
