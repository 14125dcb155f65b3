"""A site with routes to try it on, and a client that speaks to it in raw bytes, all in memory."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from random import Random
from typing import Any

from klein import Klein
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from twisted_store.errors import NoSpaceError
from twisted_store.web.answers import answer_errors, answer_json
from twisted_store.web.channel import StreamingChannel
from twisted_store.web.request import StreamingRequest
from twisted_store.web.site import StreamingSite
from twisted_store.web.writer import ResponseWriter

TIMEOUT_SECONDS = 60


@dataclass(frozen=True)
class Answer:
    """One response, its header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as JSON; its absence of other content is checked by the parser."""
        assert self.headers["content-type"] == "application/json"
        return json.loads(self.body)


class Routes:
    """Handlers for every way to treat a request; what happened to them is kept in lists."""

    app = Klein()
    answer_errors(app)

    def __init__(self, clock: IReactorTime) -> None:
        self.clock = clock
        self.started: list[StreamingRequest] = []
        self.pieces: list[bytes] = []
        self.failures: list[Exception] = []
        self.gate: Deferred[None] = Deferred()
        self.error: Exception = NoSpaceError("full")
        self.answer_bytes = 0
        self.short_by_bytes = 0

    @app.route("/files/NAME", methods=["PUT"])
    async def put(self, request: StreamingRequest) -> None:
        """Read all of the body."""
        self.started.append(request)
        try:
            async for piece in _pieces(request):
                self.pieces.append(piece)
        except Exception as error:
            self.failures.append(error)
            raise
        size_bytes = sum(map(len, self.pieces))
        answer_json(request, 201, {"size_bytes": size_bytes, "tail": request.tail.hex()})

    @app.route("/files/NAME", methods=["GET"])
    async def get(self, request: StreamingRequest) -> None:
        """Send `answer_bytes` bytes in writes of 100,000."""
        self.started.append(request)
        try:
            await self._send(request)
        except Exception as error:
            self.failures.append(error)
            raise

    async def _send(self, request: StreamingRequest) -> None:
        writer = ResponseWriter(request, self.answer_bytes, self.clock, TIMEOUT_SECONDS)
        sent_bytes = self.answer_bytes - self.short_by_bytes
        for start in range(0, sent_bytes, 100_000):
            size_bytes = min(100_000, sent_bytes - start)
            await writer.write([b"a", memoryview(b"b" * (size_bytes - 1))])
        writer.finish()

    @app.route("/waits", methods=["PUT", "GET"])
    async def wait(self, request: StreamingRequest) -> None:
        """Do not read, and answer when the gate opens."""
        self.started.append(request)
        try:
            await self.gate
        except CancelledError as error:
            self.failures.append(error)
            raise
        answer_json(request, 200, "waited")

    @app.route("/raises", methods=["PUT", "GET", "HEAD"])
    async def fail(self, request: StreamingRequest) -> None:
        """Fail before anything is read or written, whatever had been meant to be sent."""
        request.setHeader("ETag", '"other"')
        request.setHeader("Content-Length", "12345")
        raise self.error

    @app.route("/breaks", methods=["GET"])
    async def fail_late(self, request: StreamingRequest) -> None:
        """Fail after the first byte."""
        request.setHeader("Content-Length", "10")
        request.write(b"first")
        raise self.error

    @app.route("/hello", methods=["GET"])
    async def hello(self, request: StreamingRequest) -> None:
        """Answer at once."""
        self.started.append(request)
        answer_json(request, 200, {"hello": request.parameters()})

    @app.route("/directory/", methods=["GET"])
    def directory(self, request: StreamingRequest) -> None:
        """A path with a slash at its end, for which werkzeug likes to redirect."""
        answer_json(request, 200, "directory")


async def _pieces(request: StreamingRequest) -> AsyncIterator[bytes]:
    if request.body is not None:
        async for piece in request.body:
            yield piece


class Wire:
    """One connection to a site of its own."""

    def __init__(self, **site_options: Any) -> None:
        self.clock = Clock()
        self.routes = Routes(self.clock)
        resource = self.routes.app.resource()
        self.site = StreamingSite(resource, self.clock, Random(1), TIMEOUT_SECONDS, **site_options)
        self.channel, self.transport = self.connect()

    def connect(self) -> tuple[StreamingChannel, StringTransport]:
        """Open another connection to the same site."""
        channel = self.site.buildProtocol(None)
        transport = StringTransport()
        channel.makeConnection(transport)
        return channel, transport

    def send(self, *segments: bytes) -> None:
        """Let the server receive these segments, one after the other."""
        for segment in segments:
            self.channel.dataReceived(segment)

    def hang_up(self) -> None:
        """Let the client close the connection, as a FIN tells."""
        self.channel.connectionLost(Failure(ConnectionDone()))

    @property
    def received(self) -> bytes:
        """All that the server sent."""
        raw: bytes = self.transport.value()
        return raw

    def aborted(self) -> bool:
        """Whether the server broke the connection off."""
        return bool(self.transport.disconnected)

    def closing(self) -> bool:
        """Whether the server ends the connection."""
        return bool(self.transport.disconnecting)

    def paused(self) -> bool:
        """Whether the server stopped reading."""
        return bool(self.transport.producerState == "paused")

    def answers(self) -> list[Answer]:
        """What the server sent, as whole responses to requests other than HEAD."""
        return parse_answers(self.received)


def parse_answers(raw: bytes) -> list[Answer]:
    """Take apart responses that all declare their length; 1xx and 304 have none."""
    answers = []
    while raw:
        head, blank, raw = raw.partition(b"\r\n\r\n")
        assert blank, f"no whole header section: {head!r}"
        status_line, *lines = head.decode("latin-1").split("\r\n")
        pairs = [line.split(": ", 1) for line in lines]
        headers = {name.lower(): value for name, value in pairs}
        assert len(headers) == len(pairs), f"a header twice: {head!r}"
        size_bytes = int(headers.get("content-length", 0))
        assert len(raw) >= size_bytes, f"a short body after {head!r}"
        answers.append(Answer(int(status_line.split(" ")[1]), headers, raw[:size_bytes]))
        raw = raw[size_bytes:]
    return answers


def head(request_line: str, *headers: str) -> bytes:
    """A header section with a Host."""
    lines = [f"{request_line} HTTP/1.1", "Host: store", *headers, "", ""]
    return "\r\n".join(lines).encode("latin-1")
