"""The seams of a chunk store, in forms that a test can hold, watch and break."""

import os
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, maybeDeferred

from tests.storage.faulty_disk import FaultyDisk, FaultyFile
from twisted_store.storage.disk import DiskFile, DiskSpace, OsDisk

T = TypeVar("T")


def run_inline(call: Callable[[], T], /) -> "Deferred[T]":
    """Run at once, in the caller's thread."""
    return maybeDeferred(call)


class HeldCalls:
    """Runs nothing until told, as if every thread were busy."""

    def __init__(self) -> None:
        self._held: deque[tuple[Callable[[], Any], Deferred[Any]]] = deque()

    def __call__(self, call: Callable[[], T], /) -> "Deferred[T]":
        """Hold ``call``."""
        done: Deferred[T] = Deferred()
        self._held.append((call, done))
        return done

    def __len__(self) -> int:
        return len(self._held)

    def run_next(self) -> None:
        """Run the call that waits longest."""
        call, done = self._held.popleft()
        maybeDeferred(call).chainDeferred(done)

    def run_all(self) -> None:
        """Run what is held, and what comes of it."""
        while self._held:
            self.run_next()


class WatchedDisk(FaultyDisk):
    """
    A real disk that records its calls, name and base name of the path.

    Beside what breaks for good it fails on demand, by call. Calls that change nothing and read no
    bytes are not watched.
    """

    def __init__(self) -> None:
        super().__init__(OsDisk())
        self.calls: list[tuple[str, str]] = []
        self.failing: dict[str, OSError] = {}
        """By name of the call."""
        self.failing_at: tuple[int, OSError] | None = None
        """The number of a call, counted from 0, and those after it."""
        self.space_bytes = DiskSpace(free_bytes=10**12, total_bytes=2 * 10**12)

    def names(self) -> list[str]:
        """The names of the calls so far."""
        return [name for name, _ in self.calls]

    def meet(self, call: str, *paths: str) -> None:
        """Note a call, a rename by its new name; raise what it is to raise."""
        self.calls.append((call, os.path.basename(paths[-1])))
        if call in self.failing:
            raise self.failing[call]
        if self.failing_at is not None and len(self.calls) > self.failing_at[0]:
            raise self.failing_at[1]
        super().meet(call, *paths)

    def sync_directory(self, path: str) -> None:
        """Watched, and not done: no test here cuts the power."""
        self.meet("sync_directory", path)

    def space(self, path: str) -> DiskSpace:
        """What the test says."""
        return self.space_bytes

    def _file(self, path: str, file: DiskFile) -> DiskFile:
        return WatchedFile(self, path, file)


class WatchedFile(FaultyFile):
    """A file of a `WatchedDisk`."""

    def __init__(self, disk: WatchedDisk, path: str, file: DiskFile) -> None:
        super().__init__(disk, path, file)
        self._calls = disk.calls

    def sync(self) -> None:
        """Watched, and not done."""
        self._disk.meet("sync", self._path)

    def close(self) -> None:
        """Noted, and never fails."""
        self._calls.append(("close", os.path.basename(self._path)))
        super().close()
