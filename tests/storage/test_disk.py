"""What every disk must do, the real one and all others; one more joins by its name."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.storage.faulty_disk import FaultyDisk
from twisted_store.core.checksums import Buffer
from twisted_store.simulation.disk import MemoryDisk
from twisted_store.simulation.process_disk import Holdings, ProcessDisk
from twisted_store.simulation.recording import EventLog, Recorder, RecordingDisk
from twisted_store.storage.disk import Disk, DiskFile, OsDisk, OsFile


def recorded() -> Disk:
    """A disk whose effects nobody looks at here."""
    log = EventLog([], lambda: 0.0)
    return RecordingDisk(MemoryDisk(DISK_BYTES), Recorder(log, "m", {}))


DISK_BYTES = 2**30

DISKS: dict[str, Callable[[], Disk]] = {
    "OsDisk": OsDisk,
    "MemoryDisk": lambda: MemoryDisk(DISK_BYTES),
    "ProcessDisk": lambda: ProcessDisk(MemoryDisk(DISK_BYTES), Holdings()),
    "RecordingDisk": recorded,
    "FaultyDisk": lambda: FaultyDisk(MemoryDisk(DISK_BYTES)),
}


@pytest.fixture(params=list(DISKS.values()), ids=list(DISKS))
def disk(request: pytest.FixtureRequest) -> Disk:
    """One of them."""
    made: Disk = request.param()
    return made


@pytest.fixture
def root(disk: Disk, tmp_path: Path) -> str:
    """A directory on it."""
    path = tmp_path / "root"
    for directory in (*reversed(path.parents), path):
        disk.make_directory(str(directory))
    return str(path)


def written(disk: Disk, path: str, content: bytes) -> DiskFile:
    """A new file with that content, still open."""
    file = disk.create(path)
    file.write_at(0, [content])
    return file


def test_what_is_written_is_read(disk: Disk, root: str) -> None:
    """Many buffers of all kinds at once, empty ones included, in more than one call."""
    buffers: list[Buffer] = [b"one", bytearray(b"two"), memoryview(b"a three")[2:], b""] * 1000
    file = disk.create(f"{root}/file")
    file.write_at(0, buffers)
    file.write_at(file.size_bytes(), [b"end"])
    file.sync()
    assert file.size_bytes() == 11003
    assert file.read_at(0, 11003) == b"onetwothree" * 1000 + b"end"
    assert file.read_at(3, 3) == b"two"
    file.close()
    reopened = disk.open(f"{root}/file")
    assert reopened.read_at(10997, 100) == b"reeend"
    assert reopened.read_at(20000, 1) == b""
    reopened.sync()
    reopened.close()
    assert disk.size_bytes(f"{root}/file") == 11003


def test_creating_empties_what_was_there(disk: Disk, root: str) -> None:
    """A left over draft does not shine through, and who has it open sees it emptied."""
    old = written(disk, f"{root}/file", b"old content")
    written(disk, f"{root}/file", b"new").close()
    assert disk.size_bytes(f"{root}/file") == 3
    assert old.read_at(0, 20) == b"new"
    old.close()


def test_a_reopened_file_is_read_and_written_as_it_is(disk: Disk, root: str) -> None:
    """Nothing of it goes; what is appended is there for all who have it open."""
    written(disk, f"{root}/file", b"content").close()
    reader, file = disk.open(f"{root}/file"), disk.reopen(f"{root}/file")
    assert (file.size_bytes(), file.read_at(3, 4)) == (7, b"tent")
    file.write_at(7, [b" and ", b"more"])
    file.write_at(0, [b"C"])
    file.sync()
    assert reader.read_at(0, 100) == b"Content and more"
    file.close()
    reader.close()


def test_a_file_is_cut(disk: Disk, root: str) -> None:
    """What is beyond is gone, and does not come back when the file grows."""
    file = written(disk, f"{root}/file", b"content")
    file.truncate(3)
    assert (file.size_bytes(), file.read_at(0, 10)) == (3, b"con")
    assert disk.size_bytes(f"{root}/file") == 3
    file.write_at(5, [b"x"])
    file.truncate(8)
    file.sync()
    assert file.read_at(0, 10) == b"con\0\0x\0\0"
    file.truncate(0)
    assert (file.size_bytes(), file.read_at(0, 10)) == (0, b"")
    file.close()


def test_a_file_that_is_open_for_reading_is_not_changed(tmp_path: Path) -> None:
    """The two ways to open a file that is there differ in this."""
    written(OsDisk(), str(tmp_path / "file"), b"content").close()
    file = OsDisk().open(str(tmp_path / "file"))
    with pytest.raises(OSError, match="Bad file descriptor"):
        file.write_at(0, [b"x"])
    with pytest.raises(OSError, match="Invalid argument"):
        file.truncate(0)
    file.close()


def test_a_rename_replaces(disk: Disk, root: str) -> None:
    """And an open file stays what it was."""
    old = written(disk, f"{root}/old", b"old")
    written(disk, f"{root}/new", b"new").close()
    disk.rename(f"{root}/new", f"{root}/old")
    disk.sync_directory(root)
    assert disk.entries(root) == [("old", 3)]
    assert old.read_at(0, 3) == b"old"
    old.close()
    replaced = disk.open(f"{root}/old")
    assert replaced.read_at(0, 3) == b"new"
    replaced.close()


def test_a_removed_file_stays_readable_for_who_has_it_open(disk: Disk, root: str) -> None:
    """Readers outlive the reclaim of their chunk."""
    file = written(disk, f"{root}/file", b"content")
    disk.remove(f"{root}/file")
    assert disk.size_bytes(f"{root}/file") is None
    assert file.read_at(0, 7) == b"content"
    file.close()


@pytest.mark.parametrize(
    "call",
    [
        lambda disk, path: disk.open(path),
        lambda disk, path: disk.reopen(path),
        lambda disk, path: disk.remove(path),
        lambda disk, path: disk.rename(path, path + "2"),
        lambda disk, path: disk.entries(path),
        lambda disk, path: disk.sync_directory(path),
        lambda disk, path: disk.create(f"{path}/file"),
        lambda disk, path: disk.make_directory(f"{path}/directory"),
    ],
)
def test_what_is_missing_is_told(
    disk: Disk, root: str, call: Callable[[Disk, str], object]
) -> None:
    """By one exception that callers can rely on."""
    with pytest.raises(FileNotFoundError):
        call(disk, f"{root}/missing")


def test_a_directory_may_be_made_twice(disk: Disk, root: str) -> None:
    """But not where a file stands."""
    disk.make_directory(f"{root}/directory")
    disk.make_directory(f"{root}/directory")
    assert [entry.name for entry in disk.entries(root)] == ["directory"]
    written(disk, f"{root}/file", b"").close()
    with pytest.raises(FileExistsError):
        disk.make_directory(f"{root}/file")


def test_a_lock_is_held_until_closed(disk: Disk, root: str) -> None:
    """By one at a time."""
    lock = disk.lock(f"{root}/lock")
    with pytest.raises(BlockingIOError):
        disk.lock(f"{root}/lock")
    lock.close()
    disk.lock(f"{root}/lock").close()


def test_space_is_told(disk: Disk, root: str) -> None:
    """Less is free than there is."""
    space = disk.space(root)
    assert 0 < space.free_bytes <= space.total_bytes


def test_what_is_made_is_open_to_its_owner_only(tmp_path: Path) -> None:
    """Directories, files and locks; whatever the umask."""
    before = os.umask(0)
    try:
        OsDisk().make_directory(str(tmp_path / "made"))
        OsDisk().create(str(tmp_path / "file")).close()
        OsDisk().lock(str(tmp_path / "lock")).close()
    finally:
        os.umask(before)
    modes = {path.name: oct(path.stat().st_mode)[-3:] for path in tmp_path.iterdir()}
    assert modes == {"made": "700", "file": "600", "lock": "600"}


def test_a_file_is_closed_only_once(tmp_path: Path) -> None:
    """The number of its descriptor may be another file's by then."""
    file = OsDisk().create(str(tmp_path / "file"))
    file.close()
    other = os.open(tmp_path / "other", os.O_RDWR | os.O_CREAT)
    file.close()
    os.write(other, b"still open")
    os.close(other)


def test_a_partial_write_is_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system may take less than it is given: here 5 bytes at a time."""
    real = os.pwritev

    def pwritev(descriptor: int, buffers: Sequence[memoryview], offset: int) -> int:
        return real(descriptor, [b"".join(buffers)[:5]], offset)

    monkeypatch.setattr(os, "pwritev", pwritev)
    file = OsFile(os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT))
    file.write_at(0, [b"a", b"bcdef", b"ghijklmnop", b"q"])
    assert file.read_at(0, 100) == b"abcdefghijklmnopq"
    file.close()
