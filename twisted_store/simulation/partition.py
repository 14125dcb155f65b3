"""Which hosts cannot reach each other, and what got stuck between them."""

from collections.abc import Callable
from itertools import count

from twisted.internet.address import IPv4Address

Path = tuple[IPv4Address, IPv4Address]
"""From where to where."""

Step = Callable[[], object]
"""What happens on arrival."""


class Partition:
    """
    Hosts on the same side reach each other; at first all are on one.

    What is under way when the sides part, or is sent afterwards, waits for the end of it, as TCP
    would send it again. Even a RST does, which in truth would have to be asked for by more bytes.
    """

    def __init__(self) -> None:
        self._sides: dict[str, int] = {}
        self._numbers = count(1)
        self._stuck: list[tuple[Path, Step]] = []

    def part(self, *hosts: str) -> None:
        """Cut these hosts off from all others, not from each other."""
        self._sides |= dict.fromkeys(hosts, next(self._numbers))

    def carry(self, path: Path, step: Step) -> None:
        """Do what happens on arrival, now or when the hosts can reach each other again."""
        if self._sides and self._parts(*path):
            self._stuck.append((path, step))
        else:
            step()

    def heal(self) -> list[tuple[Path, Step]]:
        """All are on one side again; gives what is stuck, in order."""
        self._sides.clear()
        stuck, self._stuck = self._stuck, []
        return stuck

    def _parts(self, source: IPv4Address, destination: IPv4Address) -> bool:
        return self._sides.get(source.host, 0) != self._sides.get(destination.host, 0)
