"""
How an object is cut into 5 equal data chunks, and where each of its bytes lies.

A stripe is 5 units of ``unit_bytes``; unit i of every full stripe belongs to chunk i. The last
stripe, of R bytes, is cut into 5 runs of R // 5 bytes, the first R % 5 of them one byte longer. So
the chunks differ by at most one byte, whatever the size, and an object of up to one stripe is five
contiguous fifths.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from twisted_store.core.checksums import BLOCK_BYTES

DATA_CHUNKS = 5

UNIT_BYTES = 1024 * 1024
"""Stripe unit of an upload whose length is known; smaller ones cost more calls per byte."""

UNSIZED_UNIT_BYTES = 256 * 1024
"""Stripe unit of an upload of unknown length, of which a whole stripe is held in memory."""


@dataclass(frozen=True, slots=True)
class Run:
    """Consecutive object bytes that lie together in one chunk, ``offset`` bytes from its start."""

    index: int
    offset: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Striping:
    """The cut of an object of ``size_bytes`` into 5 chunks, ``unit_bytes`` at a time."""

    size_bytes: int
    unit_bytes: int

    def __post_init__(self) -> None:
        if self.size_bytes < 0 or self.unit_bytes <= 0 or self.unit_bytes % BLOCK_BYTES:
            raise ValueError(f"cannot stripe {self.size_bytes} bytes by {self.unit_bytes}")

    @property
    def stripe_bytes(self) -> int:
        """Bytes of a full stripe."""
        return DATA_CHUNKS * self.unit_bytes

    @property
    def chunk_sizes(self) -> list[int]:
        """Bytes of each chunk."""
        full_stripes, rest = divmod(self.size_bytes, self.stripe_bytes)
        width, longer = divmod(rest, DATA_CHUNKS)
        shortest = full_stripes * self.unit_bytes + width
        return [shortest + (index < longer) for index in range(DATA_CHUNKS)]

    def chunk_bytes(self, index: int) -> int:
        """Bytes of chunk ``index``."""
        return self.chunk_sizes[index]

    def split(self, position: int) -> list[int]:
        """How many bytes of each chunk come before object byte ``position``."""
        stripe, within = divmod(position, self.stripe_bytes)
        width, longer = self._widths(stripe)
        before = stripe * self.unit_bytes
        split = []
        for index in range(DATA_CHUNKS):
            unit_bytes = width + (index < longer)
            split.append(before + min(within, unit_bytes))
            within = max(within - unit_bytes, 0)
        return split

    def runs(self, first: int, end: int) -> Iterator[Run]:
        """The runs that make up the object's bytes from ``first`` up to, not including, ``end``."""
        position = first
        while position < end:
            run = self.run_at(position, end)
            yield run
            position += run.size_bytes

    def run_at(self, position: int, end: int) -> Run:
        """The first of these runs; raises ValueError for a position outside the object."""
        if not 0 <= position < self.size_bytes:
            raise ValueError(f"byte {position} lies outside {self.size_bytes} bytes")
        stripe, within = divmod(position, self.stripe_bytes)
        width, longer = self._widths(stripe)
        longer_bytes = longer * (width + 1)
        if within < longer_bytes:
            width += 1
            index, offset = divmod(within, width)
        else:
            index, offset = divmod(within - longer_bytes, width)
            index += longer
        size_bytes = min(width - offset, end - position)
        return Run(index, stripe * self.unit_bytes + offset, size_bytes)

    def bytes_of_stripe(self, stripe: int) -> int:
        """Object bytes in that stripe; none behind the last one."""
        return min(max(self.size_bytes - stripe * self.stripe_bytes, 0), self.stripe_bytes)

    def stripe_end(self, position: int, end: int) -> int:
        """Where the stripe of object byte ``position`` ends, or ``end`` if that comes first."""
        return min((position // self.stripe_bytes + 1) * self.stripe_bytes, end)

    def unit_of(self, stripe: int, index: int) -> int:
        """Bytes of unit ``index`` of that stripe."""
        if not self.bytes_of_stripe(stripe):
            return 0
        width, longer = self._widths(stripe)
        return width + (index < longer)

    def _widths(self, stripe: int) -> tuple[int, int]:
        """Bytes of the shortest unit of that stripe, and how many have one byte more."""
        full_stripes, rest = divmod(self.size_bytes, self.stripe_bytes)
        return (self.unit_bytes, 0) if stripe < full_stripes else divmod(rest, DATA_CHUNKS)
