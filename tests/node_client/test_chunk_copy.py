"""A copy between nodes as its caller sees it: what it grants, and when and how it ends."""

from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.web.server import NOT_DONE_YET

from tests.node_client.test_client import CHUNK, PEER, STALL_SECONDS, World, answer, never
from twisted_store.core.durability import Durability, DurabilityMode
from twisted_store.core.ids import NodeId
from twisted_store.core.peer import Peer
from twisted_store.errors import (
    ChecksumError,
    ChunkNotFoundError,
    ConflictError,
    NodeFailedError,
    NodeSlowError,
    NoSpaceError,
    StoreError,
)
from twisted_store.node_client.chunk_copy import COPY_BYTES_PER_SECOND_MIN, ChunkCopy

SOURCE = Peer(NodeId("00000000000000bb"), "http://127.0.0.3:8101")
RELAXED = Durability(DurabilityMode.RELAXED, 1.5)


def begin(world: World, chunk_bytes: int) -> ChunkCopy:
    """Begin a copy to the node."""
    return world.client.copy(PEER, CHUNK, SOURCE, chunk_bytes, RELAXED)


def finish(world: World, copy: ChunkCopy) -> None:
    """Wait for its end."""
    world.result(Deferred.fromCoroutine(copy.finished()), 1000)


def test_the_call_says_what_to_copy_and_from_where() -> None:
    """In its path and headers; its body are the grants, one a line."""
    heads: list[tuple[Any, ...]] = []

    def behave(request: Any) -> bytes:
        names = ("X-Node-Id", "X-Source-Node", "X-Source-URL", "X-Chunk-Bytes", "X-Durability")
        heads.append((request.method, request.path, *map(request.getHeader, names)))
        request.setResponseCode(201)
        return b"{}"

    world = World(behave)
    copy = begin(world, 12)
    copy.grant(3)
    world.clock.run_for(1)
    assert world.node.bodies == []
    copy.grant(4)
    copy.grant(5)
    finish(world, copy)
    path = f"/chunks/{CHUNK.object_id}/{CHUNK.index}/copy".encode()
    fields = (PEER.node_id, SOURCE.node_id, SOURCE.url, "12", "relaxed;window=1.5")
    assert heads == [(b"POST", path, *fields)]
    assert world.node.bodies == [b"3\n4\n5\n"]


@pytest.mark.parametrize(("chunk_bytes", "body"), [(5, b"5\n"), (0, b"")])
def test_no_more_is_granted_than_the_chunk_has(chunk_bytes: int, body: bytes) -> None:
    """What paces many copies need not know where each of them ends."""
    world = World(answer(201))
    copy = begin(world, chunk_bytes)
    copy.grant(100)
    copy.grant(100)
    finish(world, copy)
    assert world.node.bodies == [body]


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (404, "chunk_not_found", ChunkNotFoundError),
        (409, "conflict", ConflictError),
        (500, "checksum", ChecksumError),
        (503, "node_failed", NodeFailedError),
        (507, "no_space", NoSpaceError),
        (400, "bad_request", NodeFailedError),
        (200, "", NodeFailedError),
    ],
)
def test_what_the_node_answers_is_raised(status: int, code: str, error: type[StoreError]) -> None:
    """Only 201 says that the chunk is stored."""
    world = World(answer(status, b'{"error": "%s", "message": "so it is"}' % code.encode()))
    copy = begin(world, 5)
    copy.grant(5)
    with pytest.raises(StoreError, match="so it is") as raised:
        finish(world, copy)
    assert type(raised.value) is error


def test_a_node_that_is_not_there_fails_at_once() -> None:
    """Whatever was granted."""
    world = World(None)
    with pytest.raises(NodeFailedError, match="refused"):
        finish(world, begin(world, 5))
    assert world.clock.seconds() < 1


@pytest.mark.parametrize("seconds", [0, 1, 100])
def test_a_node_has_time_for_what_was_granted_at_once(seconds: int) -> None:
    """At a slow pace, and for its answer."""
    world = World(never)
    size_bytes = seconds * COPY_BYTES_PER_SECOND_MIN
    copy = begin(world, size_bytes)
    for _ in range(seconds):
        copy.grant(COPY_BYTES_PER_SECOND_MIN)
    with pytest.raises(NodeSlowError, match="did not copy in time"):
        finish(world, copy)
    assert world.clock.seconds() == pytest.approx(seconds + STALL_SECONDS)


def test_time_that_passed_between_grants_counts() -> None:
    """A node that was given them slowly has copied most by the last one."""
    world = World(never)
    copy = begin(world, 10 * COPY_BYTES_PER_SECOND_MIN)
    for _ in range(10):
        world.clock.run_for(2)
        copy.grant(COPY_BYTES_PER_SECOND_MIN)
    granted_seconds = world.clock.seconds()
    with pytest.raises(NodeSlowError):
        finish(world, copy)
    assert world.clock.seconds() == pytest.approx(granted_seconds + 1 + STALL_SECONDS)


def test_a_node_that_waits_for_grants_is_not_slow() -> None:
    """It is its caller who lets it wait."""
    world = World(answer(201))
    copy = begin(world, 5)
    copy.grant(4)
    world.clock.run_for(5 * STALL_SECONDS)
    copy.grant(1)
    finish(world, copy)


@pytest.mark.parametrize("granted_bytes", [0, 4, 5])
@pytest.mark.parametrize("after_seconds", [0, 0.001, 1])
def test_an_aborted_copy_leaves_no_call_behind(granted_bytes: int, after_seconds: float) -> None:
    """Neither a connection nor a timer, and what is granted later goes nowhere."""
    world = World(never)
    copy = begin(world, 5)
    copy.grant(granted_bytes)
    world.clock.run_for(after_seconds)
    copy.abort()
    copy.grant(5)
    world.clock.run_for(1)
    assert world.clock.getDelayedCalls() == []


def test_who_stops_waiting_breaks_the_copy_off() -> None:
    """And hears of that, not of a failure of the node."""
    lost: list[object] = []

    def behave(request: Any) -> int:
        request.notifyFinish().addErrback(lost.append)
        return NOT_DONE_YET

    world = World(behave)
    copy = begin(world, 5)
    copy.grant(5)
    finished = Deferred.fromCoroutine(copy.finished())
    world.clock.run_for(1)
    finished.cancel()
    with pytest.raises(CancelledError):
        world.result(finished)
    world.clock.run_for(1)
    assert len(lost) == 1
    assert world.clock.getDelayedCalls() == []
