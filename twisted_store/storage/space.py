"""How much room is left for chunks, and who has been promised how much of it."""

from collections.abc import Iterator
from contextlib import contextmanager

from twisted_store.errors import NoSpaceError
from twisted_store.storage.disk import DiskSpace

RESERVE_FRACTION = 0.05
"""Of the file system; kept free when no other reserve is asked for."""

ALLOWANCE_STEP_BYTES = 1024 * 1024
"""A writer that does not know how much will come is promised so much at a time."""


class Space:
    """
    The sum: what chunks use, what writers have been promised, what the disk said last.

    A reserve of the disk stays free, so that marks, the identity and other processes have room.
    """

    def __init__(
        self, measured: DiskSpace, reserve_bytes: int | None, capacity_bytes_max: int | None
    ) -> None:
        self._measured = measured
        self._reserve_bytes = reserve_bytes
        self._capacity_bytes_max = capacity_bytes_max
        self.used_bytes = 0
        self._promised_bytes = 0

    @property
    def free_bytes(self) -> int:
        """What chunks may still take, promises not counted."""
        free = max(self._measured.free_bytes - self.reserve_bytes, 0)
        if self._capacity_bytes_max is None:
            return free
        return max(min(free, self._capacity_bytes_max - self.used_bytes), 0)

    @property
    def reserve_bytes(self) -> int:
        """What stays free on the disk."""
        if self._reserve_bytes is None:
            return int(self._measured.total_bytes * RESERVE_FRACTION)
        return self._reserve_bytes

    @property
    def capacity_bytes(self) -> int:
        """What chunks could take in all."""
        return self.used_bytes + self.free_bytes

    def measured(self, measured: DiskSpace) -> None:
        """The disk has been asked again; until the next time our own changes are added up."""
        self._measured = measured

    def took(self, size_bytes: int) -> None:
        """Files have become so much longer."""
        self.used_bytes += size_bytes
        self._measured = self._measured._replace(free_bytes=self._measured.free_bytes - size_bytes)

    def freed(self, size_bytes: int) -> None:
        """So much has been removed."""
        self.took(-size_bytes)

    def promise(self, size_bytes: int) -> None:
        """Keep room for a writer, or raise `NoSpaceError`."""
        left_bytes = self.free_bytes - self._promised_bytes
        if size_bytes > left_bytes:
            raise NoSpaceError(
                f"No room for {size_bytes} bytes: {left_bytes} are left"
                f" above the reserve of {self.reserve_bytes}."
            )
        self._promised_bytes += size_bytes

    @contextmanager
    def promised(self, size_bytes: int) -> Iterator[None]:
        """Keep room while something is written that counts itself as `took` when it is there."""
        self.promise(size_bytes)
        try:
            yield
        finally:
            self.withdraw(size_bytes)

    def withdraw(self, size_bytes: int) -> None:
        """That much of a promise is not needed any more."""
        self._promised_bytes -= size_bytes


class Allowance:
    """What one writer has been promised, and has used of it."""

    def __init__(self, space: Space, expected_bytes: int | None) -> None:
        self._space = space
        self._promised_bytes = 0
        self._spent_bytes = 0
        self._promise(ALLOWANCE_STEP_BYTES if expected_bytes is None else expected_bytes)

    def cover(self, size_bytes: int) -> None:
        """Make sure that so many bytes, all in all, may be written, or raise `NoSpaceError`."""
        missing_bytes = size_bytes - self._spent_bytes - self._promised_bytes
        if missing_bytes > 0:
            self._promise(max(missing_bytes, ALLOWANCE_STEP_BYTES))

    def spend(self, size_bytes: int) -> None:
        """So many bytes more are on the disk."""
        covered_bytes = min(size_bytes, self._promised_bytes)
        self._space.withdraw(covered_bytes)
        self._promised_bytes -= covered_bytes
        self._spent_bytes += size_bytes
        self._space.took(size_bytes)

    def close(self, *, kept: bool) -> None:
        """The writer is done: its file is kept, or removed."""
        self._space.withdraw(self._promised_bytes)
        self._promised_bytes = 0
        if not kept:
            self._space.freed(self._spent_bytes)
        self._spent_bytes = 0

    def _promise(self, size_bytes: int) -> None:
        self._space.promise(size_bytes)
        self._promised_bytes += size_bytes
