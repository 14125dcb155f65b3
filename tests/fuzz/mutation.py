"""Bytes that are nearly valid: samples with something changed in them."""

import re
from collections.abc import Callable, Sequence
from random import Random

INPUT_BYTES_MAX = 400_000
"""Longer ones are cut: they would say nothing new, and slowly."""

CHANGES_MAX = 4

_NUMBER = re.compile(rb"[0-9]+")
_NUMBERS = (b"0", b"-1", b"1e999", b"NaN", b"null", b"true", b"01", b"18446744073709551616", b"[]")
_WIDTHS = (1, 2, 4, 8)


class Mutator:
    """Changes samples; all chance is that of ``random``."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._changes: list[Callable[[bytes, bytes], bytes]] = [
            self._flip,
            self._truncate,
            self._remove,
            self._repeat,
            self._splice,
            self._join,
            self._insert,
            self._field,
            self._field,
            self._number,
        ]

    def mutate(self, corpus: Sequence[bytes]) -> bytes:
        """One of the corpus, with a few changes, some of which take pieces of others."""
        raw = self._random.choice(corpus)
        for _ in range(self._random.randint(1, CHANGES_MAX)):
            raw = self._random.choice(self._changes)(raw, self._random.choice(corpus))
        return raw[:INPUT_BYTES_MAX]

    def _flip(self, raw: bytes, _: bytes) -> bytes:
        """One bit."""
        if not raw:
            return raw
        at = self._position(raw) % len(raw)
        return raw[:at] + bytes([raw[at] ^ 1 << self._random.randrange(8)]) + raw[at + 1 :]

    def _truncate(self, raw: bytes, _: bytes) -> bytes:
        """At either end."""
        at = self._position(raw)
        return raw[:at] if self._random.random() < 0.7 else raw[at:]

    def _remove(self, raw: bytes, _: bytes) -> bytes:
        """A piece."""
        start, end = self._piece(raw)
        return raw[:start] + raw[end:]

    def _repeat(self, raw: bytes, _: bytes) -> bytes:
        """A piece, some times."""
        start, end = self._piece(raw)
        return raw[:end] + raw[start:end] * self._random.choice((1, 1, 2, 10)) + raw[end:]

    def _splice(self, raw: bytes, other: bytes) -> bytes:
        """The beginning of one and the end of another, or a piece of it in between."""
        at = self._position(raw)
        if self._random.random() < 0.5:
            return raw[:at] + other[self._position(other) :]
        start, end = self._piece(other)
        return raw[:at] + other[start:end] + raw[at:]

    def _join(self, raw: bytes, other: bytes) -> bytes:
        """One behind the other, both whole."""
        return raw + other

    def _insert(self, raw: bytes, _: bytes) -> bytes:
        """Bytes of chance, in place of others or between them."""
        at = self._position(raw)
        new = self._random.randbytes(self._random.choice((1, 2, 4, 8, 50)))
        return raw[:at] + new + raw[at + self._random.choice((0, len(new))) :]

    def _field(self, raw: bytes, _: bytes) -> bytes:
        """A number of some width, at a place where one may be: none, all, one more, one less."""
        width = self._random.choice(_WIDTHS)
        at = self._position(raw)
        if self._random.random() < 0.5:
            at -= at % width
        field = raw[at : at + width]
        if len(field) < width:
            return raw
        old, limit = int.from_bytes(field), 1 << 8 * width
        edge = 1 << self._random.randrange(8 * width)
        new = self._random.choice((0, limit - 1, old + 1, old - 1, edge, edge - 1, len(raw)))
        return raw[:at] + (new % limit).to_bytes(width) + raw[at + width :]

    def _number(self, raw: bytes, _: bytes) -> bytes:
        """A number that is written as text."""
        start, end = self._piece(raw)
        found = _NUMBER.search(raw, start)
        if found is None:
            return raw
        near = [b"%d" % (int(found[0][:20]) + step) for step in (-1, 1)]
        new = self._random.choice([*_NUMBERS, *near])
        return raw[: found.start()] + new + raw[found.end() :]

    def _position(self, raw: bytes) -> int:
        """Anywhere, but more often at an end or near it, where heads and footers are."""
        near = min(len(raw), 100)
        chance = self._random.random()
        if chance < 0.1:
            return self._random.choice((0, len(raw)))
        if chance < 0.3:
            return self._random.randint(0, near)
        if chance < 0.6:
            return len(raw) - self._random.randint(0, near)
        return self._random.randint(0, len(raw))

    def _piece(self, raw: bytes) -> tuple[int, int]:
        """Where a piece begins and ends: more often a short one."""
        start = self._position(raw)
        most = self._random.choice((4, 40, len(raw)))
        return start, min(len(raw), start + self._random.randint(0, most))
