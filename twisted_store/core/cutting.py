"""A body on its way into chunks: what goes on as it arrives, and what has to wait."""

from collections.abc import Iterator
from typing import Protocol

from twisted_store.core.checksums import Buffer
from twisted_store.core.encoding import Code, Part
from twisted_store.core.striping import DATA_CHUNKS, Striping


class Cutter(Protocol):
    """Cuts a body, piece by piece, into parts of chunks, those of parity or copies included."""

    def feed(self, piece: Buffer) -> Iterator[Part]:
        """Parts that can go on now that ``piece`` has come."""

    def end(self) -> Iterator[Part]:
        """Parts that could not go on before the end was known."""


class SizedCutter:
    """Cuts a body whose length is known: every byte goes on as it arrives."""

    def __init__(self, striping: Striping, code: Code) -> None:
        self._encoder = code.encoder(striping)
        self._runs = striping.runs(0, striping.size_bytes)
        self._index = 0
        self._left = 0

    def feed(self, piece: Buffer) -> Iterator[Part]:
        """Parts of ``piece``, which must not go beyond the length that was announced."""
        view = memoryview(piece)
        while view:
            if not self._left:
                run = next(self._runs)
                self._index, self._left = run.index, run.size_bytes
            part, view = view[: self._left], view[self._left :]
            self._left -= len(part)
            yield from self._encoder.feed(self._index, part)

    def end(self) -> Iterator[Part]:
        """Nothing is ever held back."""
        return iter(())


class UnsizedCutter:
    """
    Cuts a body of unknown length.

    One stripe is held, since the last one is cut in another way than the others, and which one is
    the last is known only at the end.
    """

    def __init__(self, unit_bytes: int, code: Code) -> None:
        self._code = code
        self._unit_bytes = unit_bytes
        self._stripe_bytes = DATA_CHUNKS * unit_bytes
        self._held: list[memoryview] = []
        self._held_bytes = 0

    def feed(self, piece: Buffer) -> Iterator[Part]:
        """Parts of all the stripes that cannot be the last one."""
        view = memoryview(piece)
        while self._held_bytes + len(view) > self._stripe_bytes:
            room = self._stripe_bytes - self._held_bytes
            self._hold(view[:room])
            view = view[room:]
            yield from self._release()
        self._hold(view)

    def end(self) -> Iterator[Part]:
        """Parts of the last stripe."""
        return self._release()

    def _hold(self, view: memoryview) -> None:
        self._held.append(view)
        self._held_bytes += len(view)

    def _release(self) -> Iterator[Part]:
        cutter = SizedCutter(Striping(self._held_bytes, self._unit_bytes), self._code)
        held, self._held, self._held_bytes = self._held, [], 0
        for view in held:
            yield from cutter.feed(view)
