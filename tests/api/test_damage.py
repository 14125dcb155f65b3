"""Chunks that are gone or damaged: a hole in the placement, unless too little would be left."""

import json
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.api.world import ApiCluster
from tests.catalog.seams import start
from tests.simulation.calls import Calls, content_of
from twisted_store.api.damage import REPORT_SECONDS, Damage
from twisted_store.api.in_flight import InFlight
from twisted_store.api.ownership import Ownership
from twisted_store.catalog.entries import Entry
from twisted_store.core.ids import ChunkId, NodeId
from twisted_store.core.scheme import Scheme, SchemeRules

CONTENT = content_of(50_000)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[ApiCluster]:
    """Seven nodes, a file ``a`` of 5+1, and repair that rests."""
    with ApiCluster(tmp_path, nodes=7, rules=SchemeRules(Scheme.PARITY_1)) as running:
        pause_repair(running, True)
        Calls(running).put("a", CONTENT)
        running.clock.run_for(5)
        yield running


def pause_repair(cluster: ApiCluster, paused: bool) -> None:
    """As an operator does."""
    body = json.dumps({"paused": paused}).encode()
    assert cluster.dial().call("POST /jobs/repair", body=body).status == 200


def damage_of(cluster: ApiCluster) -> Damage:
    """One on the parts of a running api."""
    api = cluster.api
    ownership = Ownership(api.catalog, InFlight(api.catalog.incarnation, Random(5)))
    return Damage(api.catalog, api.members, api.client, ownership)


def is_beyond_repair(cluster: ApiCluster) -> bool:
    """Whether operators are told of chunks that are."""
    ready = Calls(cluster).call("GET", "/health/ready").json
    return "chunks_beyond_repair" in {reason["code"] for reason in ready["reasons"]}


def entry_of(cluster: ApiCluster) -> Entry:
    """The row of the file."""
    entry = cluster.run(start(cluster.api.catalog.get("a")))
    assert entry is not None
    return entry


def chunk_of(cluster: ApiCluster, index: int) -> tuple[NodeId, ChunkId]:
    """One of its chunks, and who should hold it."""
    entry = entry_of(cluster)
    node_id = entry.placement[index]
    assert node_id is not None
    return node_id, ChunkId(entry.manifest.object_id, index)


def tell(cluster: ApiCluster, node_id: NodeId, *chunk_ids: ChunkId) -> Any:
    """A node says that it has set chunks aside; which of them it may drop."""
    body = json.dumps({"chunks": [str(chunk_id) for chunk_id in chunk_ids]}).encode()
    answer = cluster.dial().call(f"POST /nodes/{node_id}/quarantined", body=body)
    assert answer.status == 200
    return answer.json()["drop"]


def holes(cluster: ApiCluster) -> list[int]:
    """The chunks that are nowhere."""
    placement = entry_of(cluster).placement
    return [index for index, node_id in enumerate(placement) if node_id is None]


def test_p9_a_damaged_chunk_becomes_a_hole(cluster: ApiCluster) -> None:
    """By a commit; its node hears that it is dead, and the file is read without it."""
    node_id, chunk_id = chunk_of(cluster, 2)
    before = entry_of(cluster)
    assert tell(cluster, node_id, chunk_id) == []
    assert holes(cluster) == [2]
    assert entry_of(cluster).sequence > before.sequence
    cluster.clock.run_for(5)
    name = cluster.node_ids()[node_id]
    assert cluster.chunk_files()[f"{name}/{chunk_id}"] == "dead"
    assert Calls(cluster).get("a").body == CONTENT
    assert not is_beyond_repair(cluster)


def test_p9_what_is_told_again_changes_nothing(cluster: ApiCluster) -> None:
    """The chunk is nobody's by then; until its end is told it is not dropped either."""
    node_id, chunk_id = chunk_of(cluster, 2)
    tell(cluster, node_id, chunk_id)
    after = entry_of(cluster)
    tell(cluster, node_id, chunk_id)
    assert entry_of(cluster) == after


def test_p7_a_file_is_not_given_up_for_a_chunk(cluster: ApiCluster) -> None:
    """Of 5+1 one chunk may be damaged; a second one is beyond repair, and said to be."""
    tell(cluster, *chunk_of(cluster, 0))
    tell(cluster, *chunk_of(cluster, 1))
    assert holes(cluster) == [0]
    assert is_beyond_repair(cluster)
    cluster.clock.run_for(REPORT_SECONDS / 2)  # and as much in a call
    tell(cluster, *chunk_of(cluster, 1))
    assert is_beyond_repair(cluster)
    cluster.clock.run_for(REPORT_SECONDS)
    assert not is_beyond_repair(cluster)


def test_chunks_that_nobody_needs_may_be_dropped(cluster: ApiCluster) -> None:
    """Those of no object, and those that belong elsewhere."""
    node_id, chunk_id = chunk_of(cluster, 2)
    other = ChunkId(chunk_id.object_id, 3)
    assert tell(cluster, node_id, other) == [str(other)]
    assert tell(cluster, node_id) == []
    assert holes(cluster) == []


def test_p7_a_chunk_that_a_node_misses_is_looked_for_first(cluster: ApiCluster) -> None:
    """It may only not be able to confirm it; one that it does not hold becomes a hole."""
    node_id, chunk_id = chunk_of(cluster, 4)
    damage = damage_of(cluster)
    damage.absent(node_id, chunk_id)
    cluster.clock.run_for(2)
    assert holes(cluster) == []
    cluster.lose_chunks(cluster.node_ids()[node_id])
    other = next(each for each in cluster.node_ids() if each not in entry_of(cluster).placement)
    damage.absent(other, chunk_id)
    damage.absent(node_id, ChunkId(chunk_id.object_id, 3))
    damage.absent(node_id, ChunkId(chunk_id.object_id, 99))
    cluster.clock.run_for(2)
    assert holes(cluster) == []
    damage.absent(node_id, chunk_id)
    damage.absent(node_id, chunk_id)
    cluster.clock.run_for(2)
    assert holes(cluster) == [4]


def test_p7_a_node_that_cannot_be_asked_keeps_its_chunks(cluster: ApiCluster) -> None:
    """Whether it is known to be away, or only fails the question."""
    node_id, chunk_id = chunk_of(cluster, 4)
    cluster.lose_chunks(cluster.node_ids()[node_id])
    cluster.partition(cluster.node_ids()[node_id])
    damage = damage_of(cluster)
    damage.absent(node_id, chunk_id)
    cluster.clock.run_for(30)
    damage.absent(node_id, chunk_id)
    cluster.clock.run_for(5)
    assert holes(cluster) == []


def test_p7_a_reader_that_misses_a_chunk_has_it_made_anew(cluster: ApiCluster) -> None:
    """When repair goes on, all chunks are there again."""
    node_id, _ = chunk_of(cluster, 1)
    cluster.lose_chunks(cluster.node_ids()[node_id])
    assert Calls(cluster).get("a").body == CONTENT
    cluster.clock.run_for(2)
    assert holes(cluster) == [1]
    pause_repair(cluster, False)
    cluster.clock.run_for(10)
    assert holes(cluster) == []
    assert Calls(cluster).get("a").body == CONTENT
