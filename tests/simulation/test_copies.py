"""Chunks are copied from node to node in a whole cluster, on the daemons' own `build`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from tests.simulation.calls import Calls, content_of
from twisted_store.core.durability import STRICT
from twisted_store.core.ids import ChunkId, NodeId, ObjectId
from twisted_store.core.peer import Peer
from twisted_store.core.scheme import Scheme, SchemeRules
from twisted_store.node_client.client import NodeClient
from twisted_store.simulation.cluster import SimulatedCluster
from twisted_store.simulation.setting import Setting

PLAIN = Setting(rules=SchemeRules(Scheme.PLAIN))
GRANT_BYTES = 256 * 1024


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[SimulatedCluster]:
    """One node more than a file has chunks."""
    with SimulatedCluster(tmp_path, seed=1, nodes=6, setting=PLAIN) as running:
        yield running


def spare(calls: Calls, view: dict[str, Any]) -> Peer:
    """The node that has no chunk of the file."""
    nodes = {node["node_id"]: node["url"] for node in calls.call("GET", "/cluster").json["nodes"]}
    for chunk in view["chunks"]:
        del nodes[chunk["node_id"]]
    [(node_id, url)] = nodes.items()
    return Peer(NodeId(node_id), url)


async def fetched(client: NodeClient, peer: Peer, chunk_id: ChunkId) -> bytes:
    """The chunk in frames, with its manifest."""
    return b"".join([piece async for piece in await client.fetch(peer, chunk_id)])


def test_a_chunk_that_was_copied_is_the_same_and_provisional(cluster: SimulatedCluster) -> None:
    """Until the api says that it belongs there."""
    calls, client = Calls(cluster), cluster.node_client()
    calls.put("a", content_of(11 * 2**20 + 3))
    view = calls.call("GET", "/explain/a").json
    [chunk] = [chunk for chunk in view["chunks"] if chunk["index"] == 0]
    chunk_id = ChunkId(ObjectId(view["object_id"]), 0)
    source, target = Peer(NodeId(chunk["node_id"]), chunk["url"]), spare(calls, view)

    async def copy() -> None:
        assert not await client.holds(target, chunk_id)
        copying = client.copy(target, chunk_id, source, chunk["bytes"], STRICT)
        for _ in range(0, chunk["bytes"], GRANT_BYTES):
            copying.grant(GRANT_BYTES)
        await copying.finished()
        assert await client.holds(target, chunk_id)
        page = await client.list(target, None, 10)
        assert page.chunks == ((chunk_id, "provisional"),)
        frames = await fetched(client, source, chunk_id)
        assert len(frames) > chunk["bytes"]
        assert await fetched(client, target, chunk_id) == frames

    cluster.run(Deferred.fromCoroutine(copy()))
