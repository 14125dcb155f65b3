"""What a power loss may leave: each thing that it may, and nothing that it may not."""

from random import Random

import pytest

from twisted_store.simulation.chances import (
    EVERYTHING,
    NOTHING,
    SECTOR_BYTES,
    Chance,
    any_draw,
)
from twisted_store.simulation.disk import MemoryDisk
from twisted_store.simulation.power_loss import Image, PowerLoss, disk_of
from twisted_store.simulation.recording import Event, EventLog, Recorder, RecordingDisk
from twisted_store.storage.disk import Disk

DRAWS = 1500


class Machine:
    """A recorded disk whose power can be cut."""

    def __init__(self) -> None:
        self._events: list[Event] = []
        log = EventLog(self._events, lambda: 0.0)
        self.disk: Disk = RecordingDisk(MemoryDisk(2**20), Recorder(log, "m", {}))

    def model(self) -> PowerLoss:
        """The disk as the events have left it."""
        model = PowerLoss({"m": "/"})
        for event in self._events:
            model.happen(event)
        return model

    def images(self) -> list[Image]:
        """What many power losses leave."""
        model, random = self.model(), Random(1)
        return [model.images(any_draw(random))["m"] for _ in range(DRAWS)]

    def names(self) -> set[tuple[str, ...]]:
        """The names that they leave, each set of them once."""
        return {tuple(sorted(image)) for image in self.images()}

    def contents(self, path: str) -> set[bytes]:
        """The bytes that they leave in a file."""
        return {content for image in self.images() if (content := image.get(path)) is not None}


@pytest.fixture
def machine() -> Machine:
    """An empty one."""
    return Machine()


def test_what_is_synced_is_always_there(machine: Machine) -> None:
    """Bytes, length and name."""
    file = machine.disk.create("/a")
    file.write_at(0, [b"x" * 2000])
    file.sync()
    machine.disk.sync_directory("/")
    assert machine.names() == {("/a",)}
    assert machine.contents("/a") == {b"x" * 2000}


def test_a_name_is_lost_without_a_sync_of_its_directory(machine: Machine) -> None:
    """However often the file is synced; and with a directory goes all that is in it."""
    machine.disk.create("/a").sync()
    machine.disk.make_directory("/d")
    machine.disk.create("/d/b")
    machine.disk.sync_directory("/d")
    assert machine.names() == {(), ("/a",), ("/d", "/d/b"), ("/a", "/d", "/d/b")}


def test_bytes_are_lost_in_any_part_without_a_sync(machine: Machine) -> None:
    """All, none, or sectors of them; a file may be longer than what has arrived in it."""
    machine.disk.create("/a").write_at(0, [b"x" * 3 * SECTOR_BYTES])
    machine.disk.sync_directory("/")
    hole, sector = bytes(SECTOR_BYTES), b"x" * SECTOR_BYTES
    left = machine.contents("/a")
    assert {b"", sector, 3 * sector, hole + sector, hole + 2 * sector, 3 * hole} <= left
    parts = {content[at : at + SECTOR_BYTES] for content in left for at in range(0, 1536, 512)}
    assert parts == {b"", hole, sector}


def test_a_write_touches_nothing_beside_it(machine: Machine) -> None:
    """Sectors are those of the file, and keep the rest of what was synced."""
    file = machine.disk.create("/a")
    file.write_at(0, [b"o" * 1000])
    file.sync()
    machine.disk.sync_directory("/")
    file.write_at(500, [b"n" * 100])
    cut = SECTOR_BYTES - 500
    old, new = b"o" * 1000, b"o" * 500 + b"n" * 100 + b"o" * 400
    first, second = new[: 500 + cut] + old[500 + cut :], old[: 500 + cut] + new[500 + cut :]
    assert machine.contents("/a") == {old, first, second, new}


def test_files_are_known_by_their_paths(machine: Machine) -> None:
    """Those of the outermost directory, too."""
    machine.disk.create("/a")
    machine.disk.make_directory("/d")
    machine.disk.create("/d/b")
    assert sorted(machine.model().files("m")) == ["/a", "/d", "/d/b"]


def test_a_cut_is_lost_without_a_sync(machine: Machine) -> None:
    """The file is as long as before or cut; what follows the cut may be there without it."""
    file = machine.disk.create("/a")
    file.write_at(0, [b"o" * 9])
    file.sync()
    machine.disk.sync_directory("/")
    file.truncate(3)
    assert machine.contents("/a") == {b"o" * 9, b"ooo"}
    file.write_at(3, [b"n"])
    # The file may also be longer without the byte, or cut after the byte had come.
    cut = {b"ooo", b"ooon", b"ooo\0"}
    assert machine.contents("/a") == cut | {b"o" * 9, b"ooon" + b"o" * 5}
    file.sync()
    assert machine.contents("/a") == {b"ooon"}


def test_writes_arrive_in_any_order(machine: Machine) -> None:
    """The last one may be there without the first, and the first on top of the last."""
    file = machine.disk.create("/a")
    machine.disk.sync_directory("/")
    for letter in (b"1", b"2"):
        file.write_at(0, [letter])
    assert machine.contents("/a") == {b"", b"\0", b"1", b"2"}


def test_a_rename_leaves_the_old_name_or_the_new(machine: Machine) -> None:
    """Never neither, and never both; and what had the new name keeps it until then."""
    for name in ("/a", "/b"):
        file = machine.disk.create(name)
        file.write_at(0, [name.encode()])
        file.sync()
    machine.disk.sync_directory("/")
    machine.disk.rename("/a", "/b")
    assert machine.names() == {("/a", "/b"), ("/b",)}
    assert machine.contents("/b") == {b"/a", b"/b"}
    machine.disk.rename("/b", "/c")
    assert machine.names() == {("/a", "/b"), ("/b",), ("/c",)}


def test_a_removed_file_may_come_back(machine: Machine) -> None:
    """Until its directory is synced."""
    machine.disk.create("/a")
    machine.disk.sync_directory("/")
    machine.disk.remove("/a")
    assert machine.names() == {("/a",), ()}
    machine.disk.sync_directory("/")
    assert machine.names() == {()}


def test_names_of_different_files_are_lost_each_for_itself(machine: Machine) -> None:
    """Also the older one alone."""
    machine.disk.create("/a")
    machine.disk.create("/b")
    assert machine.names() == {(), ("/a",), ("/b",), ("/a", "/b")}


@pytest.mark.parametrize(
    ("chance", "expected"), [(NOTHING, {"/a": b"old"}), (EVERYTHING, {"/a": b"new", "/b": b""})]
)
def test_nothing_and_everything(machine: Machine, chance: Chance, expected: Image) -> None:
    """The two ends: what was synced, and what all processes see."""
    file = machine.disk.create("/a")
    file.write_at(0, [b"old"])
    file.sync()
    machine.disk.sync_directory("/")
    file.write_at(0, [b"new"])
    machine.disk.create("/b")
    assert machine.model().images(lambda: chance)["m"] == expected


def test_a_disk_of_an_image_has_what_is_in_it() -> None:
    """So a node can be started on it."""
    image = {"/d": None, "/d/a": b"content", "/d/e": None}
    disk = disk_of(image, 2**20)
    assert disk.open("/d/a").read_at(0, 100) == b"content"
    assert {entry.name for entry in disk.entries("/d")} == {"a", "e"}


def test_a_rename_to_another_directory_is_not_modelled(machine: Machine) -> None:
    """The store has none, and the model would be wrong about it."""
    machine.disk.make_directory("/d")
    machine.disk.create("/a")
    machine.disk.rename("/a", "/d/a")
    with pytest.raises(NotImplementedError):
        machine.model()
