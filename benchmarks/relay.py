"""
The least that a relay in Twisted can be: client -> relay -> 5 sinks, over TCP.

The transports and their buffers are stock, producers and consumers hold back whoever is too fast.
``PUT name size`` and the body is answered by ``OK 0``, ``GET name`` by ``OK size`` and the body.
A sink keeps its chunk in a file, in the page cache. Nothing is checked, synced, or made good after
an error: then connections end.

``relay.py sink DIRECTORY`` and ``relay.py relay PORT...`` print the port that they listen on.
"""

import os
import sys
from collections import deque
from collections.abc import Iterator
from functools import partial
from typing import Any

from twisted.internet import reactor as installed_reactor
from twisted.internet.defer import gatherResults
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.interfaces import IPushProducer
from twisted.internet.protocol import Factory
from twisted.internet.tcp import Connection
from twisted.protocols.basic import FileSender, LineReceiver
from twisted.python.failure import Failure
from zope.interface import implementer

HOST = "127.0.0.1"
SINKS = 5
UNIT_BYTES = 2**20
FileSender.CHUNK_SIZE = 2**18  # its 16 KiB would hobble the sinks

reactor: Any = installed_reactor


def runs(size_bytes: int) -> Iterator[tuple[int, int]]:
    """Sink and length of each run of bytes: units of 1 MiB in turn, the last stripe in fifths."""
    for offset in range(0, size_bytes, SINKS * UNIT_BYTES):
        fifth, rest = divmod(min(SINKS * UNIT_BYTES, size_bytes - offset), SINKS)
        for sink in range(SINKS):
            yield sink, fifth + (sink < rest)


class Line(LineReceiver):
    """Lines, each perhaps followed by a body of which ``left`` bytes are still to come."""

    delimiter = b"\n"
    transport: Connection
    left = 0

    def connectionMade(self) -> None:
        """Do as twisted.web does: without this the last bytes of a file wait for 40 ms."""
        self.transport.setTcpNoDelay(True)

    def expect(self, size_bytes: int) -> None:
        """Take what follows for a body of this size."""
        self.left = size_bytes
        if size_bytes:
            LineReceiver.setRawMode(self)

    def took(self, size_bytes: int) -> None:
        """So much of the body was taken; a line follows the last of it."""
        self.left -= size_bytes
        if not self.left:
            LineReceiver.setLineMode(self)


class Sink(Line):
    """What stands for a node: writes to files and reads from them."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._file = -1

    def lineReceived(self, line: bytes) -> None:
        """Begin an operation."""
        operation, name, *size = line.decode().split()
        path = os.path.join(self._directory, name)
        if operation == "PUT":
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
            self.expect(int(size[0]))
            if not self.left:
                self._finish()
        else:
            file = open(path, "rb", buffering=0)  # noqa: SIM115
            self.transport.write(b"OK %d\n" % os.fstat(file.fileno()).st_size)
            sent = FileSender().beginFileTransfer(file, self.transport)
            sent.addBoth(lambda _: file.close())

    def rawDataReceived(self, data: bytes) -> None:
        """Write a piece of a body."""
        self.took(os.write(self._file, data))
        if not self.left:
            self._finish()

    def _finish(self) -> None:
        os.close(self._file)
        self.transport.write(b"OK 0\n")


class Link(Line):
    """The relay's connection to one sink on behalf of one client."""

    def __init__(self, client: "Client") -> None:
        self._client = client
        self._pieces: deque[bytes] = deque()
        self._held_bytes = 0

    def connectionMade(self) -> None:
        """Let the client wait when this link is full."""
        super().connectionMade()
        self.transport.registerProducer(self._client.transport, True)

    def lineReceived(self, line: bytes) -> None:
        """Take the size of the chunk."""
        self.expect(int(line.split()[1]))
        self._client.answered(self.left)

    def rawDataReceived(self, data: bytes) -> None:
        """Hold a piece of a chunk until its turn comes; about a unit at most."""
        self._pieces.append(data)
        self._hold(len(data))
        self.took(len(data))
        self._client.forward()

    def take(self, size_bytes_max: int) -> bytes:
        """The next bytes of the chunk, nothing if they are not here yet."""
        piece = self._pieces.popleft() if self._pieces else b""
        if len(piece) > size_bytes_max:
            self._pieces.appendleft(piece[size_bytes_max:])
            piece = piece[:size_bytes_max]
        self._hold(-len(piece))
        return piece

    def _hold(self, more_bytes: int) -> None:
        was_full = self._held_bytes >= UNIT_BYTES
        self._held_bytes += more_bytes
        is_full = self._held_bytes >= UNIT_BYTES
        if is_full > was_full:
            self.transport.pauseProducing()
        elif is_full < was_full:
            self.transport.resumeProducing()

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override] # noqa: ARG002
        """Without one of its links a client cannot be served."""
        self._client.transport.abortConnection()


@implementer(IPushProducer)
class Client(Line):
    """The relay's connection to one client; as a producer, what it sends to it."""

    def __init__(self, sinks: list[TCP4ClientEndpoint]) -> None:
        self._sinks = sinks
        self._links: list[Link] = []
        self._runs: Iterator[tuple[int, int]] = iter(())
        self._sink = self._run_left = 0
        self._answers: list[int] = []
        self._sending = False

    def connectionMade(self) -> None:
        """Connect to the sinks first."""
        super().connectionMade()
        self.transport.pauseProducing()
        linked = gatherResults([connectProtocol(sink, Link(self)) for sink in self._sinks])
        linked.addCallbacks(self._linked, lambda _: self.transport.abortConnection())

    def _linked(self, links: list[Link]) -> None:
        self._links = links
        self.transport.resumeProducing()

    def lineReceived(self, line: bytes) -> None:
        """Pass an operation on to all sinks."""
        operation, name, *size = line.split()
        size_bytes = int(size[0]) if size else 0
        chunks = [0] * SINKS
        for sink, run_bytes in runs(size_bytes):
            chunks[sink] += run_bytes
        for link, chunk_bytes in zip(self._links, chunks, strict=True):
            link.transport.write(b"%s %s %d\n" % (operation, name, chunk_bytes))
        self._answers = []
        self._begin(size_bytes)
        self.expect(size_bytes)

    def rawDataReceived(self, data: bytes) -> None:
        """Cut a piece of a body into runs and pass them on."""
        self.took(len(data))
        while data:
            piece, data = data[: self._run_left], data[self._run_left :]
            self._links[self._sink].transport.write(piece)
            self._advance(len(piece))

    def answered(self, chunk_bytes: int) -> None:
        """Answer, once all sinks have, with all that they will send."""
        self._answers.append(chunk_bytes)
        if len(self._answers) == SINKS:
            size_bytes = sum(self._answers)
            self.transport.write(b"OK %d\n" % size_bytes)
            if size_bytes:
                self._begin(size_bytes)
                self._sending = True
                self.transport.registerProducer(self, True)
                self.forward()

    def forward(self) -> None:
        """Send what the links hold, in the order of the runs."""
        while self._sending and (piece := self._links[self._sink].take(self._run_left)):
            self.transport.write(piece)
            self._advance(len(piece))
        if self._sending and not self._run_left:
            self._sending = False
            self.transport.unregisterProducer()

    def _begin(self, size_bytes: int) -> None:
        self._runs = runs(size_bytes)
        self._advance(0)

    def _advance(self, moved_bytes: int) -> None:
        self._run_left -= moved_bytes
        while not self._run_left and (run := next(self._runs, None)):
            self._sink, self._run_left = run

    def pauseProducing(self) -> None:
        """The client does not take more for now."""
        self._sending = False

    def resumeProducing(self) -> None:
        """It does again."""
        self._sending = True
        self.forward()

    def stopProducing(self) -> None:
        """It never will."""
        self._sending = False

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override] # noqa: ARG002
        """Its links have no other use."""
        for link in self._links:
            link.transport.abortConnection()


def main(role: str, arguments: list[str]) -> None:
    """Listen and serve until killed."""
    factory = Factory()
    if role == "relay":
        sinks = [TCP4ClientEndpoint(reactor, HOST, int(port)) for port in arguments]
        factory.protocol = partial(Client, sinks)
    else:
        factory.protocol = partial(Sink, *arguments)
    print(reactor.listenTCP(0, factory, interface=HOST).getHost().port, flush=True)
    reactor.run()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
