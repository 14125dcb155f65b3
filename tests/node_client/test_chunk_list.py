"""What a node holds: whether one chunk is there, and the list of all, page by page."""

from typing import Any

import pytest
from twisted.internet.defer import Deferred

from tests.node.bench import content, manifest_of
from tests.node.simulated import Simulation
from tests.node_client.test_client import PEER, World, answer
from twisted_store.core.durability import STRICT
from twisted_store.core.ids import ChunkId, NodeId, object_id
from twisted_store.core.peer import Marks, Peer
from twisted_store.errors import NodeFailedError
from twisted_store.node_client.chunk_list import ChunkList

CHUNKS = [ChunkId(object_id(1, number, number), number) for number in range(4)]
CONFIRMED, DEAD = CHUNKS[1], CHUNKS[2]


class Holding:
    """A real node that holds chunks in several states, and a client of it."""

    def __init__(self) -> None:
        self.simulation = Simulation()
        self.simulation.start_api()
        node = self.simulation.started()
        self.peer = Peer(node.identity.node_id, node.reports.url)
        self.client = self.simulation.node_client()
        for chunk_id in CHUNKS:
            self.result(self._put(chunk_id))
        marks = Marks(incarnation=1, sequence=1, confirm=[CONFIRMED], dead=[DEAD])
        self.result(self.client.mark(self.peer, marks))

    def result(self, call: Any) -> Any:
        """What the call gives."""
        return self.simulation.run(Deferred.fromCoroutine(call))

    async def _put(self, chunk_id: ChunkId) -> None:
        manifest = manifest_of(chunk_id)
        put = self.client.put(self.peer, chunk_id, (1000, len(manifest)), STRICT)
        await put.write(memoryview(content(1000)))
        await put.finish(manifest)


@pytest.fixture(scope="module")
def holding() -> Holding:
    """The same for all: nothing here changes it."""
    return Holding()


@pytest.mark.parametrize("chunk_id", CHUNKS)
def test_a_chunk_that_is_there_is_held(holding: Holding, chunk_id: ChunkId) -> None:
    """In whatever state, since its bytes can be read."""
    assert holding.result(holding.client.holds(holding.peer, chunk_id)) is True


def test_a_chunk_that_is_not_there_is_not_held(holding: Holding) -> None:
    """That is an answer and no failure."""
    other = ChunkId(CHUNKS[0].object_id, 9)
    assert holding.result(holding.client.holds(holding.peer, other)) is False


def test_another_node_does_not_answer_for_the_one_that_is_asked(holding: Holding) -> None:
    """What it does not hold may be there."""
    other = Peer(NodeId("0" * 16), holding.peer.url)
    with pytest.raises(NodeFailedError):
        holding.result(holding.client.holds(other, CHUNKS[0]))


@pytest.mark.parametrize("limit", [1, 2, 4, 1000])
def test_the_pages_of_the_list_have_every_chunk_once(holding: Holding, limit: int) -> None:
    """With the word for its state."""
    found: list[tuple[ChunkId, str]] = []
    after: ChunkId | None = None
    for _ in range(len(CHUNKS)):
        page = holding.result(holding.client.list(holding.peer, after, limit))
        assert len(page.chunks) <= limit
        found += page.chunks
        after = page.next_after
        if after is None:
            break
    states = dict.fromkeys(CHUNKS, "provisional") | {CONFIRMED: "confirmed", DEAD: "dead"}
    assert sorted(found) == sorted(states.items())
    assert after is None


def test_a_whole_chunk_is_fetched_in_frames(holding: Holding) -> None:
    """As they can go on to another node: the manifest is the last of it."""

    async def fetch() -> bytes:
        body = await holding.client.fetch(holding.peer, CONFIRMED)
        return b"".join([piece async for piece in body])

    frames = holding.result(fetch())
    assert content(1000) in frames
    assert frames.endswith(manifest_of(CONFIRMED))


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b"[]",
        b"<html>",
        b'{"chunks": []}',
        b'{"chunks": 1, "next": null}',
        b'{"chunks": ["x"], "next": null}',
        b'{"chunks": [{"chunk": "x", "state": "dead"}], "next": null}',
        b'{"chunks": [{"chunk": 1, "state": "dead"}], "next": null}',
        b'{"chunks": [{"chunk": "%s"}], "next": null}' % str(CHUNKS[0]).encode(),
        b'{"chunks": [], "next": "x"}',
        b'{"chunks": [], "next": 1}',
    ],
)
def test_a_list_that_makes_no_sense_is_a_failure_of_the_node(body: bytes) -> None:
    """Nobody may take it for an empty one."""
    world = World(answer(200, body))
    with pytest.raises(NodeFailedError):
        world.result(Deferred.fromCoroutine(world.client.list(PEER, None, 10)))


def test_an_empty_list_is_the_last_page() -> None:
    """As of a node that holds nothing."""
    world = World(answer(200, b'{"chunks": [], "next": null}'))
    page = world.result(Deferred.fromCoroutine(world.client.list(PEER, None, 10)))
    assert page == ChunkList((), None)
