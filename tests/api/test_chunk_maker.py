"""Chunks are copied from node to node, or made of others, and are what an upload makes of them."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from tests.api.test_download import damage
from tests.api.world import MIB, STRIPE, ApiCluster
from tests.catalog.seams import start
from tests.simulation.calls import Calls, content_of
from twisted_store.api.chunk_maker import WINDOW_BYTES, ChunkMaker
from twisted_store.api.lanes import LaneSources
from twisted_store.api.metrics import Metrics
from twisted_store.catalog.entries import Entry
from twisted_store.cluster.jobs import Job, Jobs
from twisted_store.cluster.throttle import Throttle
from twisted_store.core.durability import STRICT
from twisted_store.core.hedging import HedgingDelay
from twisted_store.core.ids import ChunkId, NodeId
from twisted_store.core.moves import Cause, MovableObject, Plan, Step
from twisted_store.core.reasons import NO_REASONS
from twisted_store.core.scheme import Scheme, SchemeRules
from twisted_store.errors import ChecksumError, NodeFailedError, NoSpaceError, StoreError
from twisted_store.simulation.disk import MemoryDisk
from twisted_store.simulation.setting import API, Setting
from twisted_store.storage.disk import OsDisk

CONTENT = content_of(5 * MIB + 1003)
DISK_BYTES = 64 * MIB
SCHEMES = [Scheme.PARITY_1, Scheme.PARITY_2, Scheme.COPIES]
NODES = 9


def cluster_of(
    directory: Path,
    scheme: Scheme,
    content: bytes,
    sized: bool = True,
    setting: Setting | None = None,
) -> ApiCluster:
    """Nine nodes with a file ``a``, and repair that rests."""
    cluster = ApiCluster(directory, nodes=NODES, setting=setting, rules=SchemeRules(scheme))
    assert cluster.dial().call("POST /jobs/repair", body=b'{"paused": true}').status == 200
    assert Calls(cluster).put("a", content, sized=sized).status == 201
    cluster.clock.run_for(5)
    return cluster


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[ApiCluster]:
    """With a file of 5+1."""
    with cluster_of(tmp_path, Scheme.PARITY_1, CONTENT) as running:
        yield running


class Workshop:
    """A maker of its own on the parts of a running api, with what it counts."""

    def __init__(self, cluster: ApiCluster, rate_bytes: int | None = None) -> None:
        api = cluster.api
        self.cluster = cluster
        self.absent: list[tuple[NodeId, ChunkId]] = []
        hedging = HedgingDelay()
        self.metrics = Metrics(hedging)
        seconds = cluster.clock.seconds
        sources = LaneSources(
            api.members,
            api.client,
            self.metrics,
            hedging,
            seconds,
            absent=lambda node_id, chunk_id: self.absent.append((node_id, chunk_id)),
        )
        self.jobs = Jobs(Throttle(cluster.clock, seconds, rate_bytes), seconds, {}, _save)
        self.maker = ChunkMaker(sources, api.client, self.jobs, api.seams.coder.combine, STRICT)

    def entry(self) -> Entry:
        """The row of the file."""
        entry = self.cluster.run(start(self.cluster.api.catalog.get("a")))
        assert entry is not None
        return entry

    def spare(self) -> list[NodeId]:
        """The nodes without a chunk of it."""
        taken = self.entry().placement
        return [node_id for node_id in sorted(self.cluster.node_ids()) if node_id not in taken]

    def plan(self, *indexes: int, copied: bool = False, known: bool = False) -> Plan:
        """Make these chunks on spare nodes; those that are not copied are gone if not ``known``."""
        entry = self.entry()
        left = tuple(
            node_id if copied or known or index not in indexes else None
            for index, node_id in enumerate(entry.placement)
        )
        steps = tuple(
            Step(index, target, entry.placement[index] if copied else None)
            for index, target in zip(indexes, self.spare(), strict=False)
        )
        subject = MovableObject(
            entry.manifest, entry.placement, entry.sequence, NO_REASONS, frozenset()
        )
        return Plan(subject, entry.manifest, left, steps, Cause.LOST)

    def begin(self, plan: Plan) -> "Deferred[None]":
        """Begin to make them."""
        return start(self.maker.make(plan))

    def make(self, plan: Plan) -> None:
        """Make them."""
        self.cluster.run(self.begin(plan))

    def content(self, node_id: NodeId | None, index: int) -> bytes:
        """What a node has of a chunk, verified as it is read."""
        assert node_id is not None
        chunk_id = ChunkId(self.entry().manifest.object_id, index)
        size_bytes = self.entry().manifest.chunk_bytes(index)
        if not size_bytes:
            return b""

        async def read() -> bytes:
            client, members = self.cluster.api.client, self.cluster.api.members
            source = await client.get(members.peer(node_id), chunk_id, 0, size_bytes, None)
            content = b""
            while len(content) < size_bytes:
                content += b"".join(await source.read(MIB))
            source.close()
            return content

        return self.cluster.run(start(read()))

    def state(self, node_id: NodeId, index: int) -> str | None:
        """That of a chunk on a node, None if it is not there."""
        name = self.cluster.node_ids()[node_id]
        chunk_id = ChunkId(self.entry().manifest.object_id, index)
        return self.cluster.chunk_files().get(f"{name}/{chunk_id}")

    def name(self, index: int) -> str:
        """The node that holds a chunk."""
        node_id = self.entry().placement[index]
        assert node_id is not None
        return self.cluster.node_ids()[node_id]


async def _save(name: str, value: int | None) -> None:
    """Nothing is kept."""


def failure_of(making: "Deferred[None]", cluster: ApiCluster) -> type[BaseException]:
    """What it has failed with, after as long as it takes."""
    with pytest.raises(Exception) as caught:  # noqa: PT011
        cluster.run(making)
    return caught.type


@pytest.mark.parametrize("size", [0, 1, 7, 70_003, 5 * MIB + 1003])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_p7_chunks_are_made_as_they_were(tmp_path: Path, scheme: Scheme, size: int) -> None:
    """Byte for byte, with the manifest, and not confirmed by that: copied, or made of others."""
    content = content_of(size)
    with cluster_of(tmp_path, scheme, content) as cluster:
        work = Workshop(cluster)
        for copied in (True, False):
            for index in (0, 4, 5, scheme.width - 1):
                plan = work.plan(index, copied=copied)
                target = plan.steps[0].target
                work.make(plan)
                assert work.state(target, index) == "provisional"
                there = work.entry().placement[index]
                assert work.content(target, index) == work.content(there, index)


def test_p7_several_chunks_are_made_of_one_reading(tmp_path: Path) -> None:
    """Five are read, however many are made; of a length that was not known, too."""
    with cluster_of(tmp_path, Scheme.PARITY_2, CONTENT, sized=False) as cluster:
        work = Workshop(cluster)
        plan = work.plan(1, 6)
        work.make(plan)
        for step in plan.steps:
            there = work.entry().placement[step.index]
            assert work.content(step.target, step.index) == work.content(there, step.index)
        read_bytes = sum(work.entry().manifest.chunk_bytes(index) for index in (0, 2, 3, 4, 5))
        assert read_bytes_of(work) == pytest.approx(read_bytes, abs=5)


def read_bytes_of(work: Workshop) -> float:
    """What was read of other chunks to make some."""
    text = work.metrics.exposition().decode()
    [line] = [
        each for each in text.splitlines() if each.startswith("twisted_store_move_read_bytes_total")
    ]
    return float(line.split()[1])


def test_p7_a_chunk_whose_node_fails_is_made_of_others(cluster: ApiCluster) -> None:
    """The plan was to copy it."""
    work = Workshop(cluster)
    content = work.content(work.entry().placement[2], 2)
    plan = work.plan(2, copied=True)
    cluster.stop(work.name(2))
    work.make(plan)
    assert work.content(plan.steps[0].target, 2) == content


def test_p7_a_source_that_fails_on_the_way_is_replaced(tmp_path: Path) -> None:
    """Reading goes on from the same place, with more left than was read ahead."""
    with cluster_of(tmp_path, Scheme.PARITY_2, content_of(3 * STRIPE + 77)) as cluster:
        work = Workshop(cluster, rate_bytes=WINDOW_BYTES)
        content = work.content(work.entry().placement[5], 5)
        plan = work.plan(5)
        making = work.begin(plan)
        cluster.clock.run_for(1.5)
        assert not making.called
        cluster.stop(work.name(1))
        cluster.run(making)
        assert work.content(plan.steps[0].target, 5) == content
        assert cluster.node_ids()[plan.steps[0].target] not in cluster.suspects()


def test_p9_nothing_is_made_of_damage(
    cluster: ApiCluster, expected_failures: Callable[..., list[Failure]]
) -> None:
    """What was to be copied is made of others; what needs it cannot be made."""
    work = Workshop(cluster)
    content = work.content(work.entry().placement[3], 3)
    damage(cluster, work.name(3))
    plan = work.plan(3, copied=True)
    work.make(plan)
    assert work.content(plan.steps[0].target, 3) == content
    plan = work.plan(2)
    assert issubclass(failure_of(work.begin(plan), cluster), StoreError)
    assert work.state(plan.steps[0].target, 2) is None
    assert expected_failures(ChecksumError)


def test_p7_a_target_that_fails_leaves_nothing_half_made(cluster: ApiCluster) -> None:
    """It is suspect, and the move is to be planned anew."""
    for copied in (True, False):
        work = Workshop(cluster)
        plan = work.plan(0, copied=copied)
        name = cluster.node_ids()[plan.steps[0].target]
        cluster.stop(name)
        assert issubclass(failure_of(work.begin(plan), cluster), NodeFailedError)
        assert name in cluster.suspects()
        cluster.start_node(name)
        cluster.clock.run_for(10)
        assert work.state(plan.steps[0].target, 0) is None


@pytest.mark.parametrize("copied", [True, False])
def test_a_target_without_room_is_full_and_not_suspect(tmp_path: Path, copied: bool) -> None:
    """Others take the chunk when it is planned anew."""
    setting = Setting(disk=lambda role: OsDisk() if role == API else MemoryDisk(DISK_BYTES))
    with cluster_of(tmp_path, Scheme.PARITY_1, CONTENT, setting=setting) as cluster:
        work = Workshop(cluster)
        plan = work.plan(0, copied=copied)
        target = plan.steps[0].target
        disk = cluster.disk(cluster.node_ids()[target])
        disk.create("/data/filler").write_at(0, [bytes(DISK_BYTES)])
        cluster.clock.run_for(5)
        assert failure_of(work.begin(plan), cluster) is NoSpaceError
        assert cluster.suspects() == []
        assert target not in cluster.api.members.takers(1)


@pytest.mark.parametrize("copied", [True, False])
def test_p7_chunks_are_made_as_fast_as_is_allowed(cluster: ApiCluster, copied: bool) -> None:
    """And counted for the job as they are."""
    work = Workshop(cluster, rate_bytes=WINDOW_BYTES)
    plan = work.plan(0, copied=copied)
    began = cluster.clock.seconds()
    making = work.begin(plan)
    cluster.clock.run_for(2.0)
    assert not making.called
    assert 0 < work.jobs.rates[Job.REPAIR].bytes_per_second < WINDOW_BYTES
    cluster.run(making)
    seconds = cluster.clock.seconds() - began
    windows = work.entry().manifest.chunk_bytes(0) / WINDOW_BYTES
    assert windows - 1.2 <= seconds <= windows + 1.5


@pytest.mark.parametrize("copied", [True, False])
def test_making_can_be_ended_at_any_moment(cluster: ApiCluster, copied: bool) -> None:
    """Nothing of it stays, on any node."""
    work = Workshop(cluster, rate_bytes=WINDOW_BYTES)
    plan = work.plan(0, copied=copied)
    making = work.begin(plan)
    failures: list[Failure] = []
    making.addErrback(failures.append)
    cluster.clock.run_for(1.5)
    making.cancel()
    cluster.clock.run_for(5)
    assert [failure.type for failure in failures] == [CancelledError]
    assert work.state(plan.steps[0].target, 0) is None
    work.make(replace(plan))
    assert work.state(plan.steps[0].target, 0) == "provisional"


def test_chunks_that_are_gone_are_told_of(cluster: ApiCluster) -> None:
    """The one that was to be read may be nowhere: with one more gone it is too few."""
    work = Workshop(cluster)
    node_id = work.entry().placement[1]
    assert node_id is not None
    cluster.lose_chunks(work.name(1))
    plan = work.plan(0)
    assert issubclass(failure_of(work.begin(plan), cluster), StoreError)
    assert work.absent == [(node_id, ChunkId(work.entry().manifest.object_id, 1))]


@pytest.mark.parametrize("copied", [True, False])
def test_p7_what_an_earlier_attempt_has_made_is_made_again(
    cluster: ApiCluster, copied: bool
) -> None:
    """Its commit failed or was overtaken, and the node has not asked yet."""
    work = Workshop(cluster)
    plan = work.plan(0, copied=copied)
    for _ in range(2):
        work.make(plan)
        assert work.state(plan.steps[0].target, 0) == "provisional"
