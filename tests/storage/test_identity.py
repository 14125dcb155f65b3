"""Whose directory it is: made once, held by one process, refused to all others."""

import errno
import json
from pathlib import Path
from random import Random

import pytest
from twisted.internet.task import Clock

from tests.storage.bench import result_of, started
from tests.storage.seams import HeldCalls, WatchedDisk, run_inline
from twisted_store.core.ids import ClusterId
from twisted_store.errors import ForeignClusterError, NodeFailedError, StartupError
from twisted_store.storage.calls import RunBlocking
from twisted_store.storage.identity import SEEN_SYNC_SECONDS, NodeIdentity, Seen

CLUSTER, FOREIGN = ClusterId("0123456789abcdef"), ClusterId("fedcba9876543210")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A directory that does not exist yet, nor does the one above."""
    return tmp_path / "data" / "node1"


@pytest.fixture
def disk() -> WatchedDisk:
    """The disk."""
    return WatchedDisk()


@pytest.fixture
def clock() -> Clock:
    """The time."""
    return Clock()


def opened(
    root: Path,
    disk: WatchedDisk | None = None,
    clock: Clock | None = None,
    seed: int = 1,
    run_blocking: RunBlocking = run_inline,
) -> NodeIdentity:
    """The identity in that directory."""
    monotonic = (clock or Clock()).seconds
    return NodeIdentity(disk or WatchedDisk(), str(root), Random(seed), run_blocking, monotonic)


def test_an_empty_directory_becomes_a_node(root: Path) -> None:
    """With an id of its own that stays."""
    identity = opened(root)
    node_id = identity.node_id
    assert (identity.cluster_id, identity.seen) == (None, Seen(0, 0))
    assert json.loads((root / "node.json").read_bytes()) == {
        "node_id": node_id,
        "cluster_id": None,
        "role": "node",
        "format_version": 1,
    }
    result_of(identity.close())
    again = opened(root, seed=2)
    assert again.node_id == node_id
    result_of(again.close())
    other = opened(root.parent / "node2", seed=2)
    assert other.node_id != node_id
    result_of(other.close())


def test_a_new_identity_survives_a_power_loss(root: Path, disk: WatchedDisk) -> None:
    """The directories in theirs, the file before its name, the name before anything else."""
    result_of(opened(root, disk).close())
    assert disk.calls[:-1] == [
        ("make_directory", "data"),
        ("sync_directory", root.parents[1].name),
        ("make_directory", "node1"),
        ("sync_directory", "data"),
        ("lock", "lock"),
        ("open", "node.json"),
        ("create", "node.json.tmp"),
        ("write_at", "node.json.tmp"),
        ("sync", "node.json.tmp"),
        ("close", "node.json.tmp"),
        ("rename", "node.json"),
        ("sync_directory", "node1"),
    ]


def test_the_name_of_a_directory_is_synced_at_every_start(root: Path, disk: WatchedDisk) -> None:
    """Who made it may have been killed before it did; where we may not look, it was not us."""
    root.mkdir(parents=True)
    result_of(opened(root, disk).close())
    assert disk.calls[0] == ("sync_directory", "data")
    disk.failing["sync_directory"] = PermissionError(errno.EACCES, "not yours")
    result_of(opened(root, disk).close())


@pytest.mark.parametrize("failing", range(4, 12))
def test_a_first_start_that_was_cut_short_can_be_repeated(
    root: Path, disk: WatchedDisk, failing: int
) -> None:
    """Whatever it left."""
    disk.failing_at = failing, OSError(errno.EIO, "broken")
    with pytest.raises(StartupError, match="broken"):
        opened(root, disk)
    result_of(opened(root).close())


def test_a_directory_is_used_by_one_process_at_a_time(root: Path) -> None:
    """The second one is told so."""
    identity = opened(root)
    with pytest.raises(StartupError, match="Another process"):
        opened(root)
    result_of(identity.close())
    result_of(opened(root).close())


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({"role": "api", "node_id": "0123456789abcdef", "format_version": 1}, "role 'api'"),
        ({"role": "node", "node_id": "0123456789abcdef", "format_version": 2}, "newer version"),
        ({"role": "node", "node_id": "x", "format_version": 1}, "not a node's"),
        ({"catalog": "somewhere"}, "not a node's"),
        (["node"], "not a node's"),
        ("node", "not a node's"),
    ],
)
def test_a_directory_with_another_identity_is_refused(
    root: Path, content: object, reason: str
) -> None:
    """And left as it is, unlocked."""
    root.mkdir(parents=True)
    (root / "node.json").write_text(json.dumps(content))
    for _ in range(2):
        with pytest.raises(StartupError, match=reason):
            opened(root)
    assert json.loads((root / "node.json").read_bytes()) == content


@pytest.mark.parametrize("name", ["api.json", "catalog.sqlite", "chunks", "notes.txt"])
def test_a_directory_with_foreign_content_is_refused(root: Path, name: str) -> None:
    """An api's, one that lost its identity, anybody's: nothing is added to it."""
    root.mkdir(parents=True)
    (root / name).write_text("")
    with pytest.raises(StartupError, match="not a node's data directory"):
        opened(root)
    assert [path.name for path in root.iterdir()] == [name]


def test_a_path_that_cannot_be_a_directory_is_refused(tmp_path: Path) -> None:
    """With the system's reason."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StartupError, match="Not a directory"):
        opened(tmp_path / "file")


def test_a_node_belongs_to_the_first_cluster_that_it_meets(root: Path) -> None:
    """For ever; to adopt it again is nothing."""
    identity = opened(root)
    for _ in range(2):
        result_of(identity.adopt_cluster(CLUSTER))
    with pytest.raises(ForeignClusterError, match=FOREIGN):
        result_of(identity.adopt_cluster(FOREIGN))
    result_of(identity.close())
    again = opened(root)
    assert again.cluster_id == CLUSTER
    result_of(again.close())


def test_of_two_clusters_at_once_one_wins(root: Path) -> None:
    """The one that came first."""
    held = HeldCalls()
    identity = opened(root, run_blocking=held)
    first = started(identity.adopt_cluster(CLUSTER))
    second = started(identity.adopt_cluster(FOREIGN))
    held.run_all()
    result_of(first)
    with pytest.raises(ForeignClusterError):
        result_of(second)
    assert identity.cluster_id == CLUSTER
    closed = started(identity.close())
    held.run_all()
    result_of(closed)


def test_a_cluster_that_cannot_be_written_down_is_not_adopted(
    root: Path, disk: WatchedDisk
) -> None:
    """Else it would be forgotten."""
    identity = opened(root, disk)
    disk.failing["sync"] = OSError(errno.EIO, "broken")
    with pytest.raises(NodeFailedError):
        result_of(identity.adopt_cluster(CLUSTER))
    assert identity.cluster_id is None
    disk.failing.clear()
    result_of(identity.adopt_cluster(CLUSTER))
    result_of(identity.close())


def test_the_highest_call_is_remembered(root: Path) -> None:
    """Over restarts, incarnation and sequence each for itself; what comes late lowers neither."""
    identity = opened(root)
    for incarnation, sequence in [(3, 7), (3, 5), (2, 100), (4, 9)]:
        result_of(identity.remember(incarnation, sequence))
    assert identity.seen == Seen(4, 100)
    result_of(identity.close())
    again = opened(root)
    assert again.seen == Seen(4, 100)
    result_of(again.close())


def test_a_new_incarnation_is_written_at_once_and_sequences_once_a_second(
    root: Path, disk: WatchedDisk, clock: Clock
) -> None:
    """The rest is written by a later call, or at the end."""
    identity = opened(root, disk, clock)

    def written() -> list[object]:
        disk.calls.clear()
        return list(json.loads((root / "seen.json").read_bytes()).values())

    result_of(identity.remember(1, 1))
    assert written() == [1, 1]
    for sequence in range(2, 10):
        result_of(identity.remember(1, sequence))
    assert disk.calls == []
    result_of(identity.remember(2, 1))
    assert written() == [2, 9]
    clock.advance(SEEN_SYNC_SECONDS)
    result_of(identity.remember(2, 9))
    assert disk.calls == []
    result_of(identity.remember(2, 10))
    assert disk.names() == ["create", "write_at", "sync", "close", "rename", "sync_directory"]
    result_of(identity.remember(2, 11))
    result_of(identity.close())
    assert written() == [2, 11]


def test_every_call_of_a_new_incarnation_waits_until_it_is_written(root: Path) -> None:
    """The second one of it is not acted on before the first one is on the disk."""
    held = HeldCalls()
    identity = opened(root, run_blocking=held)
    first = started(identity.remember(1, 1))
    second = started(identity.remember(1, 2))
    assert [first.called, second.called] == [False, False]
    held.run_all()
    assert [first.called, second.called] == [True, True]
    closed = started(identity.close())
    held.run_all()
    result_of(closed)


def test_a_damaged_memory_is_a_reason_not_to_start(root: Path) -> None:
    """The operator decides."""
    result_of(opened(root).close())
    (root / "seen.json").write_text("{")
    for _ in range(2):
        with pytest.raises(StartupError, match=r"seen\.json is damaged"):
            opened(root)
