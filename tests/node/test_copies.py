"""A chunk is copied from another node: as fast as it is granted, whole or not at all."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

import pytest
from klein import Klein
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import serverFromString
from twisted.python.failure import Failure

from tests.node.bench import CHUNK, MANIFEST, NodeBench, content, framed, manifest_of, path
from tests.node.simulated import Simulation, connect
from tests.web.wire import Answer, head, parse_answers
from twisted_store.core.checksums import BLOCK_BYTES
from twisted_store.core.durability import NONE, STRICT
from twisted_store.core.frames import FRAME_BYTES
from twisted_store.core.ids import ChunkId, NodeId, object_id
from twisted_store.core.peer import Peer
from twisted_store.errors import (
    ChecksumError,
    ChunkNotFoundError,
    CorruptionError,
    NodeFailedError,
    NoSpaceError,
    StoreError,
)
from twisted_store.node.service import SOURCE_STALL_SECONDS, NodeService
from twisted_store.node_client.answer_body import READ_AHEAD_BYTES
from twisted_store.node_client.chunk_copy import ChunkCopy
from twisted_store.simulation.faults import flip_bits
from twisted_store.simulation.wire import SOCKET_BUFFER_BYTES
from twisted_store.storage.disk import DiskSpace
from twisted_store.streams import READ_BYTES_MAX
from twisted_store.web.answers import answer_errors
from twisted_store.web.request import StreamingRequest
from twisted_store.web.site import StreamingSite

OTHER = ChunkId(object_id(9, 9, 9), 4)
TARGET, SOURCE = "127.0.0.2", "127.0.0.3"
SOURCE_URL = f"http://{SOURCE}:8101"
FAKE = Peer(NodeId("b" * 16), "http://127.0.0.5:8101")
LARGE = content(4 * 2**20 + 5)
GRANT_BYTES = 64 * 1024

HEADERS = (f"X-Source-Node: {'a' * 16}", f"X-Source-URL: {SOURCE_URL}", "X-Chunk-Bytes: 5")


def peer_of(node: NodeService) -> Peer:
    """How others reach it."""
    return Peer(node.identity.node_id, node.reports.url)


class Pair:
    """Two nodes, of which one is to copy from the other, and the api's client of both."""

    def __init__(
        self, chunk: bytes | None = LARGE, secret: str | None = None, **changes: object
    ) -> None:
        self.simulation = Simulation()
        self.simulation.start_api()
        self.target = self.simulation.started(TARGET, secret=secret, **changes)
        self.source = self.simulation.started(SOURCE, secret=secret, data="/source")
        self.client = self.simulation.node_client(secret)
        if chunk is not None:
            self._hold(chunk)

    def copy(self, chunk_bytes: int, source: Peer | None = None) -> ChunkCopy:
        """Begin to copy the chunk."""
        source = source or peer_of(self.source)
        return self.client.copy(peer_of(self.target), CHUNK, source, chunk_bytes, STRICT)

    def copy_whole(self, chunk: bytes, source: Peer | None = None) -> None:
        """Copy the chunk with one grant."""
        copy = self.copy(len(chunk), source)
        copy.grant(len(chunk))
        self.finish(copy)

    def finish(self, copy: ChunkCopy) -> None:
        """Wait for the end of a copy, which raises what went wrong."""
        self.simulation.run(Deferred.fromCoroutine(copy.finished()))

    def failure_of(self, copy: ChunkCopy) -> StoreError:
        """What went wrong with a copy; it left nothing, and was not the fault of the disk."""
        with pytest.raises(StoreError) as raised:
            self.finish(copy)
        assert self.target.store.used_bytes == 0
        assert self.target.reports.current().last_sync_ok
        return raised.value

    def frames(self, node: NodeService) -> bytes:
        """The whole chunk as that node gives it."""

        async def fetch() -> bytes:
            body = await self.client.fetch(peer_of(node), CHUNK)
            return b"".join([piece async for piece in body])

        return self.simulation.run(Deferred.fromCoroutine(fetch()))

    def carried(self, *kinds: str, to: str = TARGET) -> list[int]:
        """The sizes of what reached one of the two nodes from the other one."""
        return [
            event.size_bytes
            for event in self.simulation.events
            if event.kind in kinds
            and {event.source.host, event.destination.host} == {TARGET, SOURCE}
            and event.destination.host == to
        ]

    def _hold(self, chunk: bytes) -> None:
        put = self.client.put(peer_of(self.source), CHUNK, (len(chunk), len(MANIFEST)), NONE)

        async def send() -> None:
            await put.write(memoryview(chunk))
            await put.finish(MANIFEST)

        self.simulation.run(Deferred.fromCoroutine(send()))


@pytest.mark.parametrize(
    "size_bytes", [0, 1, BLOCK_BYTES, BLOCK_BYTES + 1, FRAME_BYTES, 3 * FRAME_BYTES + 7]
)
def test_a_chunk_is_copied_with_its_manifest(size_bytes: int) -> None:
    """Byte for byte as it came to the source."""
    pair = Pair(content(size_bytes))
    pair.copy_whole(content(size_bytes))
    frames = pair.frames(pair.source)
    assert frames.endswith(MANIFEST)
    assert pair.frames(pair.target) == frames
    assert pair.target.store.used_bytes == pair.source.store.used_bytes
    assert list(pair.target.store.provisional_older_than(0)) == [CHUNK]


def test_the_source_is_asked_with_the_secret_of_the_cluster() -> None:
    """The node has it from its own command line, not from the caller."""
    pair = Pair(secret="open-sesame")
    pair.copy_whole(LARGE)
    assert pair.frames(pair.target) == pair.frames(pair.source)


def test_a_node_that_stops_lets_its_sources_go() -> None:
    """A connection that is kept for the next copy, too."""
    pair = Pair()
    pair.copy_whole(LARGE)
    assert pair.carried("end", "reset", to=SOURCE) == []
    pair.simulation.stop(pair.target)
    pair.simulation.clock.run_for(1)
    assert len(pair.carried("end", "reset", to=SOURCE)) == 1


def test_no_more_is_stored_than_is_granted() -> None:
    """And what is read ahead has a bound, however slowly the grants come."""
    pair = Pair()
    copy = pair.copy(len(LARGE))
    ahead = READ_AHEAD_BYTES + READ_BYTES_MAX + SOCKET_BUFFER_BYTES
    stored = []
    for granted in range(GRANT_BYTES, len(LARGE), GRANT_BYTES):
        copy.grant(GRANT_BYTES)
        pair.simulation.clock.run_for(0.1)
        assert sum(pair.carried("data")) <= granted + ahead
        assert pair.target.store.used_bytes <= granted
        stored.append(pair.target.store.used_bytes)
    assert stored[-1] > len(LARGE) // 2
    copy.grant(GRANT_BYTES)
    pair.finish(copy)


def test_nothing_is_asked_of_the_source_before_the_first_grant() -> None:
    """Many copies may wait for their turn."""
    pair = Pair()
    copy = pair.copy(len(LARGE))
    pair.simulation.clock.run_for(100)
    assert pair.carried("connect", to=SOURCE) == []
    copy.grant(1)
    pair.simulation.clock.run_for(1)
    assert len(pair.carried("connect", to=SOURCE)) == 1
    copy.grant(len(LARGE))
    pair.finish(copy)


def test_a_source_that_breaks_off_is_named() -> None:
    """As it does that stops in the middle."""
    pair = Pair()
    copy = pair.copy(len(LARGE))
    copy.grant(GRANT_BYTES)
    pair.simulation.clock.run_for(1)
    pair.simulation.stop(pair.source)
    copy.grant(len(LARGE))
    failure = pair.failure_of(copy)
    assert isinstance(failure, NodeFailedError)
    assert f"Node {pair.source.identity.node_id} broke off" in failure.message


@pytest.mark.parametrize("begun", [True, False])
def test_a_source_that_falls_silent_is_named_in_time(begun: bool) -> None:
    """Before it can be reached, or in the middle."""
    pair = Pair()
    copy = pair.copy(len(LARGE))
    if begun:
        copy.grant(GRANT_BYTES)
        pair.simulation.clock.run_for(1)
    pair.simulation.network.wire.partition.part(SOURCE)
    copy.grant(len(LARGE))
    start = pair.simulation.clock.seconds()
    failure = pair.failure_of(copy)
    assert isinstance(failure, NodeFailedError)
    assert f"Node {pair.source.identity.node_id} did not" in failure.message
    assert pair.simulation.clock.seconds() - start < SOURCE_STALL_SECONDS + 1


def test_a_source_that_cannot_be_reached_is_named() -> None:
    """Nobody listens there."""
    pair = Pair()
    nowhere = Peer(peer_of(pair.source).node_id, "http://127.0.0.4:8101")
    copy = pair.copy(5, nowhere)
    copy.grant(5)
    assert f"Node {nowhere.node_id} failed" in pair.failure_of(copy).message


def test_another_node_at_the_address_of_the_source_is_not_asked() -> None:
    """It may hold another copy, of which nobody knows here how sound it is."""
    pair = Pair()
    copy = pair.copy(len(LARGE), Peer(peer_of(pair.target).node_id, SOURCE_URL))
    copy.grant(len(LARGE))
    assert f"This is node {pair.source.identity.node_id}" in pair.failure_of(copy).message


def test_a_chunk_that_the_source_does_not_hold_is_not_found() -> None:
    """Which is told apart from a failure."""
    pair = Pair(chunk=None)
    copy = pair.copy(5)
    copy.grant(5)
    assert isinstance(pair.failure_of(copy), ChunkNotFoundError)


def test_damage_that_the_source_finds_is_told(
    expected_failures: Callable[..., list[Failure]],
) -> None:
    """Its chunk is damaged, not the way; both nodes log it."""
    pair = Pair()
    flip_bits(pair.simulation.disk, "/source", CHUNK, 5, 1)
    copy = pair.copy(len(LARGE))
    copy.grant(len(LARGE))
    assert isinstance(pair.failure_of(copy), ChecksumError)
    assert len(expected_failures(CorruptionError)) == 2


def test_damage_that_the_source_finds_late_breaks_the_copy_off(
    expected_failures: Callable[..., list[Failure]],
) -> None:
    """There is no status any more by which it could be told."""
    pair = Pair()
    flip_bits(pair.simulation.disk, "/source", CHUNK, len(LARGE) - 1, 1)
    copy = pair.copy(len(LARGE))
    copy.grant(len(LARGE))
    assert "broke off" in pair.failure_of(copy).message
    assert len(expected_failures(CorruptionError)) == 1


@dataclass(frozen=True)
class FakeSource:
    """Sends what it is given as the frames of any chunk."""

    app = Klein()
    answer_errors(app)

    body: bytes

    @app.route("/chunks/<object_id>/<index>", methods=["GET"])
    async def get_chunk(self, request: StreamingRequest, object_id: str, index: str) -> bytes:
        """Send it."""
        return self.body


DAMAGED = framed(b"bytes").replace(b"bytes", b"bytez")


@pytest.mark.parametrize(
    ("body", "error", "logged"),
    [
        (DAMAGED, ChecksumError, 1),
        (framed(b"other bytes"), NodeFailedError, 0),
        (framed(b"bytes")[:-1], NodeFailedError, 0),
        (framed(b"bytes", manifest=manifest_of(OTHER)), NodeFailedError, 0),
    ],
    ids=["damaged", "of another length", "cut", "of another object"],
)
def test_a_source_is_not_believed(
    body: bytes,
    error: type[StoreError],
    logged: int,
    expected_failures: Callable[..., list[Failure]],
) -> None:
    """What it sends is verified here, block by block, as what the api sends."""
    pair = Pair(chunk=None)
    fake = FakeSource(body).app
    site = StreamingSite(fake.resource(), pair.simulation.clock, Random(4))
    endpoint = serverFromString(pair.simulation.network.host("127.0.0.5"), "tcp:8101")
    pair.simulation.run(endpoint.listen(site))
    copy = pair.copy(5, FAKE)
    copy.grant(5)
    assert type(pair.failure_of(copy)) is error
    assert len(expected_failures(CorruptionError)) == logged


def test_a_full_node_asks_nothing_of_the_source() -> None:
    """There would be no room for it."""
    pair = Pair(capacity_bytes_max=len(LARGE) - 1)
    copy = pair.copy(len(LARGE))
    assert isinstance(pair.failure_of(copy), NoSpaceError)
    assert pair.carried("connect", to=SOURCE) == []


@pytest.mark.parametrize("granted_bytes", [1, GRANT_BYTES, len(LARGE)])
@pytest.mark.parametrize("after_seconds", [0.004, 0.02, 1])
def test_a_caller_that_leaves_leaves_nothing(granted_bytes: int, after_seconds: float) -> None:
    """Neither a file nor a connection, whatever the node waited for."""
    pair = Pair()
    if granted_bytes == len(LARGE):
        pair.simulation.network.wire.partition.part(SOURCE)
    copy = pair.copy(len(LARGE))
    copy.grant(granted_bytes)
    pair.simulation.clock.run_for(after_seconds)
    copy.abort()
    pair.simulation.network.wire.heal()
    pair.simulation.clock.run_for(1)
    connections = len(pair.carried("connect", to=SOURCE))
    assert len(pair.carried("end", "reset", to=SOURCE)) >= connections
    assert pair.target.store.used_bytes == 0
    pair.copy_whole(LARGE)


def test_grants_are_read_however_they_are_cut() -> None:
    """Byte by byte, with others that are zero between."""
    pair = Pair(b"bytes")
    connection = connect(pair.simulation)
    source = peer_of(pair.source)
    connection.send(
        head(
            f"POST {path()}/copy",
            f"X-Source-Node: {source.node_id}",
            f"X-Source-URL: {source.url}/",
            "X-Chunk-Bytes: 5",
            "Transfer-Encoding: chunked",
        )
    )
    for byte in b"0\n3\n0000000000000000002\n":
        assert connection.received == b""
        connection.send(b"1\r\n%c\r\n" % byte)
        pair.simulation.clock.run_for(0.1)
    connection.send(b"0\r\n\r\n")
    pair.simulation.clock.run_for(0.1)
    [answer] = parse_answers(connection.received)
    used_bytes = pair.target.store.used_bytes
    assert (answer.status, answer.json()) == (201, {"bytes": 5, "used_bytes": used_bytes})


def asked(bench: NodeBench, body: bytes, *headers: str) -> Answer:
    """The answer to a call with these grants."""
    return bench.call("POST", f"{path()}/copy", *(headers or HEADERS), body=body)


@pytest.mark.parametrize(
    ("grants", "error"),
    [
        (b"", "incomplete_body"),
        (b"4", "incomplete_body"),
        (b"0\n", "incomplete_body"),
        (b"many\n", "bad_request"),
        (b"-5\n", "bad_request"),
        (b"\n", "bad_request"),
        (b"5\r\n", "bad_request"),
        (b"0" * 20 + b"5\n", "bad_request"),
        (b"0" * 21, "bad_request"),
    ],
)
def test_a_body_that_grants_nothing_is_refused(bench: NodeBench, grants: bytes, error: str) -> None:
    """Before the source is asked, and nothing is left."""
    answer = asked(bench, grants)
    assert (answer.status, answer.json()["error"]) == (400, error)
    assert bench.states() == {}
    bench.hold(b"bytes")


def test_grants_that_end_too_early_break_the_copy_off() -> None:
    """Whoever paces it is gone, or has changed its mind."""
    pair = Pair()
    connection = connect(pair.simulation)
    source = peer_of(pair.source)
    headers = (
        f"X-Source-Node: {source.node_id}",
        f"X-Source-URL: {source.url}",
        f"X-Chunk-Bytes: {len(LARGE)}",
    )
    connection.send(head(f"POST {path()}/copy", *headers, "Content-Length: 7") + b"100000\n")
    pair.simulation.clock.run_for(1)
    [answer] = parse_answers(connection.received)
    assert (answer.status, answer.json()["error"]) == (400, "incomplete_body")
    assert "100000 of 4194309 bytes" in answer.json()["message"]
    assert pair.target.store.used_bytes == 0
    assert len(pair.carried("end", "reset", to=SOURCE)) > 0


@pytest.mark.parametrize(
    "headers",
    [
        HEADERS[:2],
        HEADERS[1:],
        (HEADERS[0], HEADERS[2]),
        (HEADERS[0], "X-Source-URL: ftp://127.0.0.3:8101", HEADERS[2]),
        (HEADERS[0], "X-Source-URL: http://", HEADERS[2]),
        ("X-Source-Node: me", *HEADERS[1:]),
        (*HEADERS, "X-Durability: sometimes"),
    ],
)
def test_a_call_that_does_not_say_what_to_copy_is_refused(
    bench: NodeBench, headers: tuple[str, ...]
) -> None:
    """How large the chunk is, who has it, and where."""
    answer = asked(bench, b"5\n", *headers)
    assert (answer.status, answer.json()["error"]) == (400, "bad_request")


def test_room_is_kept_before_anything_is_granted(bench: NodeBench) -> None:
    """As for a chunk that the api sends."""
    bench.disk.space_bytes = DiskSpace(free_bytes=10**6, total_bytes=10**6)
    bench.run(bench.health.check())
    assert asked(bench, b"", *HEADERS[:2], "X-Chunk-Bytes: 1999900").status == 507
