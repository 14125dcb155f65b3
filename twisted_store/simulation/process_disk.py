"""What a process has open, which ends with it: files, locks and databases."""

from collections.abc import Sequence
from pathlib import Path

from twisted_store.core.checksums import Buffer
from twisted_store.database import Database, DatabaseOpener
from twisted_store.storage.disk import Closable, DirectoryEntry, Disk, DiskFile, DiskSpace


class ProcessEndedError(Exception):
    """A process that was killed wanted something of its disk."""


class Holdings:
    """All that one process has open."""

    def __init__(self) -> None:
        self._open: dict[int, Closable] = {}
        self._ended = False

    def add(self, held: Closable) -> None:
        """Something more is open."""
        self._open[id(held)] = held

    def discard(self, held: Closable) -> None:
        """The process has closed it."""
        self._open.pop(id(held), None)

    def check(self) -> None:
        """Raise `ProcessEndedError` when the process is no more."""
        if self._ended:
            raise ProcessEndedError("this process was killed")

    def end(self) -> None:
        """
        Close everything, in the order of opening, and let nothing be done any more.

        A catalog whose writer is closed before its readers keeps its write-ahead log, as in a kill.
        """
        self._ended = True
        for held in self._open.values():
            held.close()
        self._open.clear()


class ProcessFile:
    """An open file of a process."""

    def __init__(self, file: DiskFile, holdings: Holdings) -> None:
        self._file = file
        self._holdings = holdings
        holdings.add(file)

    def size_bytes(self) -> int:
        """Its length."""
        self._holdings.check()
        return self._file.size_bytes()

    def read_at(self, offset: int, size_bytes: int) -> bytes:
        """Its bytes from ``offset`` on."""
        self._holdings.check()
        return self._file.read_at(offset, size_bytes)

    def write_at(self, offset: int, buffers: Sequence[Buffer]) -> None:
        """Write."""
        self._holdings.check()
        self._file.write_at(offset, buffers)

    def truncate(self, size_bytes: int) -> None:
        """Cut it."""
        self._holdings.check()
        self._file.truncate(size_bytes)

    def sync(self) -> None:
        """Sync."""
        self._holdings.check()
        self._file.sync()

    def close(self) -> None:
        """Close it; the end of the process does as well."""
        self._holdings.discard(self._file)
        self._file.close()


class _ProcessLock:
    def __init__(self, lock: Closable, holdings: Holdings) -> None:
        self._lock = lock
        self._holdings = holdings
        holdings.add(lock)

    def close(self) -> None:
        self._holdings.discard(self._lock)
        self._lock.close()


class ProcessDisk:
    """The disk of a machine as one process uses it; what another one does there is its own."""

    def __init__(self, disk: Disk, holdings: Holdings) -> None:
        self._disk = disk
        self._holdings = holdings

    def create(self, path: str) -> DiskFile:
        """An empty file."""
        return ProcessFile(self._living().create(path), self._holdings)

    def open(self, path: str) -> DiskFile:
        """A file that is there."""
        return ProcessFile(self._living().open(path), self._holdings)

    def reopen(self, path: str) -> DiskFile:
        """A file that is there, for writing too."""
        return ProcessFile(self._living().reopen(path), self._holdings)

    def size_bytes(self, path: str) -> int | None:
        """The length of a file."""
        return self._living().size_bytes(path)

    def rename(self, old: str, new: str) -> None:
        """Rename."""
        self._living().rename(old, new)

    def remove(self, path: str) -> None:
        """Remove."""
        self._living().remove(path)

    def entries(self, path: str) -> list[DirectoryEntry]:
        """What stands in a directory."""
        return self._living().entries(path)

    def make_directory(self, path: str) -> None:
        """Make a directory."""
        self._living().make_directory(path)

    def sync_directory(self, path: str) -> None:
        """Sync."""
        self._living().sync_directory(path)

    def space(self, path: str) -> DiskSpace:
        """The room of the file system."""
        return self._living().space(path)

    def lock(self, path: str) -> Closable:
        """Held until it is closed or the process ends."""
        return _ProcessLock(self._living().lock(path), self._holdings)

    def _living(self) -> Disk:
        self._holdings.check()
        return self._disk


def process_opener(opener: DatabaseOpener, holdings: Holdings) -> DatabaseOpener:
    """Opens databases that end with the process."""

    def open_database(path: Path, read_only: bool) -> Database:
        holdings.check()
        database = opener(path, read_only)
        holdings.add(database)
        return database

    return open_database
