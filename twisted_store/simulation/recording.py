"""
A disk that is watched: every effect on it goes into a log, in the order it happened.

Several machines share one log, so that a power loss can be thought at any point of it for all of
them at once. Files are known by numbers, which stay theirs when their names change.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from twisted_store.core.checksums import Buffer
from twisted_store.storage.disk import Closable, DirectoryEntry, Disk, DiskFile, DiskSpace


@dataclass(frozen=True, slots=True)
class Created:
    """A name for an empty file or directory that was not there before."""

    path: str
    file: int
    is_directory: bool = False


@dataclass(frozen=True, slots=True)
class Renamed:
    """A file got another name, in one step; what had that name lost it."""

    path: str
    file: int
    new_path: str


@dataclass(frozen=True, slots=True)
class Removed:
    """A file lost its name."""

    path: str
    file: int


@dataclass(frozen=True, slots=True)
class Written:
    """Bytes were put into a file from ``offset`` on."""

    path: str
    file: int
    offset: int
    payload: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Resized:
    """A file was cut, or filled up with zeros."""

    path: str
    file: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Synced:
    """The bytes and the length of a file survive a power loss from now on."""

    path: str
    file: int


@dataclass(frozen=True, slots=True)
class DirectorySynced:
    """The names in a directory survive a power loss from now on."""

    path: str


Effect = Created | Renamed | Removed | Written | Resized | Synced | DirectorySynced


@dataclass(frozen=True, slots=True)
class Event:
    """An effect on the disk of a machine, or what somebody else noted of the moment."""

    at_seconds: float
    machine: str
    effect: object


class EventLog:
    """What happened on all machines, in one order; goes on with ``events``, if there are any."""

    def __init__(self, events: list[Event], seconds: Callable[[], float]) -> None:
        self._events = events
        self._seconds = seconds

    def add(self, machine: str, effect: object) -> None:
        """Append an event; it happens now."""
        self._events.append(Event(self._seconds(), machine, effect))

    def new_file(self) -> int:
        """A number that no other file has: that of the event that comes next."""
        return len(self._events)


class Recorder:
    """
    Writes into the log what one machine does to its disk, and knows which file has which name.

    ``files`` are the numbers of the files and directories that are known to the log already.
    """

    def __init__(self, log: EventLog, machine: str, files: Mapping[str, int]) -> None:
        self._log = log
        self._machine = machine
        self._files = dict(files)

    def file(self, path: str) -> int:
        """The number of the file of this name."""
        return self._files[path]

    def create(self, path: str, *, is_directory: bool = False) -> int:
        """A name is there, possibly since before; the number of what it names."""
        if path not in self._files:
            self._files[path] = self._log.new_file()
            self._add(Created(path, self._files[path], is_directory))
        return self._files[path]

    def rename(self, path: str, new_path: str) -> None:
        """A file has another name."""
        file = self._files.pop(path)
        self._files[new_path] = file
        self._add(Renamed(path, file, new_path))

    def remove(self, path: str) -> None:
        """A name is gone."""
        self._add(Removed(path, self._files.pop(path)))

    def write(self, path: str, file: int, offset: int, payload: bytes) -> None:
        """Bytes are in a file, which was opened as ``path``."""
        self._add(Written(path, file, offset, payload))

    def resize(self, path: str, file: int, size_bytes: int) -> None:
        """A file has another length."""
        self._add(Resized(path, file, size_bytes))

    def sync(self, path: str, file: int) -> None:
        """A file is synced."""
        self._add(Synced(path, file))

    def sync_directory(self, path: str) -> None:
        """The names in a directory are synced."""
        self._add(DirectorySynced(path))

    def _add(self, effect: Effect) -> None:
        self._log.add(self._machine, effect)


class RecordingFile:
    """An open file of a `RecordingDisk`."""

    def __init__(self, file: DiskFile, recorder: Recorder, path: str) -> None:
        self._file = file
        self._recorder = recorder
        self._path = path
        self._number = recorder.file(path)

    def size_bytes(self) -> int:
        """Its length."""
        return self._file.size_bytes()

    def read_at(self, offset: int, size_bytes: int) -> bytes:
        """Its bytes from ``offset`` on."""
        return self._file.read_at(offset, size_bytes)

    def write_at(self, offset: int, buffers: Sequence[Buffer]) -> None:
        """Write; one event for all buffers."""
        self._file.write_at(offset, buffers)
        self._recorder.write(self._path, self._number, offset, b"".join(buffers))

    def truncate(self, size_bytes: int) -> None:
        """Cut it."""
        self._file.truncate(size_bytes)
        self._recorder.resize(self._path, self._number, size_bytes)

    def sync(self) -> None:
        """Sync; nothing is recorded when that fails."""
        self._file.sync()
        self._recorder.sync(self._path, self._number)

    def close(self) -> None:
        """Close it."""
        self._file.close()


class RecordingDisk:
    """A disk whose every effect goes into the log once it has happened."""

    def __init__(self, disk: Disk, recorder: Recorder) -> None:
        self._disk = disk
        self._recorder = recorder

    def create(self, path: str) -> DiskFile:
        """A file that stands there keeps its identity, as with ``O_TRUNC``."""
        old_bytes = self._disk.size_bytes(path)
        file = self._disk.create(path)
        number = self._recorder.create(path)
        if old_bytes:
            self._recorder.resize(path, number, 0)
        return RecordingFile(file, self._recorder, path)

    def open(self, path: str) -> DiskFile:
        """Syncs through it are recorded, too."""
        return RecordingFile(self._disk.open(path), self._recorder, path)

    def reopen(self, path: str) -> DiskFile:
        """What is written through it is recorded as of the same file."""
        return RecordingFile(self._disk.reopen(path), self._recorder, path)

    def size_bytes(self, path: str) -> int | None:
        """The length of a file."""
        return self._disk.size_bytes(path)

    def rename(self, old: str, new: str) -> None:
        """Rename."""
        self._disk.rename(old, new)
        self._recorder.rename(old, new)

    def remove(self, path: str) -> None:
        """Remove."""
        self._disk.remove(path)
        self._recorder.remove(path)

    def entries(self, path: str) -> list[DirectoryEntry]:
        """What stands in a directory."""
        return self._disk.entries(path)

    def make_directory(self, path: str) -> None:
        """Make a directory."""
        self._disk.make_directory(path)
        self._recorder.create(path, is_directory=True)

    def sync_directory(self, path: str) -> None:
        """Sync; nothing is recorded when that fails."""
        self._disk.sync_directory(path)
        self._recorder.sync_directory(path)

    def space(self, path: str) -> DiskSpace:
        """The room of the file system."""
        return self._disk.space(path)

    def lock(self, path: str) -> Closable:
        """Taking a lock makes its file."""
        lock = self._disk.lock(path)
        self._recorder.create(path)
        return lock
