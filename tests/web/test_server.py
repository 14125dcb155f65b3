"""A site at its addresses, on a simulated network."""

from functools import partial
from random import Random

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import IListeningPort, IStreamServerEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.logger import capturedLogs
from zope.interface import implementer

from tests.web.wire import Routes, head
from twisted_store.errors import StartupError
from twisted_store.simulation.clock import SimulatedClock
from twisted_store.simulation.network import SimulatedNetwork
from twisted_store.web.server import STOP_SECONDS, Server
from twisted_store.web.site import StreamingSite


class World:
    """Two hosts, and routes to serve on the first."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.clock = SimulatedClock()
        self.network = SimulatedNetwork(self.clock, Random(1))
        self.routes = Routes(self.clock)
        self.site = StreamingSite(self.routes.app.resource(), self.clock, Random(1))
        self._host = host
        self.server = self.make_server("tcp:80")

    def make_server(self, *descriptions: str, objection: str = "") -> Server:
        """A server at these endpoints."""
        host = self.network.host(self._host)
        listen = partial(serverFromString, host)
        return Server(self.site, descriptions, listen, self.clock, objection)

    def dial(self) -> "Client":
        """A connection to port 80."""
        client = Client(self.clock)
        endpoint = self.network.host("127.0.0.9").connect_endpoint(self._host, 80)
        self.clock.run_until(endpoint.connect(Factory.forProtocol(lambda: client)), 10)
        return client

    def stop(self) -> float:
        """How long it takes to stop."""
        before = self.clock.seconds()
        self.clock.run_until(Deferred.fromCoroutine(self.server.stop()), 60)
        return self.clock.seconds() - before


class Client(Protocol):
    """Keeps what comes."""

    def __init__(self, clock: SimulatedClock) -> None:
        self.received = b""
        self.closed = False
        self._clock = clock

    def say(self, raw: bytes) -> bytes:
        """Send, and give all that came until a little later."""
        assert self.transport is not None
        self.transport.write(raw)
        self._clock.run_for(0.1)
        return self.received

    def dataReceived(self, data: bytes) -> None:
        """Keep it."""
        self.received += data

    def connectionLost(self, reason: object = None) -> None:
        """The server closed."""
        self.closed = True


def test_it_listens_where_it_was_told_to() -> None:
    """And says the URLs, with the ports that the system picked."""
    world = World()
    server = world.make_server("tcp:80", "tcp:0")
    first, second = server.start()
    assert first == "http://127.0.0.1:80"
    assert second.startswith("http://127.0.0.1:")
    assert second != "http://127.0.0.1:0"
    assert b"200 OK" in world.dial().say(head("GET /hello"))


def test_a_port_in_use_is_a_reason_not_to_start() -> None:
    """With the address, for the operator."""
    world = World()
    world.server.start()
    with pytest.raises(StartupError, match="Cannot listen on tcp:80: .*in use"):
        world.make_server("tcp:80").start()


def test_an_endpoint_that_takes_its_time_is_a_reason_too() -> None:
    """Nobody waits at start."""
    world = World()

    server = Server(world.site, ["tcp:80"], lambda _: Slow(), world.clock, "")
    with pytest.raises(StartupError, match="takes too long"):
        server.start()


@implementer(IStreamServerEndpoint)
class Slow:
    """Never listens."""

    def listen(self, protocolFactory: object) -> "Deferred[IListeningPort]":
        """Take the factory."""
        return Deferred()


def test_of_several_endpoints_all_are_served_or_none() -> None:
    """The ports that were taken already are free again."""
    world = World()
    with pytest.raises(StartupError, match="tcp:80"):
        world.make_server("tcp:81", "tcp:80", "tcp:80").start()
    assert len(world.make_server("tcp:80", "tcp:81").start()) == 2


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::", "2001:db8::1"])
def test_other_machines_are_served_only_without_an_objection(host: str) -> None:
    """Which the operator reads, and the endpoint that it is about."""
    with pytest.raises(StartupError, match="tcp:80 serves other machines, and may not"):
        World(host).make_server("tcp:80", objection="and may not.").start()
    assert len(World(host).make_server("tcp:80").start()) == 1


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:80"),
        ("127.9.9.9", "http://127.9.9.9:80"),
        ("::1", "http://[::1]:80"),
    ],
)
def test_this_machine_is_always_served(host: str, url: str) -> None:
    """All of 127/8 is loopback."""
    assert World(host).make_server("tcp:80", objection="and may not.").start() == [url]


def test_idle_connections_end_at_once() -> None:
    """Nothing is under way on them."""
    world = World()
    world.server.start()
    client = world.dial()
    client.say(head("GET /hello"))
    assert world.stop() < 1
    assert client.closed


def test_a_request_under_way_may_end() -> None:
    """Its connection ends with it, which its answer says; no other begins."""
    world = World()
    world.server.start()
    client = world.dial()
    client.say(head("GET /waits"))
    stopping = Deferred.fromCoroutine(world.server.stop())
    world.clock.run_for(1)
    assert (stopping.called, client.received) == (False, b"")
    world.routes.gate.callback(None)
    world.clock.run_for(0.5)
    assert (stopping.called, client.closed) == (True, True)
    assert b"200 OK" in client.received
    assert b"Connection: close" in client.received


def test_a_request_that_does_not_end_is_broken_off() -> None:
    """After a while, and the operator is told."""
    world = World()
    world.server.start()
    client = world.dial()
    client.say(head("GET /waits"))
    with capturedLogs() as events:
        assert STOP_SECONDS <= world.stop() < STOP_SECONDS + 1
    world.clock.run_for(1)
    assert (client.received, client.closed) == (b"", True)
    assert [type(each).__name__ for each in world.routes.failures] == ["CancelledError"]
    assert any("broken off" in str(event["log_format"]) for event in events)


def test_nobody_is_taken_after_the_stop() -> None:
    """The port is free."""
    world = World()
    world.server.start()
    world.stop()
    assert world.make_server("tcp:80").start() == ["http://127.0.0.1:80"]
