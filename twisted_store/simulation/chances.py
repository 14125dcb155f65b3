"""How much of what was not synced a power loss leaves."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from random import Random
from typing import Protocol

from twisted_store.simulation.recording import Created, Removed, Renamed, Resized, Written

SECTOR_BYTES = 512
"""What a disk writes at once."""

NameChange = Created | Renamed | Removed
ContentChange = Written | Resized


class Chance(Protocol):
    """Decides what of the unsynced changes is there after the power loss."""

    def names(self, changes: Sequence[NameChange]) -> Iterable[NameChange]:
        """Those of the changes to one directory that are there."""

    def content(self, changes: Sequence[ContentChange]) -> Iterable[ContentChange]:
        """What is there of the changes to one file, in the order in which it arrived."""


class Nothing:
    """What was not synced is gone."""

    def names(self, _: Sequence[NameChange]) -> Iterable[NameChange]:
        """None of them."""
        return ()

    def content(self, _: Sequence[ContentChange]) -> Iterable[ContentChange]:
        """None of them."""
        return ()


class Everything:
    """All is there, as after the end of all processes that leaves the machines alive."""

    def names(self, changes: Sequence[NameChange]) -> Iterable[NameChange]:
        """All of them."""
        return changes

    def content(self, changes: Sequence[ContentChange]) -> Iterable[ContentChange]:
        """All of them."""
        return changes


class Mixture:
    """About a ``share`` of it is there, from 0 to 1."""

    def __init__(self, random: Random, share: float) -> None:
        self._random = random
        self._share = share

    def names(self, changes: Sequence[NameChange]) -> Iterable[NameChange]:
        """Of each file those up to one of them."""
        lost: set[int] = set()
        for change in changes:
            if change.file not in lost and self._random.random() < self._share:
                yield change
            else:
                lost.add(change.file)

    def content(self, changes: Sequence[ContentChange]) -> Iterable[ContentChange]:
        """Parts of them, shuffled."""
        arrived = [part for change in changes for part in self._arrived(change)]
        self._random.shuffle(arrived)
        return arrived

    def _arrived(self, change: ContentChange) -> Iterator[ContentChange]:
        if self._random.random() < self._share:
            yield change
        elif isinstance(change, Written):
            if self._random.random() < 0.5:
                yield from (each for each in _sectors(change) if self._random.random() < 0.5)
            if self._random.random() < 0.5:  # longer, without the bytes
                end = change.offset + len(change.payload)
                yield Written(change.path, change.file, end, b"")


class Scratched:
    """All is there but single sectors of some writes, which have zeros or what was there before."""

    def __init__(self, random: Random) -> None:
        self._random = random

    def names(self, changes: Sequence[NameChange]) -> Iterable[NameChange]:
        """All of them."""
        return changes

    def content(self, changes: Sequence[ContentChange]) -> Iterable[ContentChange]:
        """Nearly all of them."""
        for change in changes:
            if isinstance(change, Written) and change.payload and self._random.random() < 0.5:
                sectors = list(_sectors(change))
                lost = self._random.randrange(len(sectors))
                yield from (*sectors[:lost], *sectors[lost + 1 :])
            else:
                yield change


NOTHING: Chance = Nothing()
EVERYTHING: Chance = Everything()


Draw = Callable[[], Chance]
"""Gives each machine its chance in one power loss."""


def any_draw(random: Random) -> Draw:
    """Each machine gets any chance, or all of them one that leaves nearly everything."""
    nearly = [EVERYTHING, Scratched(random)]
    mixtures = [Mixture(random, share) for share in (0.1, 0.5, 0.9)]
    chances = random.choice([nearly, [NOTHING, *nearly, *mixtures]])
    return lambda: random.choice(chances)


def _sectors(written: Written) -> Iterator[Written]:
    """The same bytes, cut where sectors of the file end."""
    start, payload = written.offset, written.payload
    while payload:
        size_bytes = SECTOR_BYTES - start % SECTOR_BYTES
        yield Written(written.path, written.file, start, payload[:size_bytes])
        start, payload = start + size_bytes, payload[size_bytes:]
