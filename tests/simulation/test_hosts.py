"""Simulated hosts listen and connect as one reactor each, one for every machine."""

import gc
import weakref
from random import Random
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.error import (
    CannotListenError,
    ConnectingCancelledError,
    ConnectionDone,
    ConnectionLost,
)
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from twisted_store.simulation.clock import SimulatedClock
from twisted_store.simulation.network import FIRST_FREE_PORT, SimulatedNetwork
from twisted_store.simulation.wire import NetworkEvent


class Connections(Factory):
    """Builds protocols that keep why they ended; tells when it starts and stops."""

    def __init__(self) -> None:
        self.built = 0
        self.told: list[str] = []
        self.reasons: list[type[BaseException] | None] = []

    def startFactory(self) -> None:
        """The first use begins."""
        self.told.append("start")

    def stopFactory(self) -> None:
        """The last use is over."""
        self.told.append("stop")

    def buildProtocol(self, addr: object) -> Protocol | None:
        """One more connection."""
        self.built += 1
        return Connection(self)


class Connection(Protocol):
    """Tells its factory why it ended."""

    transport: Any

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Keep the reason."""
        self._connections.reasons.append(reason.type)


class Full(Connections):
    """Takes no connection."""

    def buildProtocol(self, addr: object) -> None:
        """Decline."""


class Scene:
    """Two hosts, `server` and `client`."""

    def __init__(self) -> None:
        self.clock = SimulatedClock()
        self.events: list[NetworkEvent] = []
        self.network = SimulatedNetwork(self.clock, Random(0), self.events.append)

    def listen(self, port: int, factory: Factory | None = None, name: str = "server") -> Any:
        """The port once it listens."""
        endpoint = self.network.host(name).listen_endpoint(port)
        return self.clock.run_until(endpoint.listen(factory or Factory()), 0)

    def connect(self, factory: Factory) -> Deferred[Any]:
        """Begin to connect to port 80."""
        return self.network.host("client").connect_endpoint("server", 80).connect(factory)


@pytest.fixture
def scene() -> Scene:
    """Two hosts that neither listen nor connect yet."""
    return Scene()


def test_a_port_is_listened_on_once(scene: Scene) -> None:
    """As with TCP; another host has ports of its own, and a stop makes it free again."""
    port = scene.listen(80)
    with pytest.raises(CannotListenError, match="server:80.*in use"):
        scene.listen(80)
    scene.listen(80, name="other")
    port.stopListening()
    assert scene.listen(80).getHost() == port.getHost()


def test_port_0_is_the_next_free_one(scene: Scene) -> None:
    """Numbers in use are left out."""
    ports = [scene.listen(number) for number in (0, FIRST_FREE_PORT + 1, 0)]
    assert [port.getHost().port - FIRST_FREE_PORT for port in ports] == [0, 1, 2]


def test_factories_are_told_when_they_start_and_stop(scene: Scene) -> None:
    """One that listens, for as long as it does; one that connects, for its connection."""
    server, client = Connections(), Connections()
    port = scene.listen(80, server)
    connection = scene.clock.run_until(scene.connect(client), 1)
    assert (server.told, client.told) == (["start"], ["start"])
    port.stopListening()
    port.stopListening()
    connection.transport.loseConnection()
    scene.clock.run_for(1)
    assert (server.told, client.told) == (["start", "stop"], ["start", "stop"])


def test_a_factory_may_decline_a_connection(scene: Scene) -> None:
    """The client is connected and then sees the end, as from a server with too many."""
    client = Connections()
    scene.listen(80, Full())
    assert isinstance(scene.clock.run_until(scene.connect(client), 1), Connection)
    scene.clock.run_for(1)
    assert client.reasons == [ConnectionDone]


@pytest.mark.parametrize("after_seconds", [0, 0.0011])
def test_an_attempt_to_connect_can_be_cancelled(scene: Scene, after_seconds: float) -> None:
    """Before it is there nobody hears of it; once accepted, the server sees it end."""
    server, client = Connections(), Connections()
    scene.listen(80, server)
    attempt = scene.connect(client)
    scene.clock.run_for(after_seconds)
    attempt.cancel()
    with pytest.raises(ConnectingCancelledError):
        scene.clock.run_until(attempt, 0)
    scene.clock.run_for(60)
    assert server.built == (after_seconds > 0)
    assert server.reasons == [ConnectionDone] * server.built
    assert (client.reasons, client.told) == ([], ["start", "stop"])


def test_a_paused_host_lets_in_and_hears_of_it_later(scene: Scene) -> None:
    """As an operating system does: the client is connected, nobody has built a protocol for it."""
    server, client = Connections(), Connections()
    scene.listen(80, server)
    host = scene.network.host("server")
    host.clock.pause()
    connection = scene.clock.run_until(scene.connect(client), 1)
    scene.clock.run_for(60)
    assert (isinstance(connection, Connection), server.built) == (True, 0)
    host.clock.resume()
    scene.clock.run_for(0)
    assert server.built == 1


def test_a_paused_host_learns_of_its_own_connections_later(scene: Scene) -> None:
    """In the order of time, so it is connected and does not give up."""
    scene.listen(80, Connections())
    host = scene.network.host("client")
    attempt = scene.connect(Connections())
    host.clock.pause()
    scene.clock.run_for(3600)
    assert not attempt.called
    host.clock.resume()
    assert isinstance(scene.clock.run_until(attempt, 0), Connection)


def test_a_killed_host_hangs_up_and_is_not_told(scene: Scene) -> None:
    """Only the other side hears of the end; a new host of the name can listen at once."""
    server, client = Connections(), Connections()
    port = scene.listen(80, server)
    scene.clock.run_until(scene.connect(client), 1)
    scene.network.host("server").kill()
    scene.clock.run_for(60)
    assert (client.reasons, server.reasons) == ([ConnectionLost], [])
    scene.listen(80, server)
    port.stopListening()
    assert isinstance(scene.clock.run_until(scene.connect(client), 1), Connection)


def test_whoever_holds_the_end_of_a_connection_does_not_hold_the_dead(scene: Scene) -> None:
    """Or what is left of killed processes would come to light at some later time."""
    scene.listen(80, Connections())
    connection = scene.clock.run_until(scene.connect(Connections()), 1)
    dead = weakref.ref(scene.network.host("server").clock)
    scene.network.host("server").kill()
    scene.clock.run_for(60)
    gc.collect()
    assert (connection.transport.disconnected, dead()) == (1, None)


def test_what_a_killed_host_had_begun_does_not_arrive(scene: Scene) -> None:
    """Neither an attempt to connect that was under way, nor one that its remains make."""
    server = Connections()
    scene.listen(80, server)
    host = scene.network.host("client")
    attempts = [scene.connect(Connections())]
    host.kill()
    attempts.append(host.connect_endpoint("server", 80).connect(Connections()))
    scene.clock.run_for(60)
    assert (server.built, [attempt.called for attempt in attempts]) == (0, [False, False])
    assert [event.kind for event in scene.events] == ["reset"]
