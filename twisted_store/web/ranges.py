"""Range requests: RFC 9110 section 14, one range of bytes at a time."""

import re
from dataclasses import dataclass

from twisted_store.errors import RangeNotSatisfiableError

_SINGLE_RANGE = re.compile(r"bytes=([0-9]{0,30})-([0-9]{0,30})", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Range:
    """The bytes from ``first`` to ``last`` of an object, both included."""

    first: int
    last: int

    @property
    def size_bytes(self) -> int:
        """How many bytes these are."""
        return self.last - self.first + 1

    def content_range(self, size_bytes: int) -> str:
        """The ``Content-Range`` of an answer with these bytes of an object of ``size_bytes``."""
        return f"bytes {self.first}-{self.last}/{size_bytes}"


def parse_range(header: str | None, size_bytes: int) -> Range | None:
    """
    The part of an object of ``size_bytes`` that a ``Range`` header asks for.

    None stands for the whole object: no header, or one that may be ignored because it is malformed,
    in another unit or names several ranges. Raises RangeNotSatisfiableError for a range that begins
    at or beyond the end, and for the last 0 bytes.
    """
    match = _SINGLE_RANGE.fullmatch(header.strip()) if header is not None else None
    if match is None:
        return None
    first, last = match.groups()
    if first:
        return _from_first(int(first), int(last) if last else None, size_bytes)
    return _from_suffix(int(last), size_bytes) if last else None


def _from_first(first: int, last: int | None, size_bytes: int) -> Range | None:
    if last is None:
        last = max(first, size_bytes - 1)
    if last < first:
        return None
    if first >= size_bytes:
        raise RangeNotSatisfiableError(f"The file has {size_bytes} bytes.", size_bytes)
    return Range(first, min(last, size_bytes - 1))


def _from_suffix(suffix_bytes: int, size_bytes: int) -> Range | None:
    if suffix_bytes == 0:
        raise RangeNotSatisfiableError("The last 0 bytes are no range.", size_bytes)
    # The last bytes of an empty object are satisfiable, but no Content-Range can say so.
    return Range(max(0, size_bytes - suffix_bytes), size_bytes - 1) if size_bytes else None
