"""
How much redundancy an object has: its scheme, as a generator matrix over GF(2^8).

Row i of the matrix says how chunk i is made of the 5 data chunks, byte by byte. The rows of parity
do not depend on their number, so that a higher m only adds chunks. They are a Cauchy matrix,
normalised so that its first row is all ones, plain XOR: every choice of 5 rows is invertible
(Blömer et al., "An XOR-Based Erasure-Resilient Coding Scheme", 1995). The numbers are part of the
format of what is stored.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Final, Literal

from twisted_store.core.galois import Matrix
from twisted_store.core.striping import DATA_CHUNKS

IDENTITY: Matrix = tuple(
    tuple(int(row == column) for column in range(DATA_CHUNKS)) for row in range(DATA_CHUNKS)
)

PARITY_ROWS: Matrix = ((1, 1, 1, 1, 1), (143, 210, 200, 245, 142), (104, 245, 82, 143, 244))
"""Rows 5, 6 and 7."""

AUTO_PARITY_MAX = 2
"""More parity has to be asked for."""


class Scheme(StrEnum):
    """``5+m``: m parity chunks, each on a node of its own; ``5x2``: two copies of each chunk."""

    PLAIN = "5+0"
    PARITY_1 = "5+1"
    PARITY_2 = "5+2"
    PARITY_3 = "5+3"
    COPIES = "5x2"

    @cached_property
    def generator(self) -> Matrix:
        """One row for each chunk, one column for each data chunk."""
        if self is Scheme.COPIES:
            return IDENTITY + IDENTITY
        return IDENTITY + PARITY_ROWS[: int(self[-1])]

    @property
    def width(self) -> int:
        """How many chunks an object has."""
        return len(self.generator)

    @property
    def nodes(self) -> int:
        """On how many nodes they are; under ``5x2`` each holds two different ones."""
        return DATA_CHUNKS if self is Scheme.COPIES else self.width

    @property
    def losses(self) -> int:
        """The loss of so many nodes an object with all its chunks survives, whichever they are."""
        return 1 if self is Scheme.COPIES else self.width - DATA_CHUNKS

    @property
    def overhead(self) -> float:
        """Bytes stored for each byte of an object."""
        return self.width / DATA_CHUNKS

    def model(self, index: int) -> int:
        """The data chunk that chunk ``index`` is as long as: parity is as long as the longest."""
        if index < DATA_CHUNKS:
            return index
        return index - DATA_CHUNKS if self is Scheme.COPIES else 0


AUTO: Final = "auto"
"""As much parity as the number of nodes allows, `AUTO_PARITY_MAX` at most."""

SchemeChoice = Scheme | Literal["auto"]
"""What can be asked for."""


def parse_choice(text: str) -> SchemeChoice:
    """Raise ValueError unless ``text`` is ``auto`` or a scheme."""
    if text == AUTO:
        return AUTO
    try:
        return Scheme(text)
    except ValueError:
        known = ", ".join(scheme.value for scheme in Scheme)
        raise ValueError(f"{text!r:.20} is not a scheme: write {AUTO}, {known}.") from None


def target_scheme(choice: SchemeChoice, nodes: int) -> Scheme:
    """The scheme of a new object in a cluster of so many nodes."""
    if isinstance(choice, Scheme):
        return choice
    parity = min(max(nodes - DATA_CHUNKS, 0), AUTO_PARITY_MAX)
    return Scheme(f"5+{parity}")


def scheme_of(placement: Sequence[object]) -> Scheme:
    """The scheme whose objects have so many chunks."""
    return next(scheme for scheme in Scheme if scheme.width == len(placement))


@dataclass(frozen=True, slots=True)
class SchemeRules:
    """What is asked for where an upload does not say: the choice of its longest known prefix."""

    default: SchemeChoice = AUTO
    by_prefix: tuple[tuple[str, SchemeChoice], ...] = ()

    def choice(self, name: str) -> SchemeChoice:
        """For an object of that name."""
        rules = [rule for rule in self.by_prefix if name.startswith(rule[0])]
        return max(rules, key=lambda rule: len(rule[0]), default=("", self.default))[1]
