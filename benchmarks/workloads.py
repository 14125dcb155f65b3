"""What is measured: files of which size, how many of them, how many at once."""

from dataclasses import dataclass

KIB, MIB, GIB = 2**10, 2**20, 2**30

TOUCHED_BYTES_MAX = 4 * MIB


@dataclass(frozen=True, slots=True)
class Workload:
    """
    PUT of ``files`` files of ``size_bytes`` each, then GET of the same, ``at_once`` at a time.

    A small one is reported in operations, another one in GiB.
    """

    name: str
    files: int
    size_bytes: int
    at_once: int

    @property
    def small(self) -> bool:
        """Whether the bytes matter less than the operations."""
        return self.size_bytes < MIB

    @property
    def touch(self) -> "Workload":
        """A short run of the same kind: it opens connections and loads code in the servers."""
        return Workload(
            "touch", self.at_once, min(self.size_bytes, TOUCHED_BYTES_MAX), self.at_once
        )

    def __str__(self) -> str:
        if self.size_bytes >= GIB:
            size = f"{self.size_bytes / GIB:g} GiB"
        elif self.size_bytes >= MIB:
            size = f"{self.size_bytes / MIB:g} MiB"
        else:
            size = f"{self.size_bytes / KIB:g} KiB"
        return f"{self.name}: files of {size}, {self.files} in all, {self.at_once} at once"


FULL = (
    Workload("large", 1, GIB, 1),
    Workload("medium", 64, 4 * MIB, 8),
    Workload("small", 4096, 4 * KIB, 32),
)
QUICK = (
    Workload("large", 1, 64 * MIB, 1),
    Workload("medium", 16, MIB, 8),
    Workload("small", 256, 4 * KIB, 32),
)
