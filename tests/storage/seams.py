"""The seams of a chunk store, in forms that a test can hold, watch and break."""

import os
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, maybeDeferred

from twisted_store.core.checksums import Buffer
from twisted_store.storage.disk import Closable, DirectoryEntry, DiskFile, DiskSpace, OsDisk

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


class WatchedDisk:
    """A real disk that records its calls, name and base name of the path, and fails on demand."""

    def __init__(self) -> None:
        self._disk = OsDisk()
        self.calls: list[tuple[str, str]] = []
        self.failing: dict[str, OSError] = {}
        """By name of the call."""
        self.failing_at: tuple[int, OSError] | None = None
        """The number of a call, counted from 0, and those after it."""
        self.space_bytes = DiskSpace(free_bytes=10**12, total_bytes=2 * 10**12)

    def names(self) -> list[str]:
        """The names of the calls so far."""
        return [name for name, _ in self.calls]

    def watch(self, name: str, path: str) -> None:
        """Note a call; raise what it is to raise."""
        self.calls.append((name, os.path.basename(path)))
        if name in self.failing:
            raise self.failing[name]
        if self.failing_at is not None and len(self.calls) > self.failing_at[0]:
            raise self.failing_at[1]

    def create(self, path: str) -> DiskFile:
        """Watched."""
        self.watch("create", path)
        return WatchedFile(self, path, self._disk.create(path))

    def open(self, path: str) -> DiskFile:
        """Watched."""
        self.watch("open", path)
        return WatchedFile(self, path, self._disk.open(path))

    def size_bytes(self, path: str) -> int | None:
        """Not watched: changes nothing."""
        return self._disk.size_bytes(path)

    def rename(self, old: str, new: str) -> None:
        """Watched, by the new name."""
        self.watch("rename", new)
        self._disk.rename(old, new)

    def remove(self, path: str) -> None:
        """Watched."""
        self.watch("remove", path)
        self._disk.remove(path)

    def entries(self, path: str) -> list[DirectoryEntry]:
        """Not watched: changes nothing."""
        return self._disk.entries(path)

    def make_directory(self, path: str) -> None:
        """Watched."""
        self.watch("make_directory", path)
        self._disk.make_directory(path)

    def sync_directory(self, path: str) -> None:
        """Watched, and not done: no test here cuts the power."""
        self.watch("sync_directory", path)

    def space(self, path: str) -> DiskSpace:
        """What the test says."""
        return self.space_bytes

    def lock(self, path: str) -> Closable:
        """Watched."""
        self.watch("lock", path)
        return self._disk.lock(path)


class WatchedFile:
    """A file of a `WatchedDisk`."""

    def __init__(self, disk: WatchedDisk, path: str, file: DiskFile) -> None:
        self._disk = disk
        self._path = path
        self._file = file

    def size_bytes(self) -> int:
        """Not watched."""
        return self._file.size_bytes()

    def read_at(self, offset: int, size_bytes: int) -> bytes:
        """Watched."""
        self._disk.watch("read_at", self._path)
        return self._file.read_at(offset, size_bytes)

    def write_at(self, offset: int, buffers: Sequence[Buffer]) -> None:
        """Watched."""
        self._disk.watch("write_at", self._path)
        self._file.write_at(offset, buffers)

    def sync(self) -> None:
        """Watched, and not done."""
        self._disk.watch("sync", self._path)

    def close(self) -> None:
        """Noted, and never fails."""
        self._disk.calls.append(("close", os.path.basename(self._path)))
        self._file.close()
