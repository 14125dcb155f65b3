"""A recorded disk does what the disk does, and the log has every effect in its order."""

import pytest

from twisted_store.simulation.chances import EVERYTHING
from twisted_store.simulation.disk import MemoryDisk
from twisted_store.simulation.power_loss import PowerLoss
from twisted_store.simulation.recording import (
    Created,
    DirectorySynced,
    Effect,
    Event,
    EventLog,
    Recorder,
    RecordingDisk,
    Removed,
    Renamed,
    Resized,
    Synced,
    Written,
)
from twisted_store.storage.disk import Disk

DISK_BYTES = 2**20


@pytest.fixture
def events() -> list[Event]:
    """The log."""
    return []


@pytest.fixture
def log(events: list[Event]) -> EventLog:
    """Writes it; each event comes a second after the one before."""
    return EventLog(events, lambda: float(len(events)))


@pytest.fixture
def disk(log: EventLog) -> Disk:
    """The disk of machine m."""
    return RecordingDisk(MemoryDisk(DISK_BYTES), Recorder(log, "m", {}))


def effects(events: list[Event]) -> list[object]:
    """What happened."""
    return [event.effect for event in events]


def test_every_effect_is_recorded_with_its_time_and_machine(
    disk: Disk, events: list[Event]
) -> None:
    """Names as they were used, and the number of the file however it is called by then."""
    disk.make_directory("/d")
    file = disk.create("/d/a")
    file.write_at(3, [b"on", b"e"])
    disk.rename("/d/a", "/d/b")
    file.sync()
    disk.sync_directory("/d")
    disk.remove("/d/b")
    directory, number = 0, 1
    assert effects(events) == [
        Created("/d", directory, is_directory=True),
        Created("/d/a", number),
        Written("/d/a", number, 3, b"one"),
        Renamed("/d/a", number, "/d/b"),
        Synced("/d/a", number),
        DirectorySynced("/d"),
        Removed("/d/b", number),
    ]
    assert [(event.at_seconds, event.machine) for event in events] == [
        (float(second), "m") for second in range(7)
    ]


def test_a_file_that_is_emptied_stays_the_same_file(disk: Disk, events: list[Event]) -> None:
    """It is cut, and what it had before may come back."""
    disk.create("/a").write_at(0, [b"old"])
    disk.create("/a").write_at(0, [b"new"])
    assert effects(events)[2:] == [Resized("/a", 0, 0), Written("/a", 0, 0, b"new")]


def test_a_file_that_is_reopened_and_cut_stays_the_same_file(
    disk: Disk, events: list[Event]
) -> None:
    """By whatever name it is opened then."""
    disk.create("/a").write_at(0, [b"content"])
    disk.rename("/a", "/b")
    file = disk.reopen("/b")
    file.truncate(3)
    file.write_at(3, [b"x"])
    assert effects(events)[3:] == [Resized("/b", 0, 3), Written("/b", 0, 3, b"x")]


def test_what_has_no_effect_is_not_recorded(disk: Disk, events: list[Event]) -> None:
    """Directories that are there, reading, and what fails."""
    disk.make_directory("/d")
    disk.lock("/d/lock")
    before = list(events)
    disk.make_directory("/d")
    with pytest.raises(BlockingIOError):
        disk.lock("/d/lock")
    with pytest.raises(FileNotFoundError):
        disk.rename("/d/a", "/d/b")
    assert [entry.name for entry in disk.entries("/d")] == ["lock"]
    assert disk.open("/d/lock").read_at(0, 10) == b""
    assert (disk.size_bytes("/d/lock"), disk.space("/").total_bytes) == (0, DISK_BYTES)
    assert events == before


def test_a_sync_through_another_descriptor_is_one_of_the_file(
    disk: Disk, events: list[Event]
) -> None:
    """As on Linux."""
    disk.create("/a").write_at(0, [b"x"])
    disk.open("/a").sync()
    assert effects(events)[-1] == Synced("/a", 0)


def test_machines_share_one_order(disk: Disk, log: EventLog, events: list[Event]) -> None:
    """Notes of others are in it, too."""
    other = RecordingDisk(MemoryDisk(DISK_BYTES), Recorder(log, "n", {}))
    disk.create("/a")
    log.add("", "between")
    other.create("/a")
    assert effects(events) == [Created("/a", 0), "between", Created("/a", 2)]


def test_all_effects_together_make_the_disk(disk: Disk, events: list[Event]) -> None:
    """The model of the disks comes to the same files as the disk itself."""
    disk.make_directory("/d")
    for number in range(5):
        file = disk.create(f"/d/{number}")
        file.write_at(0, [bytes([number]) * 600])
        file.write_at(300, [b"x" * 600])
    disk.rename("/d/1", "/d/2")
    disk.remove("/d/3")
    disk.create("/d/4")
    disk.reopen("/d/0").truncate(100)
    model = PowerLoss({"m": "/"})
    effects_known = [event for event in events if isinstance(event.effect, Effect)]
    for event in effects_known:
        model.happen(event)
    expected = {
        f"/d/{entry.name}": disk.open(f"/d/{entry.name}").read_at(0, 10_000)
        for entry in disk.entries("/d")
    }
    assert model.images(lambda: EVERYTHING) == {"m": {"/d": None, **expected}}
