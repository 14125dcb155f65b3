"""
How an object is cut into 5 equal data chunks, and where each of its bytes lies.

A stripe is 5 units of ``unit_bytes``; unit i of every full stripe belongs to chunk i. The last
stripe, of R bytes, is cut into 5 runs of R // 5 bytes, the first R % 5 of them one byte longer. So
the chunks differ by at most one byte, whatever the size, and an object of up to one stripe is five
contiguous fifths.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from twisted_store.core.checksums import BLOCK_BYTES, Buffer

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

    def chunk_bytes(self, index: int) -> int:
        """Bytes of chunk ``index``."""
        return self.before(self.size_bytes, index)

    def before(self, position: int, index: int) -> int:
        """How many bytes of chunk ``index`` come before object byte ``position``."""
        stripe, within = divmod(position, self.stripe_bytes)
        start, width = self._unit(stripe, index)
        return stripe * self.unit_bytes + min(max(within - start, 0), width)

    def runs(self, first: int, end: int) -> Iterator[Run]:
        """The runs that make up the object's bytes from ``first`` up to, not including, ``end``."""
        position = first
        while position < end:
            run = self._run_at(position)
            size = min(run.size_bytes, end - position)
            yield Run(run.index, run.offset, size)
            position += size

    def _unit(self, stripe: int, index: int) -> tuple[int, int]:
        """Start within the stripe, and width, of unit ``index`` of that stripe."""
        full_stripes, rest = divmod(self.size_bytes, self.stripe_bytes)
        if stripe < full_stripes:
            return index * self.unit_bytes, self.unit_bytes
        width, longer = divmod(rest, DATA_CHUNKS)
        return index * width + min(index, longer), width + (index < longer)

    def _run_at(self, position: int) -> Run:
        stripe, within = divmod(position, self.stripe_bytes)
        for index in range(DATA_CHUNKS):
            start, width = self._unit(stripe, index)
            if start <= within < start + width:
                offset = stripe * self.unit_bytes + within - start
                return Run(index, offset, start + width - within)
        raise ValueError(f"byte {position} lies outside {self.size_bytes} bytes")


class Cutter(Protocol):
    """Cuts a body, piece by piece, into parts of chunks: pairs of chunk index and bytes."""

    def feed(self, piece: Buffer) -> Iterator[tuple[int, memoryview]]:
        """Parts that can go on now that ``piece`` has come."""

    def end(self) -> Iterator[tuple[int, memoryview]]:
        """Parts that could not go on before the end was known."""


class SizedCutter:
    """Cuts a body whose length is known: every byte goes on as it arrives."""

    def __init__(self, striping: Striping) -> None:
        self._runs = striping.runs(0, striping.size_bytes)
        self._index = 0
        self._left = 0

    def feed(self, piece: Buffer) -> Iterator[tuple[int, memoryview]]:
        """Parts of ``piece``, which must not go beyond the length that was announced."""
        view = memoryview(piece)
        while view:
            if not self._left:
                run = next(self._runs)
                self._index, self._left = run.index, run.size_bytes
            part, view = view[: self._left], view[self._left :]
            self._left -= len(part)
            yield self._index, part

    def end(self) -> Iterator[tuple[int, memoryview]]:
        """Nothing is ever held back."""
        return iter(())


class UnsizedCutter:
    """
    Cuts a body of unknown length.

    One stripe is held, since the last one is cut in another way than the others, and which one is
    the last is known only at the end.
    """

    def __init__(self, unit_bytes: int = UNSIZED_UNIT_BYTES) -> None:
        self._unit_bytes = unit_bytes
        self._stripe_bytes = DATA_CHUNKS * unit_bytes
        self._held: list[memoryview] = []
        self._held_bytes = 0

    def feed(self, piece: Buffer) -> Iterator[tuple[int, memoryview]]:
        """Parts of all the stripes that cannot be the last one."""
        view = memoryview(piece)
        while self._held_bytes + len(view) > self._stripe_bytes:
            room = self._stripe_bytes - self._held_bytes
            self._hold(view[:room])
            view = view[room:]
            yield from self._release()
        self._hold(view)

    def end(self) -> Iterator[tuple[int, memoryview]]:
        """Parts of the last stripe."""
        return self._release()

    def _hold(self, view: memoryview) -> None:
        self._held.append(view)
        self._held_bytes += len(view)

    def _release(self) -> Iterator[tuple[int, memoryview]]:
        cutter = SizedCutter(Striping(self._held_bytes, self._unit_bytes))
        held, self._held, self._held_bytes = self._held, [], 0
        for view in held:
            yield from cutter.feed(view)
