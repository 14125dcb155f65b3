"""Connections in simulated time behave as TCP does under a real reactor."""

from dataclasses import dataclass, field
from random import Random
from typing import Any

import pytest
from twisted.internet.error import (
    ConnectionAborted,
    ConnectionDone,
    ConnectionLost,
)
from twisted.internet.interfaces import IPullProducer, IPushProducer
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from twisted_store.simulation.clock import SimulatedClock
from twisted_store.simulation.network import SimulatedNetwork
from twisted_store.simulation.wire import SEGMENT_BYTES_MAX, SOCKET_BUFFER_BYTES, NetworkEvent

USER_BUFFER_BYTES = 64 * 1024


class Peer(Protocol):
    """Keeps what it is given; `raises` is raised by the next data."""

    transport: Any

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.reason: type[BaseException] | None = None
        self.raises: Exception | None = None

    @property
    def received(self) -> bytes:
        """All bytes so far."""
        return b"".join(self.pieces)

    def dataReceived(self, data: bytes) -> None:
        """Keep a piece."""
        if self.raises is not None:
            raise self.raises
        self.pieces.append(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Keep the reason."""
        assert self.reason is None, "lost twice"
        self.reason = reason.type


@dataclass
class Scene:
    """One connection between two hosts, and all that arrived."""

    seed: int = 0
    events: list[NetworkEvent] = field(default_factory=list)
    accepted: list[Peer] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Listen and connect."""
        self.clock = SimulatedClock()
        self.network = SimulatedNetwork(self.clock, Random(self.seed), self.events.append)
        self.clock.run_until(self.network.host("b").listen_endpoint(80).listen(self._factory()), 1)
        endpoint = self.network.host("a").connect_endpoint("b", 80)
        self.a: Any = self.clock.run_until(endpoint.connect(Factory.forProtocol(Peer)), 1)
        self.clock.run_for(1)
        [self.b] = self.accepted

    def ends(self) -> list[str]:
        """The ends that arrived, clean or not."""
        return [event.kind for event in self.events if event.kind in ("end", "reset")]

    def _factory(self) -> Factory:
        def accept() -> Peer:
            self.accepted.append(Peer())
            return self.accepted[-1]

        return Factory.forProtocol(accept)


@pytest.fixture
def scene() -> Scene:
    """A connection of `a`, the client, to `b`."""
    return Scene()


def test_bytes_arrive_whole_and_in_order_in_odd_pieces() -> None:
    """A parser sees cuts anywhere, but never more than a segment at once."""
    payload = Random(1).randbytes(3_000_000)
    scene = Scene()
    scene.a.transport.write(payload[:-3])
    scene.a.transport.writeSequence([payload[-3:-1], payload[-1:]])
    scene.clock.run_for(1)
    assert scene.b.received == payload
    sizes = [len(piece) for piece in scene.b.pieces]
    assert max(sizes) <= SEGMENT_BYTES_MAX
    assert len({size for size in sizes if size % 1024}) > 3


def test_bytes_take_time(scene: Scene) -> None:
    """Nothing arrives in the turn that sends it."""
    scene.a.transport.write(b"x")
    scene.clock.run_for(0)
    assert scene.b.received == b""
    scene.clock.run_for(0.01)
    assert scene.b.received == b"x"


def test_both_ends_know_each_other(scene: Scene) -> None:
    """The client comes from a port of its own."""
    assert scene.a.transport.getPeer() == scene.b.transport.getHost()
    assert scene.b.transport.getPeer() == scene.a.transport.getHost()
    assert (scene.b.transport.getHost().host, scene.b.transport.getHost().port) == ("b", 80)
    assert scene.a.transport.getHost().host == "a"


@implementer(IPushProducer)
@dataclass
class PushProducer:
    """Writes pieces until it is paused, and counts what it wrote."""

    consumer: Any
    piece: bytes = bytes(10_000)
    written_bytes: int = 0
    paused: bool = False
    stopped: bool = False

    def resumeProducing(self) -> None:
        """Write until paused."""
        self.paused = False
        while not self.paused and not self.stopped:
            self.written_bytes += len(self.piece)
            self.consumer.write(self.piece)

    def pauseProducing(self) -> None:
        """Write no more."""
        self.paused = True

    def stopProducing(self) -> None:
        """The connection is gone."""
        self.stopped = True


def test_a_receiver_that_does_not_read_stops_the_sender(scene: Scene) -> None:
    """The pipe and the user's buffer fill, then the producer rests until somebody reads."""
    scene.b.transport.pauseProducing()
    producer = PushProducer(scene.a.transport)
    scene.a.transport.registerProducer(producer, True)
    producer.resumeProducing()
    scene.clock.run_for(60)
    arrived_bytes = sum(event.size_bytes for event in scene.events)
    assert (producer.paused, scene.b.received) == (True, b"")
    assert SOCKET_BUFFER_BYTES // 2 < arrived_bytes <= SOCKET_BUFFER_BYTES
    assert 0 < producer.written_bytes - arrived_bytes <= USER_BUFFER_BYTES + len(producer.piece)
    scene.b.transport.resumeProducing()
    scene.clock.run_for(0.1)
    assert len(scene.b.received) > 2 * SOCKET_BUFFER_BYTES
    scene.b.transport.abortConnection()
    scene.clock.run_for(1)
    assert producer.stopped


@implementer(IPullProducer)
@dataclass
class PullProducer:
    """Writes the next piece each time it is asked."""

    consumer: Any
    pieces: list[bytes]

    def resumeProducing(self) -> None:
        """Write one piece, or finish."""
        if self.pieces:
            self.consumer.write(self.pieces.pop(0))
        else:
            self.consumer.unregisterProducer()
            self.consumer.loseConnection()

    def stopProducing(self) -> None:
        """The connection is gone."""


def test_a_pull_producer_is_asked_whenever_the_buffer_is_empty(scene: Scene) -> None:
    """Closing waits until it has unregistered."""
    pieces = [bytes([number]) * 100_000 for number in range(20)]
    scene.a.transport.registerProducer(PullProducer(scene.a.transport, list(pieces)), False)
    scene.clock.run_for(1)
    assert scene.b.received == b"".join(pieces)
    assert (scene.a.reason, scene.b.reason) == (ConnectionDone, ConnectionDone)


def test_closing_flushes_first(scene: Scene) -> None:
    """More than all buffers hold arrives before the end; both ends see a clean one."""
    payload = bytes(4 * SOCKET_BUFFER_BYTES)
    scene.a.transport.write(payload)
    scene.a.transport.loseConnection()
    scene.clock.run_for(1)
    assert scene.b.received == payload
    assert (scene.a.reason, scene.b.reason) == (ConnectionDone, ConnectionDone)
    assert scene.ends() == ["end", "end"]


def test_a_half_close_lets_what_was_sent_back_arrive(scene: Scene) -> None:
    """The end that stopped writing still reads, until the other one closes."""
    scene.b.transport.write(b"answer")
    scene.a.transport.loseWriteConnection()
    scene.clock.run_for(1)
    assert scene.a.received == b"answer"
    assert (scene.a.reason, scene.b.reason) == (ConnectionDone, ConnectionDone)
    assert scene.ends() == ["end", "end"]


def test_aborting_drops_what_is_buffered() -> None:
    """The peer gets ConnectionLost, and nothing that was not sent before; twice is once."""
    seen = set()
    for seed in range(20):
        scene = Scene(seed)
        scene.b.transport.write(b"in time")
        scene.clock.run_for(0)
        scene.b.transport.write(b"not sent")
        scene.b.transport.abortConnection()
        scene.b.transport.abortConnection()
        scene.b.transport.write(b"too late")
        scene.clock.run_for(1)
        assert (scene.a.reason, scene.b.reason) == (ConnectionLost, ConnectionAborted)
        assert scene.ends()[0] == "reset"
        seen.add(scene.a.received)
    assert {b"", b"in time"} <= seen
    assert all(b"in time".startswith(received) for received in seen)


@pytest.mark.parametrize("how", ["loseConnection", "abortConnection"])
def test_a_paused_receiver_is_deaf_to_the_end(scene: Scene, how: str) -> None:
    """It neither gets bytes nor learns of FIN or RST until it resumes."""
    scene.b.transport.pauseProducing()
    scene.a.transport.write(b"last words")
    scene.clock.run_for(1)
    getattr(scene.a.transport, how)()
    scene.clock.run_for(3600)
    assert (scene.b.received, scene.b.reason) == (b"", None)
    scene.b.transport.resumeProducing()
    scene.clock.run_for(1)
    assert scene.b.received == b"last words"
    assert scene.b.reason is {
        "loseConnection": ConnectionDone,
        "abortConnection": ConnectionLost,
    }.get(how)


def test_a_paused_receiver_that_writes_learns_of_the_loss(scene: Scene) -> None:
    """Bytes for an end that is gone are answered by a RST, which the next write sees."""
    scene.b.transport.pauseProducing()
    scene.a.transport.loseConnection()
    scene.clock.run_for(1)
    scene.b.transport.write(b"anybody there?")
    scene.clock.run_for(1)
    assert scene.b.reason is None
    scene.b.transport.write(b"hello?")
    scene.clock.run_for(1)
    assert scene.b.reason is ConnectionLost


def test_a_sender_without_room_learns_of_a_reset(scene: Scene) -> None:
    """It waits for room that never comes, and reads nothing."""
    for peer in (scene.a, scene.b):
        peer.transport.pauseProducing()
    scene.a.transport.write(bytes(4 * SOCKET_BUFFER_BYTES))
    scene.clock.run_for(1)
    scene.b.transport.abortConnection()
    scene.clock.run_for(1)
    assert scene.a.reason is ConnectionLost


def test_closing_with_bytes_unread_resets() -> None:
    """As in TCP, a RST follows the answer and the FIN, and the peer may see it before them."""
    seen = set()
    for seed in range(20):
        scene = Scene(seed)
        scene.b.transport.pauseProducing()
        scene.a.transport.write(b"not read")
        scene.clock.run_for(1)
        scene.b.transport.write(b"answer")
        scene.b.transport.loseConnection()
        scene.clock.run_for(1)
        assert "reset" in {event.kind for event in scene.events}
        seen.add((scene.a.received, scene.a.reason))
    assert {(b"answer", ConnectionDone), (b"", ConnectionLost)} <= seen


def test_a_protocol_that_raises_loses_its_connection(scene: Scene, expected_failures: Any) -> None:
    """The error is logged and closes this connection only."""
    scene.b.raises = ZeroDivisionError()
    scene.a.transport.write(b"x")
    scene.clock.run_for(1)
    assert (scene.a.reason, scene.b.reason) == (ConnectionDone, ZeroDivisionError)
    assert len(expected_failures(ZeroDivisionError)) == 1
