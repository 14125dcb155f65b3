"""The disk that breaks: as far as it is told to, and no longer."""

import errno
from collections.abc import Callable

import pytest

from tests.storage.faulty_disk import FaultyDisk
from twisted_store.simulation.disk import MemoryDisk
from twisted_store.simulation.recording import Event, EventLog, Recorder, RecordingDisk, Written

Call = Callable[[FaultyDisk], object]

CALLS: dict[str, Call] = {
    "create": lambda disk: disk.create("/d/new"),
    "open": lambda disk: disk.open("/d/bad"),
    "reopen": lambda disk: disk.reopen("/d/bad"),
    "size_bytes": lambda disk: disk.size_bytes("/d/bad"),
    "rename": lambda disk: disk.rename("/d/bad", "/d/bad"),
    "remove": lambda disk: disk.remove("/d/spare"),
    "entries": lambda disk: disk.entries("/d"),
    "make_directory": lambda disk: disk.make_directory("/d"),
    "sync_directory": lambda disk: disk.sync_directory("/d"),
    "space": lambda disk: disk.space("/d"),
    "lock": lambda disk: disk.lock("/d/lock").close(),
    "read_at": lambda disk: disk.open("/d/bad").read_at(0, 1),
    "write_at": lambda disk: disk.open("/d/bad").write_at(0, [b"x"]),
    "truncate": lambda disk: disk.open("/d/bad").truncate(1),
    "sync": lambda disk: disk.open("/d/bad").sync(),
    "file size": lambda disk: disk.open("/d/bad").size_bytes(),
}

LOOKS = {"open", "size_bytes", "entries", "space", "read_at", "file size"}


def made() -> FaultyDisk:
    """A sound disk with files on it."""
    disk = FaultyDisk(MemoryDisk(2**20))
    disk.make_directory("/d")
    for name in ("bad", "good", "spare"):
        disk.create(f"/d/{name}").write_at(0, [b"content"])
    return disk


def is_bad(path: str) -> bool:
    """Whether the path is that of the file which breaks."""
    return path.endswith("bad")


def error_of(call: Call, disk: FaultyDisk) -> int | None:
    """The number of the error that the call raises."""
    try:
        call(disk)
    except OSError as error:
        return error.errno
    return None


@pytest.mark.parametrize(
    ("damage", "number", "broken"),
    [
        (lambda disk: disk.break_writes(errno.ENOSPC), errno.ENOSPC, {"write_at"}),
        (lambda disk: disk.break_syncs(), errno.EIO, {"sync", "sync_directory"}),
        (lambda disk: disk.break_reads(), errno.EIO, {"read_at"}),
        (lambda disk: disk.fill_up(), errno.ENOSPC, {"create"}),
        (lambda disk: disk.turn_read_only(), errno.EROFS, CALLS.keys() - LOOKS),
    ],
)
def test_what_is_broken_fails_until_it_is_healed(
    damage: Call, number: int, broken: set[str]
) -> None:
    """And nothing else does."""
    expected = dict.fromkeys(CALLS) | dict.fromkeys(broken, number)
    disk = made()
    damage(disk)
    assert {name: error_of(call, disk) for name, call in CALLS.items()} == expected
    disk = made()
    damage(disk)
    disk.heal()
    assert {name: error_of(call, disk) for name, call in CALLS.items()} == dict.fromkeys(CALLS)


def test_only_the_paths_that_match_are_broken() -> None:
    """A file by the path that it was opened by, a rename by either of its paths."""
    disk = made()
    disk.turn_read_only(is_bad)
    good, bad = disk.open("/d/good"), disk.open("/d/bad")
    good.write_at(0, [b"x"])
    assert error_of(lambda _: bad.write_at(0, [b"x"]), disk) == errno.EROFS
    assert error_of(lambda _: disk.rename("/d/good", "/d/bad"), disk) == errno.EROFS
    assert error_of(lambda _: disk.rename("/d/bad", "/d/good"), disk) == errno.EROFS
    disk.rename("/d/good", "/d/better")
    assert [good.read_at(0, 9), bad.read_at(0, 9)] == [b"xontent", b"content"]


def test_a_short_write_leaves_its_first_bytes() -> None:
    """Across buffers, and a recording disk below writes down those that arrived."""
    events: list[Event] = []
    recorder = Recorder(EventLog(events, lambda: 0.0), "m", {})
    disk = FaultyDisk(RecordingDisk(MemoryDisk(2**20), recorder))
    file = disk.create("/a")
    disk.break_writes(errno.ENOSPC, written_bytes=4)
    with pytest.raises(OSError, match="No space left"):
        file.write_at(0, [b"one", b"two"])
    assert file.read_at(0, 9) == b"onet"
    assert events[-1].effect == Written("/a", 0, 0, b"onet")
    disk.heal()
    file.write_at(0, [b"one", b"two"])
    assert file.read_at(0, 9) == b"onetwo"
