"""
The chunks beyond the data chunks, made while the data passes.

Byte x of a parity unit is made of the bytes x of the 5 units of its stripe, which are padded with
zeros to the longest of them, the first. The units come one after the other, so parity is summed up
as they pass, and goes on with the bytes of the last unit: no stripe is held, only its parity.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from twisted_store.core.galois import Combination, Combine
from twisted_store.core.scheme import Scheme
from twisted_store.core.striping import DATA_CHUNKS, Striping

Part = tuple[int, memoryview]
"""The index of a chunk, and bytes that follow those that it was given before."""


@dataclass(frozen=True, slots=True)
class Code:
    """A scheme, and what does its arithmetic."""

    scheme: Scheme
    combine: Combine

    def encoder(self, striping: Striping) -> "Encoder":
        """What makes all chunks of an object of that striping."""
        return Encoder(self, striping)


class Encoder:
    """Turns parts of data chunks, in the object's order, into those of all chunks."""

    def __init__(self, code: Code, striping: Striping) -> None:
        self._copies = code.scheme is Scheme.COPIES
        rows = () if self._copies else code.scheme.generator[DATA_CHUNKS:]
        self._parity = _Parity(striping, code.combine(rows), len(rows)) if rows else None

    def feed(self, index: int, part: memoryview) -> Iterator[Part]:
        """``part``, and all that can be made now that it has come."""
        yield index, part
        if self._copies:
            yield index + DATA_CHUNKS, part
        if self._parity is not None:
            yield from self._parity.feed(index, part)


class _Parity:
    """The parity of one stripe after the other."""

    def __init__(self, striping: Striping, combination: Combination, rows: int) -> None:
        self._striping = striping
        self._combination = combination
        self._rows = rows
        self._stripe = -1
        self._index = self._row = self._released = 0
        self._left_bytes = self._unit_bytes = 0
        self._sums: list[memoryview] = []
        self._begin_stripe()

    def feed(self, index: int, part: memoryview) -> Iterator[Part]:
        if index != self._index:
            self._index, self._row = index, 0
        end = self._row + len(part)
        self._combination.add(index, part, [sum_[self._row : end] for sum_ in self._sums])
        self._row = end
        self._left_bytes -= len(part)
        if not self._left_bytes:
            yield from self._release(self._unit_bytes)
            self._begin_stripe()
        elif index == DATA_CHUNKS - 1:
            yield from self._release(end)

    def _begin_stripe(self) -> None:
        self._stripe += 1
        self._index = self._row = self._released = 0
        self._left_bytes = self._striping.bytes_of_stripe(self._stripe)
        self._unit_bytes = self._striping.unit_of(self._stripe, 0)
        # New ones for each stripe: those before are still on their way.
        self._sums = [memoryview(bytearray(self._unit_bytes)) for _ in range(self._rows)]

    def _release(self, end: int) -> Iterator[Part]:
        start, self._released = self._released, end
        if start < end:
            for row, sum_ in enumerate(self._sums):
                yield DATA_CHUNKS + row, sum_[start:end].toreadonly()
