"""
A request whose body streams while its handler runs.

Twisted has no public way to route a request before its body is complete. This file and
``channel.py`` are the only ones that use private names of twisted.web (``_path``, ``_cleanup`` and
their like); the tests hold them to the bytes on the wire.
"""

# mypy: allow-untyped-calls

import re
from io import BytesIO
from typing import TYPE_CHECKING, AnyStr

from twisted.internet.interfaces import ITCPTransport
from twisted.python.failure import Failure
from twisted.web.http_headers import Headers
from twisted.web.iweb import INonQueuedRequestFactory
from twisted.web.server import Request
from zope.interface import provider

from twisted_store.errors import BadRequestError, StoreError
from twisted_store.streams import ByteStream
from twisted_store.web.answers import answer_failure
from twisted_store.web.dates import format_date
from twisted_store.web.targets import parse_query, split_target

if TYPE_CHECKING:
    from twisted_store.web.channel import StreamingChannel
    from twisted_store.web.site import StreamingSite
    from twisted_store.web.writer import ResponseWriter

QUEUE_HIGH_BYTES = 512 * 1024
QUEUE_LOW_BYTES = 128 * 1024
"""Between these the client is paused; one read of the socket may come on top."""

DRAIN_BYTES_MAX = 1024 * 1024
"""How much of a body is read to its end after an early answer, instead of closing."""

DRAIN_SECONDS = 10
"""How long such a client may take."""

LINGER_SECONDS = 1
"""How long a client may go on sending what can no longer be read as a request."""

_KEPT_HEADERS = (b"Connection", b"Date", b"X-Request-Id")
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._~-]{1,64}")
_HOST = re.compile(rb"[A-Za-z0-9._~%!$&'()*+,;=:\[\]-]*")


@provider(INonQueuedRequestFactory)
class StreamingRequest(Request):
    """
    A request that is routed as soon as its headers are in.

    ``body`` iterates over the bytes as they come, and is None when there are none;
    ``declared_bytes`` is its Content-Length, None for a chunked one. ``tail`` is the decoded rest
    of a path like ``/files/NAME``. An answer may come before the body ends: the rest of the body is
    then read and dropped, up to ``DRAIN_BYTES_MAX``.
    """

    channel: "StreamingChannel"
    transport: ITCPTransport
    site: "StreamingSite"
    defaultContentType = None  # noqa: N815

    body: ByteStream | None = None
    writer: "ResponseWriter | None" = None
    declared_bytes: int | None = 0
    tail = b""
    query = b""
    request_id = ""

    _body_received = False
    _body_broken = False
    _received_bytes = 0
    _drain_until_bytes = 0
    _expects_continue = False

    @property
    def stalled(self) -> bool:
        """Whether it is the client who keeps the body from going on."""
        return (
            self.body is not None
            and not (self._body_received or self._body_broken or self._disconnected)
            and not self.startedWriting
            and not self.body.paused
        )

    def parameters(self) -> dict[str, str]:
        """The query parameters; raises BadRequestError as `parse_query` does."""
        return parse_query(self.query)

    def getHeader(self, key: AnyStr) -> AnyStr | None:  # noqa: N802
        """The last line of a header; text is Latin-1, so that any bytes of a client are some."""
        if isinstance(key, bytes):
            return super().getHeader(key)
        value = super().getHeader(key.encode("latin-1"))
        return None if value is None else value.decode("latin-1")

    def abort(self) -> None:
        """End the connection at once, whatever is under way on it."""
        self.transport.abortConnection()

    def forget_headers(self) -> None:
        """Drop the headers set for an answer that turned out to be another one."""
        kept = [(name, self.responseHeaders.getRawHeaders(name)) for name in _KEPT_HEADERS]
        self.responseHeaders = Headers({name: lines for name, lines in kept if lines is not None})

    def break_body(self, error: StoreError) -> None:
        """The rest of the body is lost: who reads it gets ``error``, and its answer is the last."""
        assert self.body is not None
        self._body_broken = True
        self.channel.ignore_input()
        self.body.end(Failure(error))

    # Called by the channel.

    def gotLength(self, length: int | None) -> None:
        """The headers are complete: without a body go on as usual, with one run the handler."""
        self.content = BytesIO()
        self.declared_bytes = length
        expected = self.requestHeaders.getRawHeaders(b"Expect", [])
        # Taken away so that the channel does not answer it by itself.
        self.requestHeaders.removeHeader(b"Expect")
        if length == 0:
            return
        channel = self.channel
        self._expects_continue = channel._version == b"HTTP/1.1" and b"100-continue" in [
            value.lower() for value in expected
        ]
        self.body = ByteStream(
            channel._networkProducer, QUEUE_HIGH_BYTES, QUEUE_LOW_BYTES, self._on_read
        )
        super().requestReceived(channel._command, channel._path, channel._version)

    def handleContentChunk(self, data: bytes) -> None:
        """Some bytes of the body came; raising here would end the connection."""
        assert self.body is not None
        self._received_bytes += len(data)
        if not self.finished:
            self._expects_continue = False
            self.body.put(data)
        elif self._received_bytes > self._drain_until_bytes:
            self.abort()

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """The request is complete."""
        if self.body is None:
            super().requestReceived(command, path, version)
            return
        self._body_received = True
        if self.finished:
            self.channel.stop_lingering()
            self._cleanup()
        else:
            # Not paused any more: a client that leaves while the handler works must be noticed.
            self.body.resume()
            self.body.end()

    def connectionLost(self, reason: Failure) -> None:
        """The client is gone; first the handler is cancelled, then its reads and writes fail."""
        super().connectionLost(reason)
        if self.body is not None:
            self.body.end(reason)
        if self.writer is not None:
            self.writer.client_gone(reason)

    # Called by the base class and by Klein.

    def process(self) -> None:
        """Route by the raw path and run the handler."""
        self.site = self.channel.site
        self.request_id = self._well_formed_id() or self.site.new_request_id()
        self.setHeader("Date", format_date(self.site.reactor.seconds()))
        self.setHeader("X-Request-Id", self.request_id)
        try:
            self._check_head()
            target = split_target(self.uri, self.site.tails)
            self.tail, self.query = target.tail, target.query
            self.prepath, self.postpath = [], list(target.segments)
            self.render(self.site.resource)
        except Exception:
            self.processingFailed(Failure())

    def getRequestHostname(self) -> bytes:  # noqa: N802
        """A constant: routes do not depend on the client's Host, nor fail on it."""
        return b"localhost"

    def isSecure(self) -> bool:  # noqa: N802
        """A constant for the same reason; TLS ends before it comes here."""
        return False

    def processingFailed(self, reason: Failure) -> None:  # noqa: N802
        """Answer what no route could."""
        if answer_failure(self, reason) is None:
            self.finish()

    def setHeader(self, name: str, value: str) -> None:
        """Set a header of the answer; what came as Latin-1 in a request goes back as it was."""
        self.responseHeaders.setRawHeaders(name.encode("ascii"), [value.encode("latin-1")])

    def write(self, data: bytes) -> None:
        """Write to the answer; its head says so if the connection ends with it."""
        if not self.startedWriting and not self._disconnected:
            if self._cannot_drain():
                self.channel.persistent = False
            if not self.channel.persistent:
                self.setHeader("Connection", "close")
        super().write(data)

    def finish(self) -> None:
        """End the answer; the connection is released when the body has come to its end too."""
        if self.finished or self._disconnected:
            return
        unread = self.body is not None and not self._body_received
        self.queued = unread  # makes the base class leave _cleanup to requestReceived
        super().finish()
        if unread:
            self._drain()

    def _drain(self) -> None:
        assert self.body is not None
        self._drain_until_bytes = self._received_bytes + DRAIN_BYTES_MAX
        self.body.discard()
        ends_anyway = self._body_broken or self._expects_continue
        self.channel.linger(LINGER_SECONDS if ends_anyway else DRAIN_SECONDS)

    def _cannot_drain(self) -> bool:
        if self.body is None or self._body_received:
            return False
        if self._body_broken or self._expects_continue:
            return True
        declared = self.declared_bytes
        return declared is not None and declared - self._received_bytes > DRAIN_BYTES_MAX

    def _on_read(self) -> None:
        if self.finished or self._disconnected:
            return
        self.channel.resetTimeout()
        if self._expects_continue and not self.startedWriting:
            self.channel.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._expects_continue = False

    def _check_head(self) -> None:
        hosts = self.requestHeaders.getRawHeaders(b"Host", [])
        if len(hosts) > 1 or (not hosts and self.clientproto == b"HTTP/1.1"):
            raise BadRequestError("A request needs exactly one Host header.")
        if hosts and not _HOST.fullmatch(hosts[0]):
            raise BadRequestError("The Host header is malformed.")
        if self.method != self.method.upper():
            raise BadRequestError("Methods are written in capitals.")

    def _well_formed_id(self) -> str | None:
        value = self.getHeader(b"X-Request-Id")
        return value.decode("ascii") if value and _REQUEST_ID.fullmatch(value) else None
