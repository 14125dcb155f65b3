"""What clients do and come to know, noted among the effects on the disks."""

from dataclasses import dataclass
from functools import cached_property

from blake3 import blake3

from twisted_store.core.striping import DATA_CHUNKS, UNIT_BYTES, Striping

VERSION_HEADER = "X-Meta-Version"
"""Carries the number of a version into its manifest."""


@dataclass(frozen=True)
class Version:
    """Bytes that a client wants to store under a name; they fit into one stripe."""

    number: int
    name: str
    content: bytes

    @cached_property
    def etag(self) -> str:
        """As the api gives it."""
        return blake3(self.content).hexdigest()

    @cached_property
    def chunks(self) -> tuple[bytes, ...]:
        """What each chunk has of it."""
        striping = Striping(len(self.content), UNIT_BYTES)
        ends = [0]
        for index in range(DATA_CHUNKS):
            ends.append(ends[-1] + striping.chunk_bytes(index))
        return tuple(self.content[ends[index] : ends[index + 1]] for index in range(DATA_CHUNKS))


@dataclass(frozen=True, slots=True)
class Asked:
    """A client began to ask; ``version`` is None when it asks for a delete."""

    request: int
    name: str
    version: int | None


@dataclass(frozen=True, slots=True)
class Answered:
    """The client knows: it was done, or it was refused and had no effect."""

    request: int
    done: bool


@dataclass(frozen=True, slots=True)
class Read:
    """A client read a version, or learned by a 404 that there is none."""

    name: str
    version: int | None


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A client that read was told of a failure."""

    name: str


@dataclass(frozen=True, slots=True)
class Killed:
    """All processes ended at once, and are started again."""


@dataclass(frozen=True, slots=True)
class PowerLost:
    """All machines lost their power at once, and are started again."""
