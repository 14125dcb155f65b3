"""Errors on the wire: one table of statuses, one form of body, and never a second answer."""

from collections.abc import Callable

import pytest
from twisted.internet.defer import CancelledError
from twisted.python.failure import Failure
from werkzeug.exceptions import Gone

from tests.web.wire import Wire, head
from twisted_store import errors
from twisted_store.web.answers import RETRY_AFTER_SECONDS, answer_failure, encode_json, status_of

STATUSES = [
    (errors.BadRequestError("m"), 400),
    (errors.InvalidNameError("m"), 400),
    (errors.DigestMismatchError("m"), 400),
    (errors.IncompleteBodyError("m"), 400),
    (errors.UnauthorizedError("m"), 401),
    (errors.ObjectNotFoundError("m"), 404),
    (errors.ChunkNotFoundError("m"), 404),
    (errors.SlowClientError("m"), 408),
    (errors.ConflictError("m"), 409),
    (errors.ForeignClusterError("m"), 409),
    (errors.DuplicateNodeError("m"), 409),
    (errors.CatalogRolledBackError("m"), 409),
    (errors.PreconditionFailedError("m", None), 412),
    (errors.TooLargeError("m"), 413),
    (errors.RangeNotSatisfiableError("m", 5), 416),
    (errors.TooFewNodesError("m"), 503),
    (errors.OverloadedError("m"), 503),
    (errors.NodeFailedError("m"), 503),
    (errors.StoppingError("m"), 503),
    (errors.NoSpaceError("m"), 507),
]


def answer_to(error: Exception, request: str = "GET /raises") -> Wire:
    """A wire on which a handler has raised this."""
    wire = Wire()
    wire.routes.error = error
    wire.send(head(request))
    return wire


@pytest.mark.parametrize(("error", "status"), STATUSES, ids=lambda value: type(value).__name__)
def test_an_error_has_its_status_and_code(error: errors.StoreError, status: int) -> None:
    """The body is for programs and people alike, and carries the id that the log has."""
    [answer] = answer_to(error).answers()
    assert answer.status == status
    request_id = answer.headers["x-request-id"]
    assert answer.json() == {"error": error.code, "message": "m", "request_id": request_id}


def test_corruption_is_our_fault(
    expected_failures: Callable[..., list[Failure]],
) -> None:
    """A checksum error is told in the answer, and in the log with its traceback."""
    [answer] = answer_to(errors.ChecksumError("block 3")).answers()
    assert (answer.status, answer.json()["error"]) == (500, "checksum")
    assert len(expected_failures(errors.ChecksumError)) == 1


def test_an_unexpected_error_is_logged_and_not_told(
    expected_failures: Callable[..., list[Failure]],
) -> None:
    """What went wrong inside is for the log alone."""
    [answer] = answer_to(ZeroDivisionError("secret")).answers()
    assert (answer.status, answer.json()["error"]) == (500, "internal")
    assert b"secret" not in answer.body
    assert len(expected_failures(ZeroDivisionError)) == 1


def test_every_class_of_error_has_a_status() -> None:
    """A class added to the tree finds the status of its nearest base."""
    assert status_of(errors.StartupError("m")) == 500


def test_an_error_answer_says_nothing_of_the_answer_it_replaces() -> None:
    """Headers that were set for a success are gone, its length most of all."""
    [answer] = answer_to(errors.NoSpaceError("m")).answers()
    assert "etag" not in answer.headers
    assert {"date", "x-request-id", "content-type", "content-length"} == set(answer.headers)


def test_unavailable_says_when_to_come_back() -> None:
    """The error's own time, or the usual one."""
    [usual] = answer_to(errors.OverloadedError("m")).answers()
    [own] = answer_to(errors.TooFewNodesError("m", retry_after_seconds=30)).answers()
    assert usual.headers["retry-after"] == str(RETRY_AFTER_SECONDS)
    assert own.headers["retry-after"] == "30"


def test_a_failed_precondition_tells_the_current_etag() -> None:
    """So that the client need not ask for it."""
    [answer] = answer_to(errors.PreconditionFailedError("m", "abc")).answers()
    assert answer.headers["etag"] == '"abc"'


def test_an_unsatisfiable_range_tells_the_size() -> None:
    """RFC 9110 section 15.5.17."""
    [answer] = answer_to(errors.RangeNotSatisfiableError("m", 5)).answers()
    assert answer.headers["content-range"] == "bytes */5"


def test_who_is_not_known_is_asked_for_a_token() -> None:
    """RFC 9110 section 11.6.1."""
    [answer] = answer_to(errors.UnauthorizedError("m")).answers()
    assert answer.headers["www-authenticate"] == "Bearer"


def test_a_wrong_method_is_told_the_right_ones() -> None:
    """RFC 9110 section 15.5.6; HEAD comes with GET."""
    wire = Wire()
    wire.send(head("DELETE /files/a"))
    [answer] = wire.answers()
    assert (answer.status, answer.json()["error"]) == (405, "method_not_allowed")
    assert answer.headers["allow"] == "GET, HEAD, PUT"


def test_other_errors_of_werkzeug_are_bad_requests() -> None:
    """Nobody raises them today; none may come out as HTML."""
    [answer] = answer_to(Gone()).answers()
    assert (answer.status, answer.json()["error"]) == (400, "bad_request")


def test_a_cancelled_handler_tells_its_client_to_try_again() -> None:
    """It was this side that broke off, for the client is still there."""
    [answer] = answer_to(CancelledError()).answers()
    assert (answer.status, answer.json()["error"]) == (503, "stopping")


def test_head_has_no_body() -> None:
    """An error to HEAD is its header section alone, and the next answer follows at once."""
    wire = answer_to(errors.NoSpaceError("m"), "HEAD /raises")
    assert wire.received.startswith(b"HTTP/1.1 507 ")
    assert wire.received.endswith(b"\r\n\r\n")
    wire.send(head("GET /hello"))
    assert wire.received.count(b"HTTP/1.1 ") == 2


def test_a_failure_after_the_first_byte_breaks_the_connection_off() -> None:
    """A client must see that the answer is not whole, whatever it expects of its length."""
    wire = answer_to(errors.NodeFailedError("m"), "GET /breaks")
    assert wire.received.endswith(b"\r\n\r\nfirst")
    assert wire.aborted()
    wire.hang_up()
    assert wire.received.endswith(b"\r\n\r\nfirst")
    assert wire.clock.getDelayedCalls() == []


def test_a_failure_after_the_whole_answer_changes_nothing(
    expected_failures: Callable[..., list[Failure]],
) -> None:
    """The client has what it needs; the failure is for the log."""
    wire = Wire()
    wire.send(head("PUT /raises", "Content-Length: 5"))
    [request] = wire.channel.requests
    assert answer_failure(request, Failure(ZeroDivisionError())) is None
    assert not wire.aborted()
    assert len(wire.answers()) == 1
    assert len(expected_failures(ZeroDivisionError)) == 1


def test_a_failure_that_no_route_could_answer_is_json_too(
    expected_failures: Callable[..., list[Failure]],
) -> None:
    """Even an error in the router comes out in the common form."""
    wire = Wire()
    wire.site.resource = object()
    wire.send(head("GET /hello"))
    [answer] = wire.answers()
    assert (answer.status, answer.json()["error"]) == (500, "internal")
    assert len(expected_failures(AttributeError)) == 1


def test_json_is_utf_8_whatever_text_it_holds() -> None:
    """Text stays readable, and a lone surrogate stays what JSON calls it."""
    assert encode_json({"a": "é"}) == '{"a": "é"}\n'.encode()
    assert encode_json("\udc80") == b'"\\udc80"\n'
