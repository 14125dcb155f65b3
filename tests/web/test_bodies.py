"""Small bodies, read whole from requests as they are on the wire."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred

from tests.catalog.seams import result_of, start
from tests.web.wire import Wire, head
from twisted_store.errors import BadRequestError, TooLargeError
from twisted_store.web.bodies import read_body, read_json_object
from twisted_store.web.request import StreamingRequest

LIMIT = 1000


def request_with(*pieces: bytes) -> StreamingRequest:
    """A request with this body, in so many chunks."""
    wire = Wire()
    wire.send(head("PUT /waits", "Transfer-Encoding: chunked"))
    for piece in pieces:
        wire.send(b"%x\r\n%s\r\n" % (len(piece), piece))
    wire.send(b"0\r\n\r\n")
    return wire.routes.started[0]


def json_of(*pieces: bytes) -> "Deferred[dict[str, Any]]":
    """The JSON object in such a body."""
    return start(read_json_object(request_with(*pieces), LIMIT))


@given(st.lists(st.binary(min_size=1, max_size=90), max_size=10))
def test_a_body_is_read_however_it_comes(pieces: list[bytes]) -> None:
    """In order, to its end."""
    assert result_of(start(read_body(request_with(*pieces), LIMIT))) == b"".join(pieces)


def test_a_request_without_a_body_has_an_empty_one() -> None:
    """Which is no JSON."""
    wire = Wire()
    wire.send(head("GET /waits"))
    request = wire.routes.started[0]
    assert result_of(start(read_body(request, LIMIT))) == b""
    with pytest.raises(BadRequestError):
        result_of(start(read_json_object(request, LIMIT)))


def test_a_body_has_a_limit() -> None:
    """Just so much is taken; more ends the reading, not only at the end of the body."""
    assert len(result_of(start(read_body(request_with(bytes(LIMIT)), LIMIT)))) == LIMIT
    wire = Wire()
    wire.send(head("PUT /waits", "Content-Length: 100000000"))
    wire.send(bytes(500_000))
    with pytest.raises(TooLargeError, match=str(LIMIT)):
        result_of(start(read_body(wire.routes.started[0], LIMIT)))


def test_an_object_is_read() -> None:
    """Also when it is cut within a character."""
    assert result_of(json_of(b'{"a": "\xc3', b'\xa4"}')) == {"a": "\u00e4"}


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"{", b"nonsense", b"\xff\xfe\x00", b'{"a":\xff}', b"[" * LIMIT, b'{"a":' * 199),
        *(b"[]", b"null", b"5", b'"a"', b"9" * LIMIT),
    ],
)
def test_anything_else_is_a_bad_request(body: bytes) -> None:
    """Whatever the parser makes of it: deep nesting is an error of its own, not a ValueError."""
    with pytest.raises(BadRequestError):
        result_of(json_of(body))


def test_deep_nesting_is_a_bad_request() -> None:
    """Deeper than the interpreter's stack."""
    deep = b"[" * 400_000
    with pytest.raises(BadRequestError, match="not JSON"):
        result_of(start(read_json_object(request_with(deep), len(deep))))
