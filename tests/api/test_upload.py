"""The use case upload on a simulated cluster: wholly there, or never there, and nothing kept."""

import tracemalloc
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from tests.api.world import (
    MIB,
    STRIPE,
    ApiCluster,
    HandFed,
    UploadWorld,
    body_of,
)
from tests.catalog.objects import if_absent
from tests.catalog.seams import result_of, start
from tests.simulation.calls import content_of
from twisted_store.api.digests import ExpectedDigests
from twisted_store.api.upload import UPLOAD_BYTES_MIN, memory_bytes
from twisted_store.catalog.commits import CommitInDoubtError
from twisted_store.core.conditions import NO_CONDITIONS, Conditions
from twisted_store.core.scheme import Scheme
from twisted_store.core.striping import DATA_CHUNKS
from twisted_store.errors import (
    DigestMismatchError,
    IncompleteBodyError,
    NodeFailedError,
    PreconditionFailedError,
    TooFewNodesError,
    TooLargeError,
)
from twisted_store.simulation.disk import MemoryDisk
from twisted_store.simulation.setting import Setting, fresh_disk

UPLOAD_BYTES_MAX = memory_bytes(None, Scheme.PLAIN)

SMALL = "node0"

SWEPT_SECONDS = 80.0
"""After this every node has asked about what it holds provisionally, and heard the answer."""


@pytest.fixture
def world(cluster: ApiCluster) -> UploadWorld:
    """The use case on that cluster."""
    return UploadWorld(cluster)


def failure_of(upload: "Deferred[Any]") -> Exception:
    """What an upload has failed with."""
    failures: list[Failure] = []
    upload.addErrback(failures.append)
    [failure] = failures
    assert isinstance(failure.value, Exception)
    return failure.value


@pytest.mark.parametrize("sized", [True, False])
def test_p1_p3_a_file_is_acknowledged_when_its_chunks_are_stored_and_its_row_is_there(
    world: UploadWorld, sized: bool
) -> None:
    """Not before the commit, and visible to all from then on."""
    content = content_of(3000)
    upload = world.begin(body_of(content), len(content) if sized else None)
    assert world.catalog.committing
    assert (len(world.cluster.chunk_files()), upload.called) == (DATA_CHUNKS, False)
    assert world.cluster.run(start(world.cluster.api.catalog.get("a"))) is None
    world.open_gate()
    stored = result_of(upload)
    assert (stored.manifest.size_bytes, stored.replaced, world.idle) == (3000, False, True)
    entry = world.cluster.run(start(world.cluster.api.catalog.get("a")))
    assert entry is not None
    assert entry.manifest == stored.manifest


def test_p1_the_commit_waits_for_the_slowest_node(world: UploadWorld) -> None:
    """All chunks of the scheme are awaited."""
    body = HandFed()
    upload = world.begin(body, 1000)
    [slow, *_] = world.cluster.receiving()
    gate = world.cluster.hold_disk(slow)
    body.give(content_of(1000), None)
    world.cluster.clock.run_for(5)
    assert (world.catalog.committing, upload.called) == (False, False)
    gate.callback(None)
    world.cluster.clock.run_for(1)
    assert world.catalog.committing
    world.open_gate()
    result_of(upload)


# Memory.


def test_memory_is_reserved_before_the_first_byte(world: UploadWorld) -> None:
    """Who has to wait for it is not read from, and 100 Continue is not said."""
    hold = start(_hold(world, 64 * MIB - UPLOAD_BYTES_MIN))
    body = HandFed()
    upload = world.begin(body, STRIPE)
    assert (body.asked, world.budget.contended) == (False, True)
    hold.cancel()
    assert isinstance(failure_of(hold), CancelledError)
    world.cluster.clock.run_for(0.5)
    assert (body.asked, world.budget.reserved_bytes) == (True, UPLOAD_BYTES_MAX)
    upload.cancel()
    assert isinstance(failure_of(upload), CancelledError)
    world.cluster.clock.run_for(1)
    assert world.idle


async def _hold(world: UploadWorld, size_bytes: int) -> None:
    waiting: Deferred[None] = Deferred()
    async with world.budget.reserve(size_bytes):
        await waiting


@pytest.mark.parametrize(
    ("size_bytes", "reserved_bytes"),
    [
        (0, UPLOAD_BYTES_MIN),
        (1000, UPLOAD_BYTES_MIN + 2000),
        (2**40, UPLOAD_BYTES_MAX),
        (None, UPLOAD_BYTES_MAX),
    ],
)
def test_an_upload_reserves_its_worst_case(
    world: UploadWorld, size_bytes: int | None, reserved_bytes: int
) -> None:
    """That of its length, if it says one."""
    upload = world.begin(HandFed(), size_bytes)
    assert world.budget.reserved_bytes == reserved_bytes
    upload.cancel()
    assert isinstance(failure_of(upload), CancelledError)
    world.cluster.clock.run_for(1)


def test_tiny_pieces_cost_what_their_bytes_cost(world: UploadWorld) -> None:
    """A body of one byte per piece once took 600 bytes of memory for each."""
    fed = HandFed()
    upload = world.begin(fed, None)
    tracemalloc.start()
    fed.give(*[b"x"] * 100_000, None)
    world.cluster.clock.run_for(1)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    world.open_gate()
    assert result_of(upload).manifest.size_bytes == 100_000
    assert peak_bytes < UPLOAD_BYTES_MAX


# All the ways to fail.


@dataclass
class Fault:
    """How an upload of 1000 bytes goes wrong, and what comes of it."""

    name: str
    error: type[Exception]
    pieces: tuple[bytes | Exception | None, ...]
    digests: ExpectedDigests = ExpectedDigests()


FAULTS = [
    Fault("short", IncompleteBodyError, (bytes(999), None)),
    Fault("empty", IncompleteBodyError, (None,)),
    Fault("broken", ConnectionError, (bytes(10), ConnectionError())),
    Fault("other digest", DigestMismatchError, (bytes(1000), None), ExpectedDigests(md5=bytes(16))),
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_p4_a_failed_upload_leaves_nothing(world: UploadWorld, fault: Fault) -> None:
    """No name, no chunk, no memory, no id in flight, and no word of a commit."""
    body = HandFed()
    upload = world.begin(body, 1000, digests=fault.digests)
    body.give(*fault.pieces)
    world.cluster.clock.run_for(2)
    assert isinstance(failure_of(upload), fault.error)
    assert (world.idle, world.catalog.committing) == (True, False)
    assert world.cluster.chunk_files() == {}


@pytest.mark.parametrize("given_bytes", [0, 10, 999, STRIPE])
def test_p4_a_client_that_leaves_in_mid_upload_leaves_nothing(
    world: UploadWorld, given_bytes: int
) -> None:
    """However much of its body has come."""
    body = HandFed()
    upload = world.begin(body, 2 * STRIPE)
    body.give(bytes(given_bytes))
    world.cluster.clock.run_for(0.5)
    upload.cancel()
    assert isinstance(failure_of(upload), CancelledError)
    world.cluster.clock.run_for(2)
    assert (world.idle, world.cluster.chunk_files()) == (True, {})


def test_too_few_nodes_are_no_reason_to_read(world: UploadWorld) -> None:
    """P0: nothing is asked of the client, nothing kept."""
    for name in ("node0", "node1"):
        world.cluster.stop(name)
    world.cluster.clock.run_for(40)
    body = HandFed()
    upload = world.begin(body, 1000)
    assert isinstance(failure_of(upload), TooFewNodesError)
    assert (body.asked, world.idle) == (False, True)


@pytest.mark.parametrize("sized", [True, False])
def test_a_file_beyond_the_limit_is_refused(cluster: ApiCluster, sized: bool) -> None:
    """At once where its length is known, else as soon as too much has come."""
    world = UploadWorld(cluster, object_bytes_max=MIB)
    body = HandFed()
    upload = world.begin(body, MIB + 1 if sized else None)
    assert body.asked != sized
    body.give(bytes(MIB), b"x", bytes(STRIPE))
    cluster.clock.run_for(1)
    assert isinstance(failure_of(upload), TooLargeError)
    cluster.clock.run_for(1)
    assert (world.idle, cluster.chunk_files()) == (True, {})


def test_a_file_of_just_the_limit_is_taken(cluster: ApiCluster) -> None:
    """Also when its length is known only at the end."""
    world = UploadWorld(cluster, object_bytes_max=MIB)
    upload = world.begin(body_of(bytes(MIB)), None)
    world.open_gate()
    assert result_of(upload).manifest.size_bytes == MIB


@pytest.mark.parametrize("conditions", [NO_CONDITIONS, if_absent()])
def test_the_catalog_is_asked_before_the_first_byte_only_for_conditions(
    world: UploadWorld, conditions: Conditions
) -> None:
    """The commit decides on them; without any there is nothing to refuse early."""
    upload = world.begin(HandFed(), 7, conditions=conditions)
    assert world.catalog.looked_up == ([] if conditions == NO_CONDITIONS else ["a"])
    upload.cancel()
    assert isinstance(failure_of(upload), CancelledError)


def test_p4_conditions_are_decided_before_the_first_byte(world: UploadWorld) -> None:
    """Nobody sends 50 GiB for a 412."""
    world.open_gate()
    result_of(world.begin(body_of(b"old"), 3))
    body = HandFed()
    upload = world.begin(body, 50 * 2**30, conditions=if_absent())
    error = failure_of(upload)
    assert isinstance(error, PreconditionFailedError)
    assert error.etag is not None
    assert (body.asked, world.idle) == (False, True)


# Commits.


def test_p4_a_commit_runs_to_its_end_though_the_client_leaves(world: UploadWorld) -> None:
    """The file is there, its nodes hear of it, and nothing is kept."""
    upload = world.begin(body_of(b"content"), 7)
    assert world.catalog.committing
    upload.cancel()
    assert isinstance(failure_of(upload), CancelledError)
    world.open_gate()
    entry = world.cluster.run(start(world.cluster.api.catalog.get("a")))
    assert entry is not None
    assert (entry.manifest.size_bytes, world.idle) == (7, True)
    assert len(world.cluster.chunk_files()) == DATA_CHUNKS


@pytest.mark.parametrize("client_leaves", [False, True])
def test_p4_a_commit_that_is_refused_leaves_nothing(
    world: UploadWorld, client_leaves: bool
) -> None:
    """Whether or not the client waits to hear it; it is no failure of ours either way."""
    upload = world.begin(body_of(b"content"), 7, conditions=if_absent())
    if client_leaves:
        upload.cancel()
    world.catalog.gate.errback(PreconditionFailedError("somebody was faster", "e"))
    world.cluster.clock.run_for(1)
    expected = CancelledError if client_leaves else PreconditionFailedError
    assert isinstance(failure_of(upload), expected)
    assert (world.idle, world.cluster.chunk_files()) == (True, {})


def test_p4_a_commit_in_doubt_leaves_chunks_and_upload_alone(world: UploadWorld) -> None:
    """The row may be there after the next start: nothing may be discarded, nor dropped."""
    upload = world.begin(body_of(b"content"), 7)
    [object_id] = world.in_flight.snapshot()
    world.catalog.gate.errback(CommitInDoubtError("the disk failed"))
    world.cluster.clock.run_for(5)
    assert isinstance(failure_of(upload), CommitInDoubtError)
    assert world.in_flight.snapshot() == {object_id}
    assert len(world.cluster.chunk_files()) == DATA_CHUNKS
    assert world.budget.reserved_bytes == 0


def test_a_chunk_that_could_not_be_discarded_is_swept(world: UploadWorld) -> None:
    """Its node was away when the upload failed; it asks, and hears that nobody needs it."""
    upload = world.begin(body_of(b"content"), 7, conditions=if_absent())
    away = next(iter(world.cluster.chunk_files())).partition("/")[0]
    world.cluster.stop(away)
    world.catalog.gate.errback(PreconditionFailedError("somebody was faster", "e"))
    world.cluster.clock.run_for(5)
    assert isinstance(failure_of(upload), PreconditionFailedError)
    assert len(world.cluster.chunk_files()) == 1
    world.cluster.start_node(away)
    world.cluster.clock.run_for(SWEPT_SECONDS)
    assert world.cluster.chunk_files() == {}


# Nodes that fail.


@pytest.mark.parametrize("size_bytes", [1000, STRIPE])
def test_p5_a_node_lost_in_an_upload_of_one_stripe_is_replaced(
    world: UploadWorld, size_bytes: int
) -> None:
    """The client notices nothing; the node is suspect at once."""
    content = content_of(size_bytes)
    body = HandFed()
    upload = world.begin(body, size_bytes)
    body.give(content[: size_bytes // 2])
    world.cluster.clock.run_for(0.5)
    lost = world.cluster.receiving()[2]
    world.cluster.stop(lost)
    body.give(content[size_bytes // 2 :], None)
    world.cluster.clock.run_for(3)
    world.open_gate()
    assert result_of(upload).manifest.size_bytes == size_bytes
    assert lost in world.cluster.suspects()
    holders = {chunk.partition("/")[0] for chunk in world.cluster.chunk_files()}
    assert (len(holders), lost in holders, world.idle) == (DATA_CHUNKS, False, True)


def test_p5_a_node_lost_beyond_one_stripe_fails_the_upload(world: UploadWorld) -> None:
    """With what the node did, and nothing is left or visible."""
    body = HandFed()
    upload = world.begin(body, 4 * STRIPE)
    body.give(bytes(2 * STRIPE))
    world.cluster.clock.run_for(2)
    lost = world.cluster.receiving()[2]
    world.cluster.stop(lost)
    body.give(bytes(2 * STRIPE), None)
    world.cluster.clock.run_for(3)
    assert isinstance(failure_of(upload), NodeFailedError)
    assert (world.idle, world.catalog.committing) == (True, False)
    world.cluster.start_node(lost)
    world.cluster.clock.run_for(SWEPT_SECONDS)
    assert world.cluster.chunk_files() == {}


@pytest.mark.parametrize("hangs_up", [True, False])
def test_p5_a_node_that_stalls_counts_as_lost(cluster: ApiCluster, hangs_up: bool) -> None:
    """Where it was to take a chunk, another one does, within the deadline on progress."""
    for name in ("node1", "node4"):
        cluster.usurp(name, takes_bytes=1, hangs_up=hangs_up)
    cluster.add_node()
    cluster.clock.run_for(3)
    world = UploadWorld(cluster)
    world.open_gate()
    content = content_of(STRIPE)
    upload = world.begin(body_of(content), STRIPE)
    cluster.clock.run_for(25)
    assert result_of(upload).manifest.size_bytes == STRIPE
    assert {"node1", "node4"} & set(cluster.suspects())
    assert world.idle


def test_p5_a_node_that_is_full_is_replaced_but_not_suspect(tmp_path: Path) -> None:
    """It says so itself when the length was not known beforehand."""
    setting = Setting(disk=lambda name: MemoryDisk(700_000) if name == SMALL else fresh_disk(name))
    with ApiCluster(tmp_path, nodes=6, setting=setting) as cluster:
        world = UploadWorld(cluster)
        world.open_gate()
        upload = world.begin(body_of(content_of(4 * MIB)), None)
        assert result_of(upload).manifest.size_bytes == 4 * MIB
        [small] = [
            status.member
            for status in cluster.api.members.status()
            if cluster.node_ids()[status.member.peer.node_id] == SMALL
        ]
        assert small.used_bytes == small.capacity_bytes
        assert cluster.suspects() == []
        assert not any(chunk.startswith(f"{SMALL}/") for chunk in cluster.chunk_files())
