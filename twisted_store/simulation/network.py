"""
A TCP network between named hosts in simulated time.

A host does what a reactor does for TCP, so that Twisted's own endpoints work on it.
"""

# ruff: noqa: N802, N803 (the names are those of Twisted's interfaces)

import errno
from collections.abc import Callable
from functools import partial
from itertools import count
from random import Random
from typing import Any, cast

from twisted.internet.address import IPv4Address
from twisted.internet.base import BaseConnector, ReactorBase
from twisted.internet.defer import Deferred, succeed
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint
from twisted.internet.error import CannotListenError, ConnectionRefusedError
from twisted.internet.interfaces import (
    IConnector,
    IListeningPort,
    IReactorTCP,
    IStreamClientEndpoint,
    IStreamServerEndpoint,
)
from twisted.internet.protocol import ClientFactory, ServerFactory
from twisted.web.client import URI
from twisted.web.error import SchemeNotSupported
from twisted.web.iweb import IAgentEndpointFactory
from zope.interface import implementer

from twisted_store.simulation.clock import SimulatedClock
from twisted_store.simulation.host_clock import HostClock
from twisted_store.simulation.process_disk import Holdings
from twisted_store.simulation.transport import ClientTransport, SimulatedTransport
from twisted_store.simulation.wire import NetworkEvent, Pipe, Wire, pipes

FIRST_FREE_PORT = 49152


class SimulatedNetwork:
    """
    The hosts, and who listens where.

    The same ``random`` and the same calls give the same events; ``observe`` is told of each.
    """

    def __init__(
        self,
        clock: SimulatedClock,
        random: Random,
        observe: Callable[[NetworkEvent], object] = lambda _: None,
    ) -> None:
        self.clock = clock
        self.wire = Wire(clock, random, observe)
        self.ports: dict[IPv4Address, ListeningPort] = {}
        self._hosts: dict[str, SimulatedHost] = {}

    def host(self, name: str) -> "SimulatedHost":
        """Return the host of this name, the same each time."""
        if name not in self._hosts:
            self._hosts[name] = SimulatedHost(self, name)
        return self._hosts[name]

    def forget(self, name: str) -> None:
        """Let the next host of this name be a new one."""
        del self._hosts[name]


@implementer(IReactorTCP, IAgentEndpointFactory)
class SimulatedHost:
    """
    A machine and the process on it: what listens there and what connects from there.

    It is the reactor for ``serverFromString``, and the factory for ``Agent.usingEndpointFactory``.
    """

    def __init__(self, network: SimulatedNetwork, name: str) -> None:
        self.name = name
        self.clock = HostClock(network.clock)
        self.holdings = Holdings()
        self._network = network
        self._transports: dict[SimulatedTransport, None] = {}
        self._free_ports = count(FIRST_FREE_PORT)

    def kill(self) -> None:
        """End all that runs here, as the operating system does: peers get a RST."""
        self.clock.die()
        for address in [*self._network.ports]:
            if address.host == self.name:
                del self._network.ports[address]
        for transport in self._transports:
            transport.vanish()
        self.holdings.end()
        self._network.forget(self.name)

    def keep(self, transport: SimulatedTransport) -> None:
        """Know of a connection for as long as it is there; nobody has one who is dead."""
        if self.clock.dead:
            transport.vanish()
        else:
            self._transports[transport] = None
            transport.on_gone = partial(self._transports.pop, transport, None)

    def listen_endpoint(self, port: int) -> IStreamServerEndpoint:
        """Where a factory can listen; port 0 stands for the next free one."""
        return TCP4ServerEndpoint(self, port)

    def connect_endpoint(self, host_name: str, port: int) -> IStreamClientEndpoint:
        """Where this host can connect to."""
        return TCP4ClientEndpoint(self, host_name, port)

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        """Where ``twisted.web.client.Agent`` connects to."""
        if uri.scheme != b"http":
            raise SchemeNotSupported(f"no {uri.scheme!r} in the simulation")
        return self.connect_endpoint(uri.host.decode("ascii"), uri.port)

    def listenTCP(
        self,
        port: int,
        factory: ServerFactory,
        backlog: int = 50,  # noqa: ARG002
        interface: str = "",  # noqa: ARG002
    ) -> IListeningPort:
        """Listen, on every interface; raises CannotListenError if the port is taken."""
        listening = ListeningPort(self._network, self, self._address(port), factory)
        listening.startListening()
        return listening

    def connectTCP(
        self,
        host: str,
        port: int,
        factory: ClientFactory[Any],
        timeout: float = 30,
        bindAddress: tuple[str, int] | None = None,  # noqa: ARG002
    ) -> IConnector:
        """Start to connect, from the next free port."""
        there, back = pipes(self._network.wire, self._address(0), IPv4Address("TCP", host, port))
        connector = Connector(self._network, self, there, back, factory, timeout)
        connector.connect()
        return connector

    def _address(self, port: int) -> IPv4Address:
        address = IPv4Address("TCP", self.name, port or next(self._free_ports))
        if port == 0 and address in self._network.ports:
            return self._address(0)
        return address


@implementer(IListeningPort)
class ListeningPort:
    """A factory that takes the connections to one address."""

    def __init__(
        self,
        network: SimulatedNetwork,
        host: SimulatedHost,
        address: IPv4Address,
        factory: ServerFactory,
    ) -> None:
        self._network = network
        self._host = host
        self._address = address
        self._factory = factory

    def startListening(self) -> None:
        """Take the address; raises CannotListenError if another has it."""
        if self._address in self._network.ports:
            in_use = OSError(errno.EADDRINUSE, "Address already in use")
            raise CannotListenError(self._address.host, self._address.port, in_use)
        self._network.ports[self._address] = self
        self._factory.doStart()

    def stopListening(self) -> Deferred[None]:
        """Give the address back; connections stay."""
        if self._network.ports.get(self._address) is self:
            del self._network.ports[self._address]
            self._factory.doStop()
        return succeed(None)

    def getHost(self) -> IPv4Address:
        """The address, with its real port number."""
        return self._address

    def accept(self, there: Pipe, back: Pipe) -> None:
        """Be the other end of a connection whose client sends by ``there``."""
        transport = SimulatedTransport(self._host.clock, outgoing=back, incoming=there)
        self._host.keep(transport)
        self._host.clock.soon(self._begin, transport)

    def _begin(self, transport: SimulatedTransport) -> None:
        transport.open(self._factory.buildProtocol(transport.getPeer()))


class Connector(BaseConnector):
    """One attempt to connect; the timeout and the calls to the factory are Twisted's own."""

    def __init__(
        self,
        network: SimulatedNetwork,
        host: SimulatedHost,
        there: Pipe,
        back: Pipe,
        factory: ClientFactory[Any],
        timeout_seconds: float,
    ) -> None:
        super().__init__(factory, timeout_seconds, cast(ReactorBase, host.clock))
        self._network = network
        self._host = host
        self._there = there
        self._back = back

    def getDestination(self) -> IPv4Address:
        """Where it goes."""
        return self._there.destination

    def _makeTransport(self) -> Any:
        client = ClientTransport(self._host.clock, self._there, self._back, self)
        if not self._host.clock.dead:
            self._host.keep(client)
            path = (self._there.source, self._there.destination)
            self._network.wire.later(path, self._reach, client)
        return client

    def _reach(self, client: ClientTransport) -> None:
        """The attempt is at its destination, which accepts or refuses; the answer goes back."""
        wire, port = self._network.wire, self._network.ports.get(self._there.destination)
        clock, path = self._host.clock, (self._there.destination, self._there.source)
        if port is None:
            wire.record("refuse", self._there.source, self._there.destination)
            wire.later(path, clock.soon, client.failIfNotConnected, ConnectionRefusedError())
        elif not client.disconnected:
            wire.record("connect", self._there.source, self._there.destination)
            client.accepted = True
            wire.later(path, clock.soon, client.establish)
            port.accept(self._there, self._back)
