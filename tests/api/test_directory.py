"""The api's data directory: made, locked, and not that of a node."""

from typing import NoReturn

import pytest

from twisted_store.api.directory import NODE_IDENTITY_NAME, hold_directory
from twisted_store.errors import StartupError
from twisted_store.simulation.disk import MemoryDisk
from twisted_store.storage.disk import Closable
from twisted_store.storage.identity import IDENTITY_NAME


class BrokenDisk(MemoryDisk):
    """Cannot be locked."""

    def lock(self, path: str) -> NoReturn:
        """Fail as a read-only file system does."""
        raise OSError(30, "Read-only file system", path)


@pytest.fixture
def disk() -> MemoryDisk:
    """An empty one."""
    return MemoryDisk(2**30)


def test_a_missing_directory_is_made(disk: MemoryDisk) -> None:
    """With those above it."""
    hold_directory(disk, "/var/store/api")
    assert [entry.name for entry in disk.entries("/var/store/api")] == ["lock"]


def test_two_processes_cannot_share_it(disk: MemoryDisk) -> None:
    """One api at a time (P12); when it lets go the next may come."""
    release = hold_directory(disk, "/api")
    with pytest.raises(StartupError, match="Another process"):
        hold_directory(disk, "/api")
    release()
    hold_directory(disk, "/api")


def test_the_directory_of_a_node_is_refused(disk: MemoryDisk) -> None:
    """And not kept locked: the node may start."""
    disk.make_directory("/node")
    disk.create(f"/node/{NODE_IDENTITY_NAME}")
    with pytest.raises(StartupError, match="data of a node"):
        hold_directory(disk, "/node")
    lock: Closable = disk.lock("/node/lock")
    lock.close()


def test_it_knows_a_node_by_the_file_that_nodes_make() -> None:
    """Both names are one."""
    assert NODE_IDENTITY_NAME == IDENTITY_NAME


def test_what_the_disk_says_is_told() -> None:
    """The operator reads why."""
    with pytest.raises(StartupError, match="Read-only file system"):
        hold_directory(BrokenDisk(2**30), "/api")
