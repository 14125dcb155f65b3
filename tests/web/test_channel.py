"""What cannot be read as a request: its status, its JSON, and the end of the connection."""

import pytest

from tests.web.wire import TIMEOUT_SECONDS, Wire, head
from twisted_store.web.channel import HEADER_BYTES_MAX, HEADERS_MAX, REQUEST_LINE_BYTES_MAX
from twisted_store.web.request import DRAIN_BYTES_MAX, LINGER_SECONDS

HELLO = head("GET /hello")
LONG_TARGET = "/hello?a=" + "x" * (REQUEST_LINE_BYTES_MAX - len("GET /hello?a= HTTP/1.1"))


@pytest.fixture
def wire() -> Wire:
    """A connection to a site of its own."""
    return Wire()


def put(*headers: str) -> bytes:
    """A PUT with these framing headers."""
    return head("PUT /files/a", *headers)


UNREADABLE = [
    ("garbage", b"\x16\x03\x01\x02\x00\r\n\r\n", 400, "bad_request"),
    ("no version", b"GET /hello\r\n\r\n", 400, "bad_request"),
    ("HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, "bad_request"),
    ("two spaces", b"GET  /hello HTTP/1.1\r\n\r\n", 400, "bad_request"),
    ("control in target", b"GET /a\x01b HTTP/1.1\r\n\r\n", 400, "bad_request"),
    ("no colon", head("GET /hello", "novalue"), 400, "bad_request"),
    ("space before colon", head("GET /hello", "Name : x"), 400, "bad_request"),
    ("empty name", head("GET /hello", ": x"), 400, "bad_request"),
    ("fold before any header", b"GET /hello HTTP/1.1\r\n Host: a\r\n\r\n", 400, "bad_request"),
    ("bare line feed", head("GET /hello", "Name: a\nb: c"), 400, "bad_request"),
    ("NUL in value", head("GET /hello", "Name: a\0b"), 400, "bad_request"),
    ("two lengths", put("Content-Length: 1", "Content-Length: 2"), 400, "bad_request"),
    ("two equal lengths", put("Content-Length: 1", "Content-Length: 1"), 400, "bad_request"),
    ("list of lengths", put("Content-Length: 1, 1"), 400, "bad_request"),
    ("length with sign", put("Content-Length: +1"), 400, "bad_request"),
    ("negative length", put("Content-Length: -1"), 400, "bad_request"),
    ("empty length", put("Content-Length:"), 400, "bad_request"),
    ("length beyond measure", put("Content-Length: " + "9" * 5000), 400, "bad_request"),
    (
        "length and chunked",
        put("Content-Length: 1", "Transfer-Encoding: chunked"),
        400,
        "bad_request",
    ),
    (
        "chunked and length",
        put("Transfer-Encoding: chunked", "Content-Length: 1"),
        400,
        "bad_request",
    ),
    ("chunked twice", put("Transfer-Encoding: chunked, chunked"), 400, "bad_request"),
    ("chunked not last", put("Transfer-Encoding: chunked, gzip"), 400, "bad_request"),
    ("not chunked", put("Transfer-Encoding: gzip"), 400, "bad_request"),
    ("identity", put("Transfer-Encoding: identity"), 400, "bad_request"),
    ("vertical tab", put("Transfer-Encoding: \x0bchunked"), 400, "bad_request"),
    ("unknown coding", put("Transfer-Encoding: gzip, chunked"), 501, "not_implemented"),
    (
        "chunked HTTP/1.0",
        put("Transfer-Encoding: chunked").replace(b"HTTP/1.1", b"HTTP/1.0"),
        400,
        "bad_request",
    ),
    ("long target", head(f"GET {LONG_TARGET}x"), 414, "uri_too_long"),
    ("endless target", b"GET /" + b"x" * 2 * HEADER_BYTES_MAX, 414, "uri_too_long"),
    (
        "long header",
        head("GET /hello", "Name: " + "x" * HEADER_BYTES_MAX),
        431,
        "headers_too_large",
    ),
    (
        "endless header",
        head("GET /hello")[:-2] + b"Name: " + b"x" * 2 * HEADER_BYTES_MAX,
        431,
        "headers_too_large",
    ),
    (
        "large section",
        head("GET /hello", *["Name: " + "x" * 1000] * 17),
        431,
        "headers_too_large",
    ),
    ("many headers", head("GET /hello", *["a: b"] * HEADERS_MAX), 431, "headers_too_large"),
]


@pytest.mark.parametrize(
    ("raw", "status", "code"),
    [row[1:] for row in UNREADABLE],
    ids=[row[0] for row in UNREADABLE],
)
@pytest.mark.parametrize("cut", ["whole", "single bytes"])
def test_the_unreadable_is_refused_in_json_and_the_connection_ends(
    wire: Wire, raw: bytes, status: int, code: str, cut: str
) -> None:
    """No handler runs, nothing that follows is taken for a request, and the client is told why."""
    if cut == "whole":
        wire.send(raw + HELLO)
    else:
        wire.send(*(bytes([byte]) for byte in raw), HELLO)
    [answer] = wire.answers()
    assert (answer.status, answer.json()["error"]) == (status, code)
    assert answer.json()["request_id"] == answer.headers["x-request-id"]
    assert answer.headers["connection"] == "close"
    assert wire.routes.started == []
    assert not wire.closing()
    wire.clock.advance(LINGER_SECONDS)
    assert wire.closing()


READABLE = [
    ("longest target", head(f"GET {LONG_TARGET}")),
    ("most headers", head("GET /hello", *["a: b"] * (HEADERS_MAX - 1))),
    ("folded header", head("GET /hello", "Name: a", " b")),
    ("empty line in front", b"\r\n" + HELLO),
    ("header without value", head("GET /hello", "Name:")),
    ("absolute form", head("GET http://elsewhere/hello")),
    ("chunked in capitals", put("Transfer-Encoding: Chunked") + b"0\r\n\r\n"),
]


@pytest.mark.parametrize("raw", [row[1] for row in READABLE], ids=[row[0] for row in READABLE])
def test_what_the_standard_allows_is_served(wire: Wire, raw: bytes) -> None:
    """The limits are limits and not below, and odd but sound requests pass."""
    wire.send(raw, HELLO)
    assert [answer.status // 100 for answer in wire.answers()] == [2, 2]


MALFORMED_CHUNKS = [
    b"zz\r\n",
    b"-1\r\n",
    b"+1\r\n",
    b"0x1\r\n",
    b"1 \r\n",
    b"\r\n",
    b"1;\x01\r\n",
    b"1\r\nab\r\n",
    b"1" * 2000,
    b"0\r\nTrailer: " + b"x" * 70_000,
]


@pytest.mark.parametrize("chunk", MALFORMED_CHUNKS)
def test_a_malformed_chunk_is_refused(wire: Wire, chunk: bytes) -> None:
    """RFC 9112 section 7.1; nothing of what follows is taken for a request."""
    wire.send(put("Transfer-Encoding: chunked"), chunk, HELLO)
    [answer] = wire.answers()
    assert (answer.status, answer.json()["error"]) == (400, "bad_request")
    assert answer.headers["connection"] == "close"


def test_a_refusal_after_an_answer_comes_behind_it(wire: Wire) -> None:
    """The request before the unreadable one was in order."""
    wire.send(HELLO + b"garbage\r\n\r\n")
    assert [answer.status for answer in wire.answers()] == [200, 400]


def test_a_refused_client_may_not_go_on_for_ever(wire: Wire) -> None:
    """What it still sends is dropped, up to a limit."""
    wire.send(b"garbage\r\n")
    wire.send(b"x" * DRAIN_BYTES_MAX)
    assert not wire.aborted()
    wire.send(b"x")
    assert wire.aborted()


def test_a_refused_client_that_leaves_leaves_nothing(wire: Wire) -> None:
    """The timers end with the connection."""
    wire.send(b"garbage\r\n")
    wire.hang_up()
    assert wire.clock.getDelayedCalls() == []


def test_a_header_section_must_come_within_one_timeout(wire: Wire) -> None:
    """Bytes that trickle do not hold a connection (the attack is known as Slowloris)."""
    wire.send(b"G")
    for byte in (b"E", b"T"):
        wire.clock.advance(TIMEOUT_SECONDS // 3)
        wire.send(byte)
    wire.send(b" /hello HTTP/1.1\r\nHost:")
    assert not wire.closing()
    wire.clock.advance(TIMEOUT_SECONDS // 3)
    [answer] = wire.answers()
    assert (answer.status, answer.json()["error"]) == (408, "client_too_slow")


def test_a_request_is_refused_once(wire: Wire) -> None:
    """The time for headers may run out while the client reads why they were refused."""
    wire.send(b"GET /hello HTTP/1.1\r\n")
    wire.clock.advance(TIMEOUT_SECONDS - LINGER_SECONDS / 2)
    wire.send(b"novalue\r\n\r\n")
    wire.clock.advance(LINGER_SECONDS / 2)
    assert [answer.status for answer in wire.answers()] == [400]


def test_the_time_for_headers_begins_with_their_first_byte(wire: Wire) -> None:
    """The idle time before a request is not taken from it."""
    wire.clock.advance(TIMEOUT_SECONDS - 1)
    wire.send(HELLO[:10])
    wire.clock.advance(TIMEOUT_SECONDS - 1)
    wire.send(HELLO[10:])
    assert wire.answers()[0].status == 200


def test_a_silent_client_is_dropped_without_a_word(wire: Wire) -> None:
    """There is no request that an answer could belong to."""
    wire.clock.advance(TIMEOUT_SECONDS)
    assert wire.closing()
    assert wire.received == b""


def test_an_idle_connection_leaves_at_once(wire: Wire) -> None:
    """When the role stops nobody waits for the next request."""
    wire.send(HELLO)
    wire.channel.leave()
    assert wire.closing()


def test_leaving_twice_is_leaving(wire: Wire) -> None:
    """And no timer outlives the connection."""
    wire.channel.leave()
    wire.channel.leave()
    wire.hang_up()
    assert wire.clock.getDelayedCalls() == []


def test_a_busy_connection_leaves_after_its_answer(wire: Wire) -> None:
    """When the role stops a request under way is finished, and the client told that it was last."""
    wire.send(head("GET /waits"))
    wire.channel.leave()
    assert not wire.closing()
    wire.routes.gate.callback(None)
    [answer] = wire.answers()
    assert (answer.status, answer.headers["connection"]) == (200, "close")
    assert wire.closing()


def test_a_request_that_is_still_coming_is_served_before_leaving(wire: Wire) -> None:
    """Its client could not know."""
    wire.send(HELLO[:-2])
    wire.channel.leave()
    wire.send(HELLO[-2:])
    [answer] = wire.answers()
    assert (answer.status, answer.headers["connection"]) == (200, "close")
    assert wire.closing()
