"""Small chunks between a client and a real node: in batches, and as if each were alone."""

from collections.abc import Coroutine
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred, gatherResults

from tests.node.bench import content, manifest_of
from tests.node.simulated import Simulation
from tests.node_client.test_client import PEER, never
from tests.node_client.test_client import World as SilentWorld
from twisted_store.core.batch import BATCH_CHUNKS_MAX
from twisted_store.core.durability import NONE, STRICT
from twisted_store.core.ids import ChunkId, NodeId, object_id
from twisted_store.core.peer import Marks, Peer
from twisted_store.errors import (
    CatalogRolledBackError,
    ChecksumError,
    ChunkNotFoundError,
    ConflictError,
    NodeFailedError,
    NodeSlowError,
)
from twisted_store.node_client.client import IDLE_SECONDS, NodeClient
from twisted_store.node_client.small_chunk import SMALL_BYTES_MAX
from twisted_store.simulation.faults import flip_bits
from twisted_store.simulation.wire import NetworkEvent

CHUNKS = [ChunkId(object_id(1, number, number), number) for number in range(8)]
CHUNK = CHUNKS[0]
STALL_SECONDS = 10.0


class World:
    """A node that runs, and a client of it."""

    def __init__(self, operations_max: int = BATCH_CHUNKS_MAX) -> None:
        self.simulation = Simulation()
        self.simulation.start_api()
        self.node = self.simulation.started()
        self.peer = Peer(self.node.identity.node_id, self.node.reports.url)
        host = self.simulation.network.host("127.0.0.9")
        self.client = NodeClient(
            self.simulation.clock, host, STALL_SECONDS, {}, operations_max, NONE
        )

    def result(self, *calls: Coroutine[Any, Any, Any]) -> Any:
        """What calls that are made at once give."""
        running = [Deferred.fromCoroutine(call) for call in calls]
        return self.simulation.run(gatherResults(running, consumeErrors=True))

    async def put(self, chunk_id: ChunkId, chunk: bytes = b"content") -> None:
        """Store a chunk in two parts."""
        manifest = manifest_of(chunk_id)
        put = self.client.put(self.peer, chunk_id, (len(chunk), len(manifest)), STRICT)
        for part in (chunk[:3], chunk[3:]):
            await put.write(memoryview(part))
        await put.finish(manifest)

    async def get(self, chunk_id: ChunkId, first: int = 0, end: int = 7, size: int = 7) -> bytes:
        """Read from a chunk, 3 bytes at a time."""
        source = await self.client.get(self.peer, chunk_id, first, end, None, size)
        read = bytearray()
        while len(read) < end - first:
            read += b"".join(await source.read(3))
        source.close()
        return bytes(read)

    def connections(self) -> list[NetworkEvent]:
        """All that the client has opened to the node."""
        return [
            event
            for event in self.simulation.events
            if event.kind == "connect" and event.source.host == "127.0.0.9"
        ]


@pytest.mark.parametrize("operations_max", [1, 2, BATCH_CHUNKS_MAX])
def test_many_chunks_go_to_their_node_and_come_back(operations_max: int) -> None:
    """However many go in a batch."""
    world = World(operations_max)
    world.result(*(world.put(chunk_id, b"chunk %d" % chunk_id.index) for chunk_id in CHUNKS))
    found = world.result(*(world.get(chunk_id) for chunk_id in CHUNKS))
    assert found == [b"chunk %d" % chunk_id.index for chunk_id in CHUNKS]


@pytest.mark.parametrize("size_bytes", [1, SMALL_BYTES_MAX, SMALL_BYTES_MAX + 1])
def test_a_range_is_read_of_small_chunks_and_of_larger_ones(size_bytes: int) -> None:
    """The caller need not know how they travel."""
    world = World()
    chunk = content(size_bytes)
    world.result(world.put(CHUNK, chunk))
    for first in {0, size_bytes // 2}:
        [read] = world.result(world.get(CHUNK, first, size_bytes, size_bytes))
        assert read == chunk[first:]


def test_what_a_node_says_of_a_chunk_is_raised() -> None:
    """And the others of the batch are read."""
    world = World()
    world.result(*(world.put(chunk_id) for chunk_id in CHUNKS[:3]))
    flip_bits(world.simulation.disk, "/data", CHUNKS[1], 3, 1)
    seen: list[object] = []

    async def read(chunk_id: ChunkId) -> None:
        try:
            seen.append(await world.get(chunk_id))
        except (ChecksumError, ChunkNotFoundError) as error:
            seen.append(type(error))

    world.result(*(read(chunk_id) for chunk_id in CHUNKS[:4]))
    assert seen == [b"content", ChecksumError, b"content", ChunkNotFoundError]


def test_a_chunk_that_is_shorter_than_it_should_be_is_refused() -> None:
    """It may be sound, but it is not what the caller knows of."""
    world = World()
    world.result(world.put(CHUNK))
    with pytest.raises(NodeFailedError, match="too few"):
        world.simulation.run(world.client.get(world.peer, CHUNK, 0, 8, None, 8))


def test_a_chunk_is_discarded_until_it_is_confirmed() -> None:
    """By an api whose catalog is no older than the node knows."""
    world = World()
    world.result(*(world.put(chunk_id) for chunk_id in CHUNKS[:3]))
    confirm, absent = CHUNKS[0], CHUNKS[7]
    marks = Marks(incarnation=2, sequence=1, confirm=[confirm, absent], dead=[CHUNKS[1]])
    assert world.result(world.client.mark(world.peer, marks)) == [{absent}]
    world.result(world.client.discard(world.peer, CHUNKS[2], 2))
    with pytest.raises(ChunkNotFoundError):
        world.simulation.run(world.client.get(world.peer, CHUNKS[2], 0, 7, None, 7))
    for chunk_id, incarnation, error in (
        (confirm, 2, ConflictError),
        (confirm, 1, CatalogRolledBackError),
    ):
        discard = world.client.discard(world.peer, chunk_id, incarnation)
        with pytest.raises(error):
            world.simulation.run(Deferred.fromCoroutine(discard))


def test_a_node_that_was_restarted_is_spoken_to_again() -> None:
    """The connection that was kept is gone; what its end leaves behind is no failure."""
    world = World()
    world.result(world.put(CHUNK))
    world.simulation.stop(world.node)
    with pytest.raises(NodeFailedError):
        world.simulation.run(world.client.get(world.peer, CHUNK, 0, 7, None, 7))
    world.simulation.started()
    assert world.result(world.get(CHUNK)) == [b"content"]


def test_connections_are_kept_and_closed_at_the_end() -> None:
    """One serves batches that follow each other."""
    world = World()
    for _ in range(3):
        world.result(world.put(CHUNK))
        world.result(world.get(CHUNK))
    assert len(world.connections()) == 1
    world.result(world.client.close())
    assert world.result(world.get(CHUNK)) == [b"content"]
    assert len(world.connections()) == 2
    world.simulation.clock.run_for(IDLE_SECONDS + 1)
    assert world.result(world.get(CHUNK)) == [b"content"]
    assert len(world.connections()) == 3


def test_another_node_at_the_address_is_not_taken_for_the_one() -> None:
    """All of the batch fails then."""
    world = World()
    other = Peer(NodeId("0" * 16), world.peer.url)
    with pytest.raises(NodeFailedError, match="This is node"):
        world.simulation.run(world.client.get(other, CHUNK, 0, 7, None, 7))


def test_a_hasty_reader_does_not_wait_for_a_node_that_is_silent() -> None:
    """Others do for longer."""
    world = SilentWorld(never)
    hasty = world.client.get(PEER, CHUNK, 0, 7, 0.5, 7)
    patient = world.client.get(PEER, CHUNK, 0, 7, None, 7)
    with pytest.raises(NodeSlowError):
        world.result(hasty)
    assert 0.5 <= world.clock.seconds() < 0.7
    with pytest.raises(NodeSlowError):
        world.result(patient)
    assert world.clock.seconds() == pytest.approx(STALL_SECONDS, abs=0.01)
    world.clock.run_for(1)
    assert world.clock.getDelayedCalls() == []


@pytest.mark.parametrize("left", [False, True])
def test_a_put_that_is_taken_back_in_time_never_was(left: bool) -> None:
    """Later, it is only not waited for: its chunk is there, to be discarded."""
    world = World()
    manifest = manifest_of(CHUNK)
    put = world.client.put(world.peer, CHUNK, (0, len(manifest)), STRICT)
    stored: Any = put.finish(manifest)
    if left:
        world.simulation.clock.run_for(0)
    put.abort()
    with pytest.raises(CancelledError):
        world.simulation.run(stored)
    world.simulation.clock.run_for(1)
    assert world.result(world.client.holds(world.peer, CHUNK)) == [left]
