"""
The parser of one client connection, with every refusal in JSON.

Like ``request.py`` this file uses private names of twisted.web, to tell one refusal from another.
"""

# mypy: allow-untyped-calls

from http import HTTPStatus
from typing import TYPE_CHECKING

from twisted.internet.interfaces import IAddress, IDelayedCall, ITCPTransport
from twisted.internet.main import CONNECTION_DONE
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel
from twisted.web.http_headers import Headers

from twisted_store.errors import BadRequestError, SlowClientError
from twisted_store.streams import widen
from twisted_store.web.answers import RETRY_AFTER_SECONDS, error_body
from twisted_store.web.dates import format_date
from twisted_store.web.request import DRAIN_BYTES_MAX, LINGER_SECONDS, StreamingRequest

if TYPE_CHECKING:
    from twisted_store.web.site import StreamingSite

REQUEST_LINE_BYTES_MAX = 8192
HEADER_BYTES_MAX = 16384
"""The request line and all header lines."""

HEADERS_MAX = 100

LENGTH_DIGITS_MAX = 18

CLOSE_SECONDS = 60
"""How long a client may take to read the last that it is sent."""

_DONE = Failure(CONNECTION_DONE)


class StreamingChannel(HTTPChannel):
    """
    HTTP/1.1 as RFC 9112 has it, for `StreamingRequest`.

    What cannot be read as a request is answered in JSON, and the connection ends: not at once, for
    unread input would turn the end into a reset that takes the answer with it, but after the
    client had `LINGER_SECONDS` to see it.
    """

    site: "StreamingSite"
    transport: ITCPTransport
    requests: list[StreamingRequest]
    totalHeadersSize = HEADER_BYTES_MAX  # noqa: N815
    maxHeaders = HEADERS_MAX  # noqa: N815

    _host: IAddress
    _ignores_input = False
    _ignored_bytes = 0
    _leaving = False
    _linger_call: IDelayedCall | None = None

    def refuse(self, status: int, code: str, message: str) -> None:
        """Answer what is not even a request, and end the connection."""
        request_id = self.site.new_request_id()
        body = error_body(code, message, request_id)
        headers = {
            "Date": format_date(self.site.reactor.seconds()),
            "X-Request-Id": request_id,
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            "Connection": "close",
        }
        if status == HTTPStatus.SERVICE_UNAVAILABLE:
            headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
        self.writeHeaders(
            b"HTTP/1.1",
            b"%d" % status,
            HTTPStatus(status).phrase.encode("ascii"),
            Headers({name: [value] for name, value in headers.items()}),
        )
        self.write(body)
        self.ignore_input()
        self.linger(LINGER_SECONDS)

    def ignore_input(self) -> None:
        """Where the next request begins is lost: read on, but only to drop it."""
        self._ignores_input = True
        self.clearLineBuffer()
        self._networkProducer.resumeProducing()

    def linger(self, seconds: float) -> None:
        """End the connection after this time, unless the client or `stop_lingering` is faster."""
        self.stop_lingering()
        self._linger_call = self.callLater(seconds, self.loseConnection)

    def stop_lingering(self) -> None:
        """The connection is in order again."""
        if self._linger_call is not None and self._linger_call.active():
            self._linger_call.cancel()
        self._linger_call = None

    def leave(self) -> None:
        """End the connection after the request under way, or now if there is none."""
        self._leaving = True
        self.persistent = False
        if not self.requests:
            self.loseConnection()

    def loseConnection(self) -> None:
        """Send what is under way, but not for ever, and close."""
        if self._abortingCall is None:
            self.setTimeout(None)
            self.stop_lingering()
            self._abortingCall = self.callLater(CLOSE_SECONDS, self.forceAbortClient)
            super().loseConnection()

    def abort(self) -> None:
        """End the connection at once."""
        self.transport.abortConnection()

    # Called by the transport and by timers.

    def connectionMade(self) -> None:
        """A client connected; more of them than the site takes are told so."""
        super().connectionMade()
        self._host = self.transport.getHost()
        widen(self.transport)
        if not self.site.admit(self):
            self.refuse(503, "overloaded", "Too many connections; try again later.")

    def dataReceived(self, data: bytes) -> None:
        """Bytes came from the client."""
        if not self._ignores_input:
            super().dataReceived(data)
            return
        self._ignored_bytes += len(data)
        if self._ignored_bytes > DRAIN_BYTES_MAX:
            self.abort()

    def connectionLost(self, reason: Failure = _DONE) -> None:
        """The connection is gone."""
        self.site.forget(self)
        self.stop_lingering()
        super().connectionLost(reason)

    def resumeProducing(self) -> None:
        """The client took what was written; that is no reason to read more of a full body."""
        super().resumeProducing()
        body = self.requests[0].body if self.requests else None
        if body is not None and body.paused:
            self._networkProducer.pauseProducing()

    def resetTimeout(self) -> None:
        """Progress, but not within a header section: that must be whole within one timeout."""
        if not (self.line_mode and (self.requests or self._buffer)):
            super().resetTimeout()

    def timeoutConnection(self) -> None:
        """Nothing came for too long. Who is in the middle of sending is told so."""
        request = self.requests[0] if self.requests else None
        if request is not None and request.stalled:
            request.break_body(SlowClientError("The body did not go on in time."))
            self.setTimeout(self.timeOut)
        elif request is not None and self.line_mode and not self._ignores_input:
            self.refuse(408, SlowClientError.code, "The headers did not come in time.")
        else:
            self.loseConnection()

    def getHost(self) -> IAddress:
        """The own address, which every request wants to know and only the system could tell."""
        return self._host

    # Called by the parser.

    def lineReceived(self, line: bytes) -> None:
        """A line of a header section."""
        if not self.requests and len(line) > REQUEST_LINE_BYTES_MAX:
            self._refuse_request_line()
        else:
            super().lineReceived(line)

    def lineLengthExceeded(self, line: bytes) -> None:  # noqa: ARG002, N802
        """A line is longer than a whole header section may be."""
        if self.requests:
            self._refuse_headers()
        else:
            self._refuse_request_line()

    def checkPersistence(  # noqa: N802
        self, request: StreamingRequest, version: bytes
    ) -> bool:
        """Whether the connection outlives this request (RFC 9112 section 9.3)."""
        lines = request.requestHeaders.getRawHeaders(b"Connection", [])
        options = [option.strip().lower() for line in lines for option in line.split(b",")]
        return version == b"HTTP/1.1" and b"close" not in options and not self._leaving

    def _maybeChooseTransferDecoder(  # noqa: N802
        self, header: bytes, data: bytes
    ) -> bool:
        if header == b"Content-Length" and len(data) > LENGTH_DIGITS_MAX:
            self.refuse(400, BadRequestError.code, "The Content-Length is beyond all measure.")
            return False
        if header == b"Transfer-Encoding" and not self._can_decode(data):
            return False
        chosen: bool = super()._maybeChooseTransferDecoder(header, data)
        return chosen

    def _can_decode(self, codings: bytes) -> bool:
        """RFC 9112 section 6.1: 400 if chunked is not last, 501 for a coding unknown here."""
        names = [name.strip().lower() for name in codings.split(b",")]
        if names[-1] != b"chunked" or names.count(b"chunked") > 1 or self._version == b"HTTP/1.0":
            self._respondToBadRequestAndDisconnect()
            return False
        if len(names) > 1:
            self.refuse(501, "not_implemented", "The only transfer coding here is chunked.")
            return False
        return True

    def _respondToBadRequestAndDisconnect(self) -> None:  # noqa: N802
        """Where the base class finds the framing at fault."""
        if not self.line_mode:
            self.requests[0].break_body(BadRequestError("The chunked body is malformed."))
        elif (
            self._receivedHeaderSize > self.totalHeadersSize
            or self._receivedHeaderCount > self.maxHeaders
        ):
            self._refuse_headers()
        else:
            self.refuse(400, BadRequestError.code, "This is not a request of HTTP/1.1.")

    def _refuse_request_line(self) -> None:
        self.refuse(414, "uri_too_long", f"A URI has at most {REQUEST_LINE_BYTES_MAX} bytes.")

    def _refuse_headers(self) -> None:
        self.refuse(
            431,
            "headers_too_large",
            f"At most {HEADERS_MAX} headers of {HEADER_BYTES_MAX} bytes in all.",
        )
