"""
The disk: every effect that a node has on it goes through this port.

All calls block, so they belong in a thread; what fails raises `OSError` as `os` does. ``create``,
``rename`` and ``remove`` take effect at once for every process, but survive a power loss only after
`Disk.sync_directory`; bytes and lengths only after `DiskFile.sync`.
"""

import fcntl
import os
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from twisted_store.core.checksums import Buffer

_IOV_MAX = os.sysconf("SC_IOV_MAX")


class DirectoryEntry(NamedTuple):
    """A name in a directory, with the size of the file."""

    name: str
    size_bytes: int


class DiskSpace(NamedTuple):
    """The room of the file system, all of it and what is left of it."""

    free_bytes: int
    total_bytes: int


class Closable(Protocol):
    """What is held until it is closed."""

    def close(self) -> None:
        """Let go."""


class DiskFile(Closable, Protocol):
    """An open file; it stays readable when its name goes."""

    def size_bytes(self) -> int:
        """Its length."""

    def read_at(self, offset: int, size_bytes: int) -> bytes:
        """Its bytes from ``offset`` on; fewer than asked for only at its end."""

    def write_at(self, offset: int, buffers: Sequence[Buffer]) -> None:
        """Write the buffers, all of them, end to end from ``offset`` on."""

    def truncate(self, size_bytes: int) -> None:
        """Cut it to this length; zeros are added to one that is shorter."""

    def sync(self) -> None:
        """Return when bytes and length survive a power loss."""


class Disk(Protocol):
    """Directories of files; paths are strings with slashes."""

    def create(self, path: str) -> DiskFile:
        """Open an empty file for writing; one that stands there is emptied."""

    def open(self, path: str) -> DiskFile:
        """Open a file for reading and `DiskFile.sync`; raise `FileNotFoundError`."""

    def reopen(self, path: str) -> DiskFile:
        """Open a file for reading and writing, as it is; raise `FileNotFoundError`."""

    def size_bytes(self, path: str) -> int | None:
        """The length of the file, or None when nothing has that name."""

    def rename(self, old: str, new: str) -> None:
        """In one step, replacing what stands at ``new``; raise `FileNotFoundError`."""

    def remove(self, path: str) -> None:
        """Remove a file; raise `FileNotFoundError`."""

    def entries(self, path: str) -> list[DirectoryEntry]:
        """What stands in a directory, in no order."""

    def make_directory(self, path: str) -> None:
        """Make a directory; nothing happens when it is there."""

    def sync_directory(self, path: str) -> None:
        """Return when the names in this directory survive a power loss."""

    def space(self, path: str) -> DiskSpace:
        """The room of the file system that holds ``path``."""

    def lock(self, path: str) -> Closable:
        """Hold a lock that ends with the process; raise `BlockingIOError` when another has it."""


class OsFile:
    """A file of the operating system."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def size_bytes(self) -> int:
        """Its length."""
        return os.fstat(self._descriptor).st_size

    def read_at(self, offset: int, size_bytes: int) -> bytes:
        """Read until all is there or the file ends."""
        piece = os.pread(self._descriptor, size_bytes, offset)
        pieces = [piece]
        while piece and (missing := size_bytes - sum(map(len, pieces))):
            piece = os.pread(self._descriptor, missing, offset + size_bytes - missing)
            pieces.append(piece)
        return b"".join(pieces)

    def write_at(self, offset: int, buffers: Sequence[Buffer]) -> None:
        """Write until all is there: one call takes only so many buffers, and may write a part."""
        left = [memoryview(buffer) for buffer in buffers if buffer]
        while left:
            written = os.pwritev(self._descriptor, left[:_IOV_MAX], offset)
            offset += written
            left = _after(left, written)

    def truncate(self, size_bytes: int) -> None:
        """``ftruncate``."""
        os.ftruncate(self._descriptor, size_bytes)

    def sync(self) -> None:
        """``fdatasync``: the bytes, and what of the inode is needed to find them."""
        os.fdatasync(self._descriptor)

    def close(self) -> None:
        """Close it; only once, as the number may belong to another file afterwards."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


class OsDisk:
    """The disk of the operating system."""

    def create(self, path: str) -> DiskFile:
        """Readable by its owner only."""
        flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        return OsFile(os.open(path, flags, 0o600))

    def open(self, path: str) -> DiskFile:
        """For reading; Linux syncs through such a descriptor too."""
        return OsFile(os.open(path, os.O_RDONLY | os.O_CLOEXEC))

    def reopen(self, path: str) -> DiskFile:
        """For reading and writing."""
        return OsFile(os.open(path, os.O_RDWR | os.O_CLOEXEC))

    def size_bytes(self, path: str) -> int | None:
        """From ``stat``."""
        try:
            return os.stat(path).st_size
        except FileNotFoundError:
            return None

    def rename(self, old: str, new: str) -> None:
        """``rename``."""
        os.rename(old, new)

    def remove(self, path: str) -> None:
        """``unlink``."""
        os.unlink(path)

    def entries(self, path: str) -> list[DirectoryEntry]:
        """A name that goes while it is looked at is left out."""
        found = []
        with os.scandir(path) as scan:
            for entry in scan:
                try:
                    size_bytes = entry.stat(follow_symlinks=False).st_size
                except FileNotFoundError:
                    continue
                found.append(DirectoryEntry(entry.name, size_bytes))
        return found

    def make_directory(self, path: str) -> None:
        """``mkdir``; open to its owner only."""
        try:
            os.mkdir(path, 0o700)
        except FileExistsError:
            if not os.path.isdir(path):
                raise

    def sync_directory(self, path: str) -> None:
        """``fsync``."""
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def space(self, path: str) -> DiskSpace:
        """What the file system leaves to processes without privileges."""
        state = os.statvfs(path)
        return DiskSpace(state.f_bavail * state.f_frsize, state.f_blocks * state.f_frsize)

    def lock(self, path: str) -> Closable:
        """``flock``."""
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            raise
        return OsFile(descriptor)


def _after(buffers: list[memoryview], count: int) -> list[memoryview]:
    """What is left of the buffers after ``count`` bytes."""
    for position, buffer in enumerate(buffers):
        if count < len(buffer):
            return [buffer[count:], *buffers[position + 1 :]]
        count -= len(buffer)
    return []
