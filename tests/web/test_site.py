"""The limits that the connections of a site share, and the paths it takes names from."""

# mypy: allow-untyped-calls

import pytest
from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure

from tests.web.wire import Wire, head, parse_answers
from twisted_store.web.request import LINGER_SECONDS
from twisted_store.web.site import REFUSED_MAX


def test_a_connection_too_many_is_refused_politely() -> None:
    """The client reads why, and the clients before it go on."""
    wire = Wire(connections_max=2)
    wire.connect()
    _, transport = wire.connect()
    [answer] = parse_answers(transport.value())
    assert (answer.status, answer.json()["error"]) == (503, "overloaded")
    assert "retry-after" in answer.headers
    wire.clock.advance(LINGER_SECONDS)
    assert transport.disconnecting
    wire.send(head("GET /hello"))
    assert wire.answers()[0].status == 200


def test_a_connection_that_ends_makes_room() -> None:
    """Those that were refused do not count, however long they stay."""
    wire = Wire(connections_max=1)
    wire.connect()
    wire.hang_up()
    channel, transport = wire.connect()
    channel.dataReceived(head("GET /hello"))
    assert parse_answers(transport.value())[0].status == 200


def test_refusals_have_a_limit_too() -> None:
    """Beyond it a connection is closed without a word, as Twisted does for None."""
    wire = Wire(connections_max=1)
    refused = [wire.connect()[0] for _ in range(REFUSED_MAX)]
    assert wire.site.buildProtocol(None) is None
    refused[0].connectionLost(Failure(ConnectionDone()))
    assert wire.site.buildProtocol(None) is not None


def test_a_site_starts_and_stops_without_leaving_anything() -> None:
    """No access log and no timer for it."""
    wire = Wire()
    wire.hang_up()
    wire.site.doStart()
    assert wire.clock.getDelayedCalls() == []
    wire.site.doStop()


def test_http_2_is_not_negotiated() -> None:
    """Its streams have no transport of their own that could be paused."""
    assert Wire().site.acceptableProtocols() == [b"http/1.1"]


@pytest.mark.parametrize(
    ("path", "tail"),
    [
        ("/files/a", b"a"),
        ("/files/a/b", b"a/b"),
        ("/files/a//b/", b"a//b/"),
        ("/files//", b"/"),
        ("/files/a%2Fb", b"a/b"),
        ("/files/a%252Fb", b"a%2Fb"),
        ("/files/../../etc/passwd", b"../../etc/passwd"),
        ("/files/.", b"."),
        ("/files/%2e%2E", b".."),
        ("/files/NAME", b"NAME"),
        ("/files/a+b%20c", b"a+b c"),
        ("/files/%00%ff", b"\x00\xff"),
        ("/files/a;b=c", b"a;b=c"),
        ("/files/a?x=/files/b", b"a"),
        ("/files/%C3%A9", "é".encode()),
        ("/%66iles/a", b"a"),
        ("http://elsewhere/files/a", b"a"),
        ("/files/", b""),
    ],
)
def test_a_name_is_what_the_raw_path_says(path: str, tail: bytes) -> None:
    """Slashes, escaped or doubled, and dots are bytes of a name; the router never sees it."""
    wire = Wire()
    wire.send(head(f"PUT {path}"))
    [answer] = wire.answers()
    assert (answer.status, bytes.fromhex(answer.json()["tail"])) == (201, tail)


@pytest.mark.parametrize(
    "path",
    [
        "/nowhere",
        "//hello",
        "/hello//",
        "/hello/",
        "/%2Fhello",
        "/hello%2F",
        "//files/NAME",
        "/files%2FNAME",
        "/files%2Fa",
        "/./hello",
        "/directory",
        "//directory/",
        "/directory//",
        "http://elsewhere//hello",
    ],
)
def test_a_path_that_is_not_a_route_is_not_found(path: str) -> None:
    """Nothing is merged, resolved or redirected on the way to a route."""
    wire = Wire()
    wire.send(head(f"GET {path}"))
    [answer] = wire.answers()
    assert (answer.status, answer.json()["error"]) == (404, "not_found")
    assert "location" not in answer.headers


@pytest.mark.parametrize("path", ["/files/a%", "/files/a%2", "/%zz", "/%ff", "*", "hello", "a:80"])
def test_a_malformed_target_is_a_bad_request(path: str) -> None:
    """A half escape has no meaning, and a route is UTF-8."""
    wire = Wire()
    wire.send(head(f"GET {path}"))
    [answer] = wire.answers()
    assert (answer.status, answer.json()["error"]) == (400, "bad_request")


def test_the_root_of_an_absolute_target_may_be_left_out() -> None:
    """``http://store`` is ``http://store/`` (RFC 9110 section 4.2.3)."""
    wire = Wire()
    wire.send(head("GET http://store?x=1"))
    assert wire.answers()[0].status == 404


def test_the_tails_can_be_chosen() -> None:
    """A node has other paths than the api."""
    wire = Wire(tails=())
    wire.send(head("GET /files/a"), head("PUT /files/NAME"))
    assert [answer.status for answer in wire.answers()] == [404, 201]
