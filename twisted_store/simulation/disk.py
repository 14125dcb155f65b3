"""A disk in memory, with the behaviour of the operating system's."""

import errno
import posixpath
from collections import defaultdict
from collections.abc import Sequence

from twisted_store.core.checksums import Buffer
from twisted_store.storage.disk import Closable, DirectoryEntry, DiskFile, DiskSpace


class MemoryFile:
    """An open file; keeps its bytes when its name goes."""

    def __init__(self, content: bytearray) -> None:
        self._content = content

    def size_bytes(self) -> int:
        """Its length."""
        return len(self._content)

    def read_at(self, offset: int, size_bytes: int) -> bytes:
        """Its bytes from ``offset`` on."""
        return bytes(self._content[offset : offset + size_bytes])

    def write_at(self, offset: int, buffers: Sequence[Buffer]) -> None:
        """Write the buffers; a gap before them is filled with zeros."""
        gap_bytes = offset - len(self._content)
        if gap_bytes > 0:
            self._content.extend(bytes(gap_bytes))
        for buffer in buffers:
            self._content[offset : offset + len(buffer)] = buffer
            offset += len(buffer)

    def truncate(self, size_bytes: int) -> None:
        """Cut it, or add zeros."""
        del self._content[size_bytes:]
        self._content.extend(bytes(size_bytes - len(self._content)))

    def sync(self) -> None:
        """Nothing is ever lost here."""

    def close(self) -> None:
        """Nothing is held."""


class MemoryDisk:
    """Files in dictionaries; ``total_bytes`` is the room of all of them together."""

    def __init__(self, total_bytes: int) -> None:
        self._total_bytes = total_bytes
        self._directories: dict[str, dict[str, bytearray]] = {"/": {}}
        self._inner: dict[str, list[str]] = defaultdict(list)
        self._locked: set[str] = set()

    def create(self, path: str) -> DiskFile:
        """Who has the file open sees it emptied, as with ``O_TRUNC``."""
        content = self._directory(path).setdefault(posixpath.basename(path), bytearray())
        content.clear()
        return MemoryFile(content)

    def open(self, path: str) -> DiskFile:
        """A file that is there."""
        return MemoryFile(self._content(path))

    def reopen(self, path: str) -> DiskFile:
        """A file that is there."""
        return MemoryFile(self._content(path))

    def size_bytes(self, path: str) -> int | None:
        """The length of a file, 0 of a directory, None of nothing."""
        if path in self._directories:
            return 0
        try:
            return len(self._content(path))
        except FileNotFoundError:
            return None

    def rename(self, old: str, new: str) -> None:
        """Replaces what stands at ``new``."""
        content = self._content(old)
        del self._directory(old)[posixpath.basename(old)]
        self._directory(new)[posixpath.basename(new)] = content

    def remove(self, path: str) -> None:
        """Whoever has the file open goes on with it."""
        self._content(path)
        del self._directory(path)[posixpath.basename(path)]

    def entries(self, path: str) -> list[DirectoryEntry]:
        """Files and directories."""
        files = [DirectoryEntry(name, len(held)) for name, held in self._listed(path).items()]
        return files + [DirectoryEntry(name, 0) for name in self._inner[path]]

    def make_directory(self, path: str) -> None:
        """Nothing happens when it is there."""
        if posixpath.basename(path) in self._listed(posixpath.dirname(path)):
            raise FileExistsError(errno.EEXIST, "a file has that name", path)
        if path not in self._directories:
            self._directories[path] = {}
            self._inner[posixpath.dirname(path)].append(posixpath.basename(path))

    def sync_directory(self, path: str) -> None:
        """Nothing is ever lost here."""
        self._listed(path)

    def space(self, path: str) -> DiskSpace:
        """All files count, wherever they are."""
        self._listed(path)
        used_bytes = sum(
            len(content) for files in self._directories.values() for content in files.values()
        )
        return DiskSpace(max(0, self._total_bytes - used_bytes), self._total_bytes)

    def lock(self, path: str) -> Closable:
        """Held until it is closed."""
        if path in self._locked:
            raise BlockingIOError(errno.EAGAIN, "locked", path)
        self._directory(path).setdefault(posixpath.basename(path), bytearray())
        self._locked.add(path)
        return _MemoryLock(self._locked, path)

    def _listed(self, path: str) -> dict[str, bytearray]:
        try:
            return self._directories[path]
        except KeyError:
            raise FileNotFoundError(errno.ENOENT, "no such directory", path) from None

    def _directory(self, path: str) -> dict[str, bytearray]:
        return self._listed(posixpath.dirname(path))

    def _content(self, path: str) -> bytearray:
        try:
            return self._directory(path)[posixpath.basename(path)]
        except KeyError:
            raise FileNotFoundError(errno.ENOENT, "no such file", path) from None


class _MemoryLock:
    """Ends when it is closed."""

    def __init__(self, locked: set[str], path: str) -> None:
        self._locked = locked
        self._path = path

    def close(self) -> None:
        """Let go."""
        self._locked.discard(self._path)
