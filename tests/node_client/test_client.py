"""The api's client against nodes that behave and nodes that do not, in simulated time."""

from collections.abc import Callable
from random import Random
from typing import Any, TypeVar

import pytest
from twisted.internet.defer import Deferred
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site

from twisted_store.core.batch import (
    CONFIRM,
    DEAD,
    ERROR,
    OK,
    decode_operations,
    result_head,
    unpack_ids,
)
from twisted_store.core.checksums import block_checksum
from twisted_store.core.durability import STRICT
from twisted_store.core.frames import blocks_frame_head, framed_bytes
from twisted_store.core.ids import ChunkId, NodeId, object_id
from twisted_store.core.peer import Marks, Peer
from twisted_store.errors import (
    CatalogRolledBackError,
    ChecksumError,
    ChunkNotFoundError,
    NodeFailedError,
    NodeSlowError,
    NoSpaceError,
)
from twisted_store.node_client.client import NodeClient
from twisted_store.simulation.clock import SimulatedClock
from twisted_store.simulation.network import SimulatedNetwork

T = TypeVar("T")

CHUNK = ChunkId(object_id(1, 1, 1), 3)
OTHER = ChunkId(object_id(1, 2, 2), 0)
PEER = Peer(NodeId("00000000000000aa"), "http://127.0.0.2:8101")
STALL_SECONDS = 10.0
MANIFEST = b"{}"

Behaviour = Callable[[Any], object]


class Node(Resource):
    """Answers every request as it is told to."""

    isLeaf = True

    def __init__(self, behaviour: Behaviour) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.behaviour = behaviour
        self.bodies: list[bytes] = []

    def render(self, request: Any) -> Any:
        """Keep the body, then behave."""
        self.bodies.append(request.content.read())
        return self.behaviour(request)


class QuietSite(Site):
    """Has no timer for the date in its access log."""

    def startFactory(self) -> None:
        """Start nothing."""


class World:
    """A clock, a client, and one node of the given behaviour."""

    def __init__(self, behaviour: Behaviour | None) -> None:
        self.clock = SimulatedClock()
        network = SimulatedNetwork(self.clock, Random(1))
        self.client = NodeClient(self.clock, network.host("127.0.0.1"), STALL_SECONDS, {})
        self.node = Node(behaviour or never)
        if behaviour is not None:
            site = QuietSite(self.node, reactor=self.clock)  # type: ignore[no-untyped-call]
            self.result(network.host("127.0.0.2").listen_endpoint(8101).listen(site))

    def result(self, deferred: "Deferred[T]", limit_seconds: float = 60) -> T:
        """What it fires with."""
        return self.clock.run_until(deferred, limit_seconds)

    def put(self, content: bytes, sized: bool = False) -> None:
        """Store a chunk of these bytes."""
        sizes = (len(content), len(MANIFEST)) if sized else None
        put = self.client.put(PEER, CHUNK, sizes, STRICT)

        async def send() -> None:
            await put.write(memoryview(content))
            await put.finish(MANIFEST)

        self.result(Deferred.fromCoroutine(send()))

    def get(self, size_bytes: int, patience_seconds: float | None = None) -> bytes:
        """Read so many bytes of a chunk from its start."""

        async def receive() -> bytes:
            source = await self.client.get(PEER, CHUNK, 0, size_bytes, patience_seconds)
            content = bytearray()
            while len(content) < size_bytes:
                for part in await source.read(size_bytes - len(content)):
                    content += part
            source.close()
            return bytes(content)

        return self.result(Deferred.fromCoroutine(receive()))


def never(request: Any) -> object:
    """Take the request and say nothing."""
    return NOT_DONE_YET


def answer(status: int, body: bytes = b"{}") -> Behaviour:
    """Answer with a status and a body."""

    def behave(request: Any) -> bytes:
        request.setResponseCode(status)
        return body

    return behave


def frames_of(content: bytes) -> bytes:
    """One frame with one block."""
    return blocks_frame_head([block_checksum(CHUNK, 0, content)], len(content)) + content


@pytest.mark.parametrize(
    ("size", "sized"), [(0, False), (1, False), (70_000, True), (3_000_000, True)]
)
def test_a_chunk_arrives_framed(size: int, sized: bool) -> None:
    """The body has the length that was announced for it."""
    world = World(answer(201))
    world.put(b"x" * size, sized)
    assert len(world.node.bodies[0]) == framed_bytes(size, len(MANIFEST))


@pytest.mark.parametrize("size", [10, 3_000_000])
def test_a_node_that_never_answers_fails_in_time(size: int) -> None:
    """Bytes in the network's buffers are no progress that lasts."""
    world = World(never)
    with pytest.raises(NodeFailedError, match="no progress"):
        world.put(b"x" * size)
    assert world.clock.seconds() < 3 * STALL_SECONDS


def test_a_node_that_falls_silent_on_a_kept_connection_fails_in_time() -> None:
    """Where the connection takes everything at once, the node owes only the answer."""
    world = World(answer(201))
    world.put(b"x")
    world.node.behaviour = never
    start = world.clock.seconds()
    with pytest.raises(NodeFailedError, match="no progress"):
        world.put(b"x")
    assert world.clock.seconds() - start < 3 * STALL_SECONDS


def test_a_refused_connection_fails_at_once() -> None:
    """Nobody listens there."""
    world = World(None)
    with pytest.raises(NodeFailedError, match="refused"):
        world.put(b"x")
    assert world.clock.seconds() < 1


def test_a_full_node_says_so() -> None:
    """507 is told apart, since the node is well."""
    world = World(answer(507, b'{"error": "no_space", "message": "full"}'))
    with pytest.raises(NoSpaceError, match="full"):
        world.put(b"x")


@pytest.mark.parametrize("status", [200, 404, 500])
def test_any_other_answer_to_a_put_is_a_failure(status: int) -> None:
    """Only 201 acknowledges a chunk."""
    with pytest.raises(NodeFailedError, match=str(status)):
        World(answer(status, b"<html>")).put(b"x")


def test_a_slow_sender_is_not_the_nodes_fault() -> None:
    """Time counts only while the node owes something."""
    world = World(answer(201))
    put: Any = world.client.put(PEER, CHUNK, None, STRICT)
    content = memoryview(b"x" * 300_000)
    world.result(Deferred.fromCoroutine(put.write(content)))
    world.clock.run_for(5 * STALL_SECONDS)
    assert put.failure is None
    world.result(Deferred.fromCoroutine(put.finish(MANIFEST)))


def test_an_aborted_put_leaves_no_call_behind() -> None:
    """Neither a connection attempt nor a timer."""
    world = World(never)
    put: Any = world.client.put(PEER, CHUNK, None, STRICT)
    put.abort()
    world.clock.run_for(5 * STALL_SECONDS)
    assert isinstance(put.failure, NodeFailedError)
    assert world.clock.getDelayedCalls() == []


def test_bytes_are_read_verified() -> None:
    """What the node frames is what the reader gets."""
    assert World(answer(206, frames_of(b"content"))).get(7) == b"content"


def test_damaged_bytes_are_refused() -> None:
    """A flipped bit never reaches the reader."""
    damaged = bytearray(frames_of(b"content"))
    damaged[-1] ^= 1
    with pytest.raises(ChecksumError):
        World(answer(206, bytes(damaged))).get(7)


def test_a_short_answer_is_refused() -> None:
    """A clean end is no proof that all has come."""
    with pytest.raises(NodeFailedError, match="too few"):
        World(answer(206, frames_of(b"cont"))).get(7)


def test_a_node_that_stops_sending_fails_in_time() -> None:
    """After the headers too."""

    def behave(request: Any) -> object:
        request.setResponseCode(206)
        request.write(frames_of(b"content")[:-1])
        return NOT_DONE_YET

    world = World(behave)
    with pytest.raises(NodeFailedError, match="did not send in time"):
        world.get(7)
    assert world.clock.seconds() < 3 * STALL_SECONDS


@pytest.mark.parametrize("begins", [True, False])
def test_p6_an_impatient_reader_does_not_wait_for_drops(begins: bool) -> None:
    """Whether the node is silent or sends a byte now and then: the wait as a whole is bounded."""

    def behave(request: Any) -> object:
        if begins:
            request.setResponseCode(206)
            for number, byte in enumerate(frames_of(b"content")[:-1]):
                world.clock.callLater(number * 0.1, request.write, bytes([byte]))
        return NOT_DONE_YET

    world = World(behave)
    with pytest.raises(NodeSlowError):
        world.get(7, patience_seconds=0.5)
    assert 0.5 <= world.clock.seconds() < 0.7


def test_a_missing_chunk_is_told_apart() -> None:
    """The reader may find the object overwritten."""
    world = World(answer(404, b'{"error": "chunk_not_found", "message": "no such chunk"}'))
    with pytest.raises(ChunkNotFoundError):
        world.get(7)


def test_marks_name_chunks_and_sequence() -> None:
    """As the node reads them."""
    heads: list[tuple[str | None, ...]] = []

    def behave(request: Any) -> bytes:
        heads.append(tuple(map(request.getHeader, ("X-Incarnation", "X-Commit-Sequence"))))
        return result_head(OK, 1, CHUNK.packed) + CHUNK.packed + result_head(OK, 0, b"")

    world = World(behave)
    marks = Marks(incarnation=2, sequence=9, confirm=[CHUNK], dead=[OTHER])
    assert world.result(Deferred.fromCoroutine(world.client.mark(PEER, marks))) == {CHUNK}
    confirm, dead = decode_operations(world.node.bodies[0])
    assert (confirm.kind, unpack_ids(confirm.payload)) == (CONFIRM, [CHUNK])
    assert (dead.kind, unpack_ids(dead.payload)) == (DEAD, [OTHER])
    assert heads == [("2", "9")]


def test_a_node_that_saw_later_commits_is_told_apart() -> None:
    """It refuses to delete for a catalog that was rolled back."""
    error = b'{"error": "catalog_rolled_back", "message": "older"}'
    world = World(answer(200, result_head(ERROR, 0, error) + error))
    marks = Marks(incarnation=1, sequence=1, confirm=[], dead=[CHUNK])
    with pytest.raises(CatalogRolledBackError, match="older"):
        world.result(Deferred.fromCoroutine(world.client.mark(PEER, marks)))


def test_an_endless_answer_is_cut_off() -> None:
    """A node cannot fill the api's memory."""
    world = World(answer(200, b"[" * 5_000_000))
    with pytest.raises(NodeFailedError):
        world.result(Deferred.fromCoroutine(world.client.probe(PEER)))


def test_a_probe_has_a_deadline() -> None:
    """As every call."""
    world = World(never)
    with pytest.raises(NodeFailedError):
        world.result(Deferred.fromCoroutine(world.client.probe(PEER)))
    assert world.clock.seconds() < 2 * STALL_SECONDS


@pytest.mark.parametrize("body", [b"", b"{}", result_head(OK, 0, b"x" * 18) + b"x" * 18])
def test_marks_that_are_answered_with_something_else_are_not_delivered(body: bytes) -> None:
    """A node of another version must not stop what others are told."""
    world = World(answer(200, body))
    marks = Marks(incarnation=2, sequence=9, confirm=[CHUNK], dead=[])
    with pytest.raises(NodeFailedError):
        world.result(Deferred.fromCoroutine(world.client.mark(PEER, marks)))
