"""Twisted's web server and treq run unchanged between simulated hosts, and the seed decides all."""

from dataclasses import dataclass, field
from random import Random
from typing import Any

import pytest
from treq.client import HTTPClient
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.interfaces import IConsumer, IListeningPort
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock, deferLater
from twisted.python.failure import Failure
from twisted.web.client import Agent, HTTPConnectionPool, RequestGenerationFailed, ResponseFailed
from twisted.web.error import SchemeNotSupported
from twisted.web.iweb import IBodyProducer
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site
from zope.interface import implementer

from twisted_store.simulation.clock import SimulatedClock
from twisted_store.simulation.network import SimulatedNetwork
from twisted_store.simulation.wire import SOCKET_BUFFER_BYTES, NetworkEvent

PIECE_BYTES = 50_000
USER_BUFFER_BYTES = 64 * 1024
URL = "http://server:8080/"


class SlowRequest(Request):
    """Rests a while after each piece of the body, which it counts instead of keeping it."""

    channel: Any
    transport: Any

    def handleContentChunk(self, data: bytes) -> None:
        """Count, pause, and go on later."""
        site = self.channel.site
        site.received_bytes += len(data)
        self.transport.pauseProducing()
        site.reactor.callLater(0.01, self.transport.resumeProducing)


class CountingSite(Site):
    """Counts the bytes of all bodies, and keeps why requests ended early."""

    def __init__(self, resource: Resource, clock: Clock, request: type[Request]) -> None:
        super().__init__(  # type: ignore[no-untyped-call]
            resource, requestFactory=request, reactor=clock, timeout=600
        )
        self.received_bytes = 0
        self.ended_early: list[Failure] = []


class Answers(Resource):
    """GET gives a long answer, or breaks off in it; PUT tells that the body is complete."""

    isLeaf = True
    body = Random(0).randbytes(300_000)

    def render_GET(self, request: Request) -> bytes:
        """Answer with the whole body."""
        return self.body

    def render_PUT(self, request: Request) -> bytes:
        """Answer after the body."""
        return b"stored"

    def render_POST(self, request: Any) -> int:
        """Begin an answer; the path says whether the server then aborts or waits for ever."""
        request.notifyFinish().addErrback(request.site.ended_early.append)
        request.setHeader(b"Content-Length", str(len(self.body)).encode())
        request.write(self.body[:1000])
        if request.path == b"/abort":
            deferLater(request.site.reactor, 1, request.transport.abortConnection)
        return NOT_DONE_YET


@implementer(IBodyProducer)
class Pieces:
    """A body of equal pieces, which are written as fast as the connection takes them."""

    def __init__(self, size_bytes: int) -> None:
        self.length = size_bytes
        self.sent_bytes = 0
        self._consumer: Any = None
        self._paused = False
        self._done: Deferred[None] = Deferred()

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        """Begin to write."""
        self._consumer = consumer
        self.resumeProducing()
        return self._done

    def resumeProducing(self) -> None:
        """Write until paused or done."""
        self._paused = False
        while not self._paused and self.sent_bytes < self.length:
            self.sent_bytes += PIECE_BYTES
            self._consumer.write(bytes(PIECE_BYTES))
        if self.sent_bytes >= self.length and not self._done.called:
            self._done.callback(None)

    def pauseProducing(self) -> None:
        """Write no more for now."""
        self._paused = True

    def stopProducing(self) -> None:
        """Write no more at all."""
        self._paused = True
        self.length = self.sent_bytes


@dataclass
class Scene:
    """A web server and a client on two hosts; request after request takes simulated time only."""

    seed: int = 0
    request: type[Request] = Request
    persistent: bool = True
    events: list[NetworkEvent] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Start the server."""
        self.clock = SimulatedClock()
        self.network = SimulatedNetwork(self.clock, Random(self.seed), self.events.append)
        answers = Answers()  # type: ignore[no-untyped-call]
        self.site = CountingSite(answers, self.clock, self.request)
        server = serverFromString(self.network.host("server"), "tcp:8080:interface=127.0.0.1")
        self.port: IListeningPort = self.clock.run_until(server.listen(self.site), 0)
        self.pool = HTTPConnectionPool(self.clock, persistent=self.persistent)
        agent = Agent.usingEndpointFactory(self.clock, self.network.host("client"), pool=self.pool)
        self.client = HTTPClient(agent)

    def get(self, url: str = URL) -> "Deferred[bytes]":
        """The body of an answer."""
        return Deferred.fromCoroutine(self._body("GET", url))

    async def _body(self, method: str, url: str, data: Any = None) -> bytes:
        response = await self.client.request(method, url, data=data, unbuffered=True)
        return await response.content()

    def put(self, body: Pieces) -> "Deferred[bytes]":
        """Send a body; the body of the answer."""
        return Deferred.fromCoroutine(self._body("PUT", URL, body))

    def post(self, url: str) -> "Deferred[bytes]":
        """Ask for an answer that breaks off."""
        return Deferred.fromCoroutine(self._body("POST", url))

    def kinds(self) -> list[str]:
        """What happened, bytes left out."""
        return [event.kind for event in self.events if event.kind != "data"]


def test_get_answers_in_simulated_time() -> None:
    """The whole body comes, a few latencies later."""
    scene = Scene()
    assert scene.clock.run_until(scene.get(), 1) == Answers.body
    assert 0.002 < scene.clock.seconds() < 0.1


def test_a_persistent_pool_connects_once() -> None:
    """Requests one after another share a connection, which the pool's own clock closes at last."""
    scene = Scene()
    for _ in range(3):
        scene.clock.run_until(scene.get(), 1)
    assert scene.kinds() == ["connect"]
    scene.clock.run_for(scene.pool.cachedConnectionTimeout + 1)
    assert scene.kinds() == ["connect", "end", "end"]


def test_without_persistence_each_request_connects() -> None:
    """Both sides close after the answer."""
    scene = Scene(persistent=False)
    for _ in range(3):
        scene.clock.run_until(scene.get(), 1)
    scene.clock.run_for(1)
    assert sorted(scene.kinds()) == ["connect"] * 3 + ["end"] * 6


def test_a_long_upload_goes_at_the_speed_of_its_reader() -> None:
    """What was sent and is not yet read stays below the buffers of the connection."""
    scene = Scene(request=SlowRequest)
    body = Pieces(5_000_000)
    gaps: list[int] = []

    def measure() -> None:
        gaps.append(body.sent_bytes - scene.site.received_bytes)
        scene.clock.callLater(0.001, measure)

    measure()
    assert scene.clock.run_until(scene.put(body), 60) == b"stored"
    assert scene.site.received_bytes == body.sent_bytes == 5_000_000
    assert scene.clock.seconds() > 0.5
    assert max(gaps) > SOCKET_BUFFER_BYTES // 2
    assert max(gaps) <= SOCKET_BUFFER_BYTES + USER_BUFFER_BYTES + PIECE_BYTES


def test_a_connection_to_nobody_is_refused() -> None:
    """Unknown hosts, unused ports and ports that no longer listen alike."""
    scene = Scene()
    for url in ("http://nobody:8080/", "http://server:8081/"):
        with pytest.raises(ConnectionRefusedError):
            scene.clock.run_until(scene.get(url), 1)
    scene.port.stopListening()
    with pytest.raises(ConnectionRefusedError):
        scene.clock.run_until(scene.get(), 1)
    assert scene.kinds() == ["refuse"] * 3


def test_https_is_not_simulated() -> None:
    """It fails instead of going anywhere."""
    scene = Scene()
    with pytest.raises(SchemeNotSupported):
        scene.clock.run_until(scene.get("https://server:8080/"), 1)


def test_an_answer_that_the_server_aborts_fails_on_both_sides() -> None:
    """The client has had a 200 and some bytes, and does not take them for the whole."""
    scene = Scene()
    with pytest.raises(ResponseFailed):
        scene.clock.run_until(scene.post(f"{URL}abort"), 5)
    scene.clock.run_for(1)
    assert len(scene.site.ended_early) == 1
    assert scene.kinds() == ["connect", "reset", "end"]


class Leaver(Protocol):
    """Takes one piece of a body and goes."""

    def dataReceived(self, data: bytes) -> None:
        """Close."""
        assert self.transport is not None
        self.transport.loseConnection()


def test_an_answer_that_the_client_leaves_ends_at_the_server() -> None:
    """Closing while an answer is under way reaches the request."""
    scene = Scene()
    answer = scene.clock.run_until(scene.client.post(f"{URL}wait", unbuffered=True), 1)
    answer.deliverBody(Leaver())
    scene.clock.run_for(1)
    assert len(scene.site.ended_early) == 1


def test_an_upload_that_the_client_cancels_ends_at_the_server() -> None:
    """The server, paused or not, does not take a short body for a whole one."""
    scene = Scene(request=SlowRequest)
    upload = scene.put(Pieces(5_000_000))
    scene.clock.run_for(0.1)
    upload.cancel()
    with pytest.raises(RequestGenerationFailed):
        scene.clock.run_until(upload, 1)
    scene.clock.run_for(1)
    assert 0 < scene.site.received_bytes < 5_000_000
    assert "reset" in scene.kinds()


def trace(seed: int) -> list[NetworkEvent]:
    """All that arrives anywhere while a few requests run at once."""
    scene = Scene(seed=seed)
    calls = [scene.get(), scene.put(Pieces(500_000)), scene.get(), scene.put(Pieces(100_000))]
    scene.clock.run_until(gatherResults(calls), 60)
    return scene.events


def test_the_seed_decides_every_event() -> None:
    """The same one repeats each event to the byte and the microsecond, another does not."""
    assert trace(1) == trace(1)
    assert trace(1) != trace(2)
