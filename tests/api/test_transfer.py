"""The chunks of one upload on their way to the nodes of a simulated cluster."""

import pytest
from twisted.logger import capturedLogs

from tests.api.world import MIB, ApiCluster, transfers_of
from tests.catalog.objects import manifest_of
from tests.catalog.seams import start
from tests.simulation.calls import content_of
from twisted_store.api.transfer import ChunkSizes, Transfer
from twisted_store.core.scheme import Scheme
from twisted_store.core.striping import DATA_CHUNKS
from twisted_store.errors import StoreError

CHUNK_BYTES = 1000
ENCODED = manifest_of("a", 1).encoded
PARTS = [(index, memoryview(content_of(CHUNK_BYTES))) for index in range(DATA_CHUNKS)]


def begin(cluster: ApiCluster, sized: bool = True) -> Transfer:
    """A transfer of five chunks of 1000 bytes."""
    sizes = [ChunkSizes(CHUNK_BYTES, len(ENCODED))] * DATA_CHUNKS
    transfer = transfers_of(cluster).begin(
        manifest_of("a", 1).object_id, Scheme.PLAIN, sizes if sized else None
    )
    cluster.clock.run_for(0.5)
    return transfer


def used_bytes(cluster: ApiCluster) -> list[int]:
    """What counts as used on each node, beyond what was there before."""
    return sorted(status.member.used_bytes for status in cluster.api.members.status())


def test_p0_each_chunk_goes_to_a_node_of_its_own(cluster: ApiCluster) -> None:
    """In parallel, under the id of its index."""
    transfer = begin(cluster)
    cluster.run(start(transfer.send(PARTS)))
    cluster.run(start(transfer.finish(ENCODED)))
    names = cluster.node_ids()
    expected = {
        f"{names[node_id]}/{manifest_of('a', 1).object_id}-{index}"
        for index, node_id in enumerate(transfer.placement)
        if node_id is not None
    }
    assert (len(expected), set(cluster.chunk_files())) == (DATA_CHUNKS, expected)
    transfer.end([CHUNK_BYTES] * DATA_CHUNKS)


@pytest.mark.parametrize("sized", [True, False])
def test_p8_bytes_count_from_their_assignment_on(cluster: ApiCluster, sized: bool) -> None:
    """While they are on their way as announced, and afterwards as stored."""
    transfer = begin(cluster, sized)
    assert used_bytes(cluster) == [0] + [CHUNK_BYTES if sized else 0] * DATA_CHUNKS
    transfer.end([7] * DATA_CHUNKS)
    assert used_bytes(cluster) == [0] + [7] * DATA_CHUNKS
    transfer.discard(1)
    cluster.clock.run_for(1)


def test_p4_nothing_is_left_of_a_transfer_that_is_discarded(cluster: ApiCluster) -> None:
    """Neither what was stored nor what was being sent, nor what was counted."""
    transfer = begin(cluster)
    cluster.run(start(transfer.send(PARTS)))
    cluster.run(start(transfer.finish(ENCODED)))
    assert len(cluster.chunk_files()) == DATA_CHUNKS
    transfer.discard(1)
    transfer.end([])
    cluster.clock.run_for(1)
    assert (cluster.chunk_files(), used_bytes(cluster)) == ({}, [0] * 6)


def test_a_discard_that_does_not_arrive_is_told_in_the_log(cluster: ApiCluster) -> None:
    """Its chunk is left to the sweep of its node, which is no failure."""
    transfer = begin(cluster)
    cluster.run(start(transfer.send(PARTS)))
    cluster.run(start(transfer.finish(ENCODED)))
    gone = transfer.placement[3]
    assert gone is not None
    cluster.stop(cluster.node_ids()[gone])
    with capturedLogs() as events:
        transfer.discard(1)
        cluster.clock.run_for(15)
    transfer.end([])
    told = [event["chunk_id"] for event in events if "left to the sweep" in event["log_format"]]
    assert told == [f"{manifest_of('a', 1).object_id}-3"]
    assert len(cluster.chunk_files()) == 1


def test_one_node_that_cannot_be_replaced_stops_the_others(cluster: ApiCluster) -> None:
    """Nobody waits for chunks that are of no use."""
    transfer = begin(cluster)
    names = [cluster.node_ids()[node_id] for node_id in transfer.placement if node_id is not None]
    for name in (*names[:2], *({"node0", "node1", "node2", "node3", "node4", "node5"} - {*names})):
        cluster.stop(name)
    with pytest.raises(StoreError):
        cluster.run(start(_send_all(transfer)))
    transfer.discard(1)
    transfer.end([])
    cluster.clock.run_for(15)
    assert cluster.chunk_files() == {}


async def _send_all(transfer: Transfer) -> None:
    await transfer.send(PARTS * (MIB // CHUNK_BYTES))
    await transfer.finish(ENCODED)
