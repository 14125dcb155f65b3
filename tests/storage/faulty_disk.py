"""A disk that breaks where a test wants it to, and is mended again."""

import errno
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from twisted_store.core.checksums import Buffer
from twisted_store.storage.disk import Closable, DirectoryEntry, Disk, DiskFile, DiskSpace

SYNCS = frozenset({"sync", "sync_directory"})
"""Calls after which something is to survive a power loss."""

CHANGES = SYNCS | {
    *("create", "reopen", "rename", "remove", "make_directory", "lock"),
    *("write_at", "truncate"),
}
"""Calls that a file system refuses when it is mounted read-only."""

Matches = Callable[[str], bool]
"""Whether a fault is one of the file or directory with this path."""


def every_path(path: str) -> bool:
    """Matches all of the disk."""
    return True


@dataclass(frozen=True, slots=True)
class Fault:
    """What is broken: the calls of these names, on these paths, and how they fail."""

    calls: frozenset[str]
    matches: Matches
    number: int
    written_bytes: int = 0

    def error(self, path: str) -> OSError:
        """What is raised."""
        return OSError(self.number, os.strerror(self.number), path)


class FaultyDisk:
    """
    Another disk, on which things break, from one moment on until `heal`.

    A rename breaks with either of its paths, and a file with the path that it was opened by. Calls
    that only look at names never do. Around a recording disk the part of a short write that arrived
    is recorded.
    """

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._faults: list[Fault] = []

    def break_writes(
        self, number: int, written_bytes: int = 0, matches: Matches = every_path
    ) -> None:
        """Writes put only the first ``written_bytes`` in place, then raise that error."""
        self._break({"write_at"}, matches, number, written_bytes)

    def break_syncs(self, matches: Matches = every_path) -> None:
        """Files and directories cannot be synced: EIO."""
        self._break(SYNCS, matches, errno.EIO)

    def break_reads(self, matches: Matches = every_path) -> None:
        """Bytes cannot be read: EIO."""
        self._break({"read_at"}, matches, errno.EIO)

    def fill_up(self, matches: Matches = every_path) -> None:
        """There is no room for another file: ENOSPC."""
        self._break({"create"}, matches, errno.ENOSPC)

    def turn_read_only(self, matches: Matches = every_path) -> None:
        """Nothing can be changed or synced: EROFS."""
        self._break(CHANGES, matches, errno.EROFS)

    def heal(self) -> None:
        """All goes well from now on."""
        self._faults.clear()

    def meet(self, call: str, *paths: str) -> None:
        """Something is about to be done to the last of the paths; raise if that is broken."""
        fault = self.fault(call, *paths)
        if fault is not None:
            raise fault.error(paths[-1])

    def fault(self, call: str, *paths: str) -> Fault | None:
        """What is broken of such a call, if anything; the first that was broken goes before."""
        for fault in self._faults:
            if call in fault.calls and any(map(fault.matches, paths)):
                return fault
        return None

    def create(self, path: str) -> DiskFile:
        """An empty file, unless broken."""
        self.meet("create", path)
        return self._file(path, self._disk.create(path))

    def open(self, path: str) -> DiskFile:
        """A file for reading."""
        self.meet("open", path)
        return self._file(path, self._disk.open(path))

    def reopen(self, path: str) -> DiskFile:
        """A file for reading and writing, unless broken."""
        self.meet("reopen", path)
        return self._file(path, self._disk.reopen(path))

    def size_bytes(self, path: str) -> int | None:
        """As it is."""
        return self._disk.size_bytes(path)

    def rename(self, old: str, new: str) -> None:
        """Rename, unless broken."""
        self.meet("rename", old, new)
        self._disk.rename(old, new)

    def remove(self, path: str) -> None:
        """Remove, unless broken."""
        self.meet("remove", path)
        self._disk.remove(path)

    def entries(self, path: str) -> list[DirectoryEntry]:
        """As they are."""
        return self._disk.entries(path)

    def make_directory(self, path: str) -> None:
        """Make a directory, unless broken."""
        self.meet("make_directory", path)
        self._disk.make_directory(path)

    def sync_directory(self, path: str) -> None:
        """Sync, unless broken."""
        self.meet("sync_directory", path)
        self._disk.sync_directory(path)

    def space(self, path: str) -> DiskSpace:
        """As it is."""
        return self._disk.space(path)

    def lock(self, path: str) -> Closable:
        """Lock, unless broken."""
        self.meet("lock", path)
        return self._disk.lock(path)

    def _file(self, path: str, file: DiskFile) -> DiskFile:
        return FaultyFile(self, path, file)

    def _break(
        self,
        calls: set[str] | frozenset[str],
        matches: Matches,
        number: int,
        written_bytes: int = 0,
    ) -> None:
        self._faults.append(Fault(frozenset(calls), matches, number, written_bytes))


class FaultyFile:
    """An open file of a `FaultyDisk`."""

    def __init__(self, disk: FaultyDisk, path: str, file: DiskFile) -> None:
        self._disk = disk
        self._path = path
        self._file = file

    def size_bytes(self) -> int:
        """As it is."""
        return self._file.size_bytes()

    def read_at(self, offset: int, size_bytes: int) -> bytes:
        """Read, unless broken."""
        self._disk.meet("read_at", self._path)
        return self._file.read_at(offset, size_bytes)

    def write_at(self, offset: int, buffers: Sequence[Buffer]) -> None:
        """Write, unless broken, or as much as the fault lets through."""
        fault = self._disk.fault("write_at", self._path)
        if fault is not None and fault.written_bytes:
            self._file.write_at(offset, [b"".join(buffers)[: fault.written_bytes]])
        self._disk.meet("write_at", self._path)
        self._file.write_at(offset, buffers)

    def truncate(self, size_bytes: int) -> None:
        """Cut, unless broken."""
        self._disk.meet("truncate", self._path)
        self._file.truncate(size_bytes)

    def sync(self) -> None:
        """Sync, unless broken."""
        self._disk.meet("sync", self._path)
        self._file.sync()

    def close(self) -> None:
        """Never fails."""
        self._file.close()
