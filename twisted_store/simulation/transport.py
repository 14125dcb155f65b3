"""
The two ends of a simulated connection.

Buffering, producers and closing are those of Twisted's own ``FileDescriptor``; the pipes stand in
for the socket, and ``_turn`` for the reactor that watches it. So a transport that is paused and has
nothing to write is deaf to FIN and RST, as on a real reactor.
"""

# ruff: noqa: N802 (the names are those of Twisted's interfaces)

from collections.abc import Callable
from typing import cast

from twisted.internet.abstract import FileDescriptor
from twisted.internet.address import IPv4Address
from twisted.internet.base import BaseConnector
from twisted.internet.error import ConnectionAborted
from twisted.internet.interfaces import IProtocol, IReactorFDSet, IReactorTime, ITCPTransport
from twisted.internet.main import CONNECTION_LOST
from twisted.internet.protocol import Protocol
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from twisted_store.simulation.wire import Pipe


@implementer(ITCPTransport)
class SimulatedTransport(FileDescriptor):
    """One end of a connection; protocols are not told of half-closes, a FIN ends it."""

    log = Logger()

    def __init__(self, clock: IReactorTime, outgoing: Pipe, incoming: Pipe) -> None:
        super().__init__(cast(IReactorFDSet, clock))
        self._clock = clock
        self._outgoing = outgoing
        self._incoming = incoming
        self._reading = False
        self._writing = False
        self._aborted = False
        self._turn_is_due = False
        self.on_gone: Callable[[], object] = _nobody
        """Told when there is nothing left of the connection on this side."""
        self._no_delay = False
        self._keep_alive = False
        outgoing.on_room = self._wake
        incoming.on_arrival = self._wake

    def open(self, protocol: IProtocol | None) -> None:
        """Begin with ``protocol``; a factory that declines by None gets its connection closed."""
        self.connected = 1
        self.protocol = Protocol() if protocol is None else protocol
        if protocol is None:
            self.loseConnection()  # type: ignore[no-untyped-call]
        else:
            self.startReading()
            protocol.makeConnection(self)

    def getHost(self) -> IPv4Address:
        """Address of this end."""
        return self._outgoing.source

    def getPeer(self) -> IPv4Address:
        """Address of the other end."""
        return self._outgoing.destination

    def getTcpNoDelay(self) -> bool:
        """As set; the simulation never delays."""
        return self._no_delay

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Keep the setting."""
        self._no_delay = enabled

    def getTcpKeepAlive(self) -> bool:
        """As set; the simulation sends no probes."""
        return self._keep_alive

    def setTcpKeepAlive(self, enabled: bool) -> None:
        """Keep the setting."""
        self._keep_alive = enabled

    def abortConnection(self) -> None:
        """Drop what is buffered and reset the connection in the next turn."""
        self._aborted = True
        self.stopReading()
        self.stopWriting()
        self._clock.callLater(0, self.connectionLost, Failure(ConnectionAborted()))

    def connectionLost(self, reason: Failure) -> None:
        """Close both directions and tell the protocol."""
        if not self.disconnected:
            super().connectionLost(reason)  # type: ignore[no-untyped-call]
            self.on_gone()
            self._hang_up(aborted=reason.check(ConnectionAborted) is not None)
            self._report_loss(reason)

    def vanish(self) -> None:
        """The process is gone: the other end gets a RST, nobody here is told."""
        if not self.disconnected:
            self.disconnected = 1
            self._aborted = True
            self.stopReading()
            self.stopWriting()
            self._hang_up(aborted=True)
            self._outgoing.on_room = self._incoming.on_arrival = _nobody

    def startReading(self) -> None:
        """Deliver what arrives."""
        self._reading = not self._aborted
        self._wake()

    def stopReading(self) -> None:
        """Let what arrives lie."""
        self._reading = False

    def startWriting(self) -> None:
        """Send when there is room."""
        self._writing = not self._aborted
        self._wake()

    def stopWriting(self) -> None:
        """Send no more until there is something."""
        self._writing = False

    def doRead(self) -> Exception | None:
        """Deliver one segment, or return why there will be no other."""
        item = self._incoming.read()
        if not isinstance(item, bytes):
            return item
        self.protocol.dataReceived(item)
        return None

    def writeSomeData(self, data: bytes) -> int | BaseException:
        """Send what there is room for."""
        return CONNECTION_LOST if self._incoming.was_reset else self._outgoing.send(data)

    def _closeWriteConnection(self) -> None:
        self._outgoing.end()

    def _hang_up(self, *, aborted: bool = False) -> None:
        """A FIN behind what was sent, a RST instead when aborted, or both when bytes lie unread."""
        unread = self._incoming.close()
        if not aborted:
            self._outgoing.end()
        if aborted or unread:
            self._outgoing.reset()

    def _report_loss(self, reason: Failure) -> None:
        self.protocol.connectionLost(reason)

    def _readable(self) -> bool:
        return self._reading and bool(self._incoming.arrived)

    def _writable(self) -> bool:
        return self._writing and (self._outgoing.writable or self._incoming.was_reset)

    def _wake(self) -> None:
        if not self._turn_is_due and (self._readable() or self._writable()):
            self._turn_is_due = True
            self._clock.callLater(0, self._turn)

    def _turn(self) -> None:
        """Do what a reactor does with a descriptor that is ready: read, then write."""
        self._turn_is_due = False
        if self._readable():
            self._attempt(self.doRead)
        if self._writable():
            self._attempt(self.doWrite)
        self._wake()

    def _attempt(self, step: Callable[[], BaseException | None]) -> None:
        try:
            why = step()
        except Exception as error:
            self.log.failure("the connection to {peer} is closed", peer=self.getPeer())
            why = error
        if why is not None:
            self.connectionLost(Failure(why))


class ClientTransport(SimulatedTransport):
    """The end that connects, which ``BaseConnector`` tells when it gives up."""

    def __init__(
        self, clock: IReactorTime, outgoing: Pipe, incoming: Pipe, connector: BaseConnector
    ) -> None:
        super().__init__(clock, outgoing, incoming)
        self._connector = connector
        self.accepted = False
        """Whether the other end exists, which this one may not know yet."""

    def establish(self) -> None:
        """The news of the other end is here."""
        if not self.disconnected:
            self.open(self._connector.buildProtocol(self.getPeer()))

    def failIfNotConnected(self, reason: Exception) -> None:
        """The attempt was refused, cancelled or took too long."""
        if not self.connected and not self.disconnected:
            self.disconnected = 1
            self.on_gone()
            if self.accepted:
                self._hang_up()
            self._connector.connectionFailed(Failure(reason))

    def _report_loss(self, reason: Failure) -> None:
        super()._report_loss(reason)
        self._connector.connectionLost(reason)


def _nobody() -> None:
    """Stand for a host that does not ask."""
