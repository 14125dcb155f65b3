"""Requests on the wire: bodies that stream, early answers, and clients that leave."""

# mypy: allow-untyped-calls

import pytest
from twisted.internet.defer import CancelledError
from twisted.internet.error import ConnectionDone

from tests.web.wire import TIMEOUT_SECONDS, Wire, head
from twisted_store.errors import BadRequestError, SlowClientError
from twisted_store.web.channel import CLOSE_SECONDS
from twisted_store.web.request import (
    DRAIN_BYTES_MAX,
    DRAIN_SECONDS,
    LINGER_SECONDS,
    QUEUE_HIGH_BYTES,
    QUEUE_LOW_BYTES,
    StreamingRequest,
)

HELLO = head("GET /hello")
PUT_5 = head("PUT /files/a", "Content-Length: 5")
LARGE_BYTES = 4 * QUEUE_HIGH_BYTES
PUT_LARGE = head("PUT /files/a", f"Content-Length: {LARGE_BYTES}")
PUT_CHUNKED = head("PUT /files/a", "Transfer-Encoding: chunked")
PUT_EXPECTING = head("PUT /files/a", "Content-Length: 5", "Expect: 100-continue")
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


@pytest.fixture
def wire() -> Wire:
    """A connection to a site of its own."""
    return Wire()


def single_bytes(raw: bytes) -> list[bytes]:
    """A request cut as finely as can be."""
    return [raw[i : i + 1] for i in range(len(raw))]


@pytest.mark.parametrize(
    "segments",
    [
        [PUT_5, b"12345"],
        [PUT_5 + b"12345"],
        [PUT_5 + b"12", b"34", b"5"],
        single_bytes(PUT_5 + b"12345"),
        [PUT_CHUNKED, b"2\r\n12\r\n3;x=y\r\n345\r\n0\r\n\r\n"],
        [PUT_CHUNKED + b"5\r\n12345\r\n0\r\nTrailer: x\r\n\r\n"],
        single_bytes(PUT_CHUNKED + b"5\r\n12345\r\n0\r\n\r\n"),
    ],
)
def test_a_body_arrives_whole_however_it_is_cut(wire: Wire, segments: list[bytes]) -> None:
    """Framing and segments are the transport's business, not the handler's."""
    wire.send(*segments, HELLO)
    put, hello = wire.answers()
    assert b"".join(wire.routes.pieces) == b"12345"
    assert (put.status, put.json()["size_bytes"]) == (201, 5)
    assert hello.status == 200


@pytest.mark.parametrize(
    "headers", [["Content-Length: 0"], [], ["Content-Length: 0", "Expect: 100-continue"]]
)
def test_a_request_without_body_has_no_stream(wire: Wire, headers: list[str]) -> None:
    """An empty file is stored without waiting for anything, an Expect notwithstanding."""
    wire.send(head("PUT /files/a", *headers))
    [answer] = wire.answers()
    assert answer.json()["size_bytes"] == 0
    assert wire.routes.started[0].body is None
    assert wire.routes.started[0].declared_bytes == 0


def test_an_empty_chunked_body_ends_at_once(wire: Wire) -> None:
    """A body of unknown length may turn out to be empty."""
    wire.send(PUT_CHUNKED, b"0\r\n\r\n")
    [answer] = wire.answers()
    assert answer.json()["size_bytes"] == 0


def test_a_handler_starts_before_the_body(wire: Wire) -> None:
    """Streaming means that the handler runs from the end of the headers on."""
    wire.send(PUT_LARGE)
    [request] = wire.routes.started
    assert request.declared_bytes == LARGE_BYTES
    piece = b"x" * QUEUE_LOW_BYTES
    wire.send(piece)
    assert wire.routes.pieces == [piece]
    assert wire.received == b""


def test_a_chunked_body_declares_no_length(wire: Wire) -> None:
    """None tells the use case that the size is not known."""
    wire.send(PUT_CHUNKED)
    assert wire.routes.started[0].declared_bytes is None


def test_pipelined_requests_are_answered_in_order(wire: Wire) -> None:
    """What follows a body in its segment is the next request."""
    wire.send(PUT_5 + b"12345" + HELLO + PUT_5 + b"67890" + HELLO)
    assert [answer.status for answer in wire.answers()] == [201, 200, 201, 200]


def test_the_client_can_end_the_connection_with_its_request(wire: Wire) -> None:
    """``close`` counts among other options too (RFC 9110 section 7.6.1)."""
    wire.send(head("GET /hello", "Connection: x, Close"))
    [answer] = wire.answers()
    assert answer.headers["connection"] == "close"
    assert wire.closing()


def test_a_client_that_does_not_read_its_last_answer_is_cut_off(wire: Wire) -> None:
    """A connection that is closing has no other timer."""
    wire.send(head("GET /hello", "Connection: close"))
    wire.clock.advance(CLOSE_SECONDS - 1)
    assert not wire.aborted()
    wire.clock.advance(1)
    assert wire.aborted()


def test_an_http_1_0_connection_ends_with_its_answer(wire: Wire) -> None:
    """HTTP/1.0 needs no Host and gets no chunks."""
    wire.send(b"GET /hello HTTP/1.0\r\n\r\n")
    [answer] = wire.answers()
    assert answer.status == 200
    assert wire.closing()


def test_an_early_answer_waits_for_the_rest_of_the_body_to_pass(wire: Wire) -> None:
    """The body is dropped, the connection stays, and the next request is served."""
    wire.send(head("PUT /raises", "Content-Length: 10") + b"123")
    [refusal] = wire.answers()
    assert refusal.status == 507
    assert "connection" not in refusal.headers
    wire.send(b"456", b"7890" + HELLO)
    assert [answer.status for answer in wire.answers()] == [507, 200]
    wire.clock.advance(DRAIN_SECONDS + 1)
    assert not wire.closing()


def test_an_early_answer_to_a_chunked_body_is_drained_too(wire: Wire) -> None:
    """The end of a chunked body is found although nobody reads it."""
    raises = head("PUT /raises", "Transfer-Encoding: chunked")
    wire.send(raises + b"3\r\n123\r\n", b"2\r\n45\r\n0\r\n\r\n" + HELLO)
    assert [answer.status for answer in wire.answers()] == [507, 200]


def test_draining_ends_at_its_limit(wire: Wire) -> None:
    """A client that goes on and on after its answer is cut off."""
    wire.send(head("PUT /raises", "Transfer-Encoding: chunked"), b"fffffff\r\n")
    piece = b"x" * (DRAIN_BYTES_MAX // 4)
    wire.send(piece, piece, piece, piece)
    assert not wire.aborted()
    wire.send(b"x")
    assert wire.aborted()


def test_draining_ends_in_time(wire: Wire) -> None:
    """A client that trickles after its answer is cut off."""
    wire.send(head("PUT /raises", "Content-Length: 10"))
    for _ in range(DRAIN_SECONDS - 1):
        wire.clock.advance(1)
        wire.send(b"x")
    assert not wire.closing()
    wire.clock.advance(1)
    assert wire.closing()


def test_a_body_too_long_to_drain_is_refused_with_close(wire: Wire) -> None:
    """The client is told not to send another request behind such a body."""
    wire.send(head("PUT /raises", f"Content-Length: {DRAIN_BYTES_MAX + 1}"))
    [answer] = wire.answers()
    assert answer.headers["connection"] == "close"


def test_the_connection_ends_after_a_drained_body_where_that_was_said(wire: Wire) -> None:
    """``Connection: close`` holds for an early answer too, once the client is through."""
    wire.send(head("PUT /raises", "Content-Length: 3", "Connection: close"))
    assert not wire.closing()
    wire.send(b"123")
    assert wire.closing()


def test_expect_is_answered_when_the_body_is_read(wire: Wire) -> None:
    """The handler's first read is what asks for the body."""
    wire.send(PUT_EXPECTING)
    assert wire.received == CONTINUE
    wire.send(b"12345")
    assert [answer.status for answer in wire.answers()] == [100, 201]


def test_expect_is_not_answered_by_a_refusal(wire: Wire) -> None:
    """Nobody sends 50 GiB for a refusal, and the connection ends soon: the body may never come."""
    wire.send(head("PUT /raises", "Content-Length: 5", "Expect: 100-Continue"))
    [answer] = wire.answers()
    assert answer.status == 507
    assert answer.headers["connection"] == "close"
    wire.clock.advance(LINGER_SECONDS)
    assert wire.closing()


def test_expect_is_left_unanswered_while_the_handler_does_not_read(wire: Wire) -> None:
    """Checks come before the client is asked to send."""
    wire.send(head("PUT /waits", "Content-Length: 5", "Expect: 100-continue"))
    assert wire.received == b""


def test_a_client_that_did_not_wait_gets_no_continue(wire: Wire) -> None:
    """Once the body is under way a 100 has no use (RFC 9110 section 10.1.1)."""
    wire.send(PUT_EXPECTING + b"12345")
    assert [answer.status for answer in wire.answers()][-1] == 201


def read(wire: Wire) -> bytes | None:
    """Read once from the body of a request that waits; None when nothing has come yet."""
    [request] = wire.routes.started
    assert request.body is not None
    try:
        request.body.__anext__().send(None)
    except StopIteration as piece:
        value: bytes = piece.value
        return value
    return None


def test_a_body_that_is_already_there_needs_no_continue(wire: Wire) -> None:
    """The client sent before the handler asked."""
    wire.send(head("PUT /waits", "Content-Length: 5", "Expect: 100-continue") + b"123")
    assert read(wire) == b"123"
    assert wire.received == b""


def test_no_continue_comes_in_the_middle_of_an_answer(wire: Wire) -> None:
    """An interim answer after the final one has begun would be part of its body."""
    wire.send(head("PUT /waits", "Content-Length: 5", "Expect: 100-continue"))
    wire.routes.started[0].setHeader("Content-Length", "1")
    wire.routes.started[0].write(b"x")
    assert read(wire) is None
    assert CONTINUE not in wire.received


def test_a_body_that_was_asked_for_is_drained(wire: Wire) -> None:
    """After 100 the client sends, so that an answer that comes early does not end all."""
    wire.send(head("PUT /waits", "Content-Length: 5", "Expect: 100-continue"))
    assert read(wire) is None
    wire.routes.gate.callback(None)
    wire.send(b"12345" + HELLO)
    answers = wire.answers()
    assert [answer.status for answer in answers] == [100, 200, 200]
    assert "connection" not in answers[1].headers


def test_reading_counts_as_progress(wire: Wire) -> None:
    """A client that is paused because the handler is slow is not to blame."""
    wire.send(head("PUT /waits", f"Content-Length: {4 * QUEUE_HIGH_BYTES}"))
    wire.send(b"x" * (QUEUE_HIGH_BYTES // 2), b"x" * QUEUE_HIGH_BYTES)
    wire.clock.advance(TIMEOUT_SECONDS - 1)
    assert read(wire) is not None
    wire.clock.advance(TIMEOUT_SECONDS - 1)
    assert not wire.closing()


def test_http_1_0_gets_no_continue(wire: Wire) -> None:
    """A client of HTTP/1.0 does not know interim answers (RFC 9110 section 10.1.1)."""
    wire.send(PUT_EXPECTING.replace(b"HTTP/1.1", b"HTTP/1.0") + b"12345")
    assert [answer.status for answer in wire.answers()] == [201]


def test_no_expect_gets_no_continue(wire: Wire) -> None:
    """An interim answer comes only to who asked for it."""
    wire.send(PUT_5, b"12345")
    assert CONTINUE not in wire.received


def test_a_full_queue_pauses_the_client_and_reading_resumes_it(wire: Wire) -> None:
    """Memory is bounded by the marks while a handler does not read."""
    wire.send(head("PUT /waits", f"Content-Length: {4 * QUEUE_HIGH_BYTES}"))
    wire.send(b"x" * (QUEUE_HIGH_BYTES // 2))
    assert not wire.paused()
    wire.send(b"x" * (QUEUE_HIGH_BYTES // 2))
    assert wire.paused()
    wire.routes.gate.callback(None)
    assert not wire.paused()


def test_an_emptied_answer_buffer_does_not_resume_a_full_queue(wire: Wire) -> None:
    """The transport says when it has sent all; that is about the other direction."""
    wire.send(head("PUT /waits", f"Content-Length: {4 * QUEUE_HIGH_BYTES}"))
    wire.send(b"x" * QUEUE_HIGH_BYTES)
    wire.channel.pauseProducing()
    wire.channel.resumeProducing()
    assert wire.paused()


def test_a_complete_body_leaves_the_connection_listening(wire: Wire) -> None:
    """Paused at the last byte, it would not notice a client that leaves."""
    wire.send(head("PUT /waits", f"Content-Length: {QUEUE_HIGH_BYTES}"), b"x" * QUEUE_HIGH_BYTES)
    assert not wire.paused()


def test_a_client_that_leaves_while_paused_is_noticed_within_the_timeout(wire: Wire) -> None:
    """A paused transport is deaf, so the timer is what ends the connection."""
    wire.send(head("PUT /waits", f"Content-Length: {4 * QUEUE_HIGH_BYTES}"))
    wire.send(b"x" * QUEUE_HIGH_BYTES)
    wire.clock.advance(TIMEOUT_SECONDS - 1)
    assert not wire.closing()
    wire.clock.advance(1)
    assert wire.closing()
    wire.clock.advance(CLOSE_SECONDS)
    assert wire.aborted()
    wire.hang_up()
    assert isinstance(wire.routes.failures[0], CancelledError)


def test_a_client_that_stalls_is_told_and_dropped(wire: Wire) -> None:
    """The handler learns it from the body, the client by a 408."""
    wire.send(PUT_5 + b"123")
    wire.clock.advance(TIMEOUT_SECONDS - 1)
    assert wire.received == b""
    wire.clock.advance(1)
    [answer] = wire.answers()
    assert (answer.status, answer.json()["error"]) == (408, "client_too_slow")
    assert answer.headers["connection"] == "close"
    assert isinstance(wire.routes.failures[0], SlowClientError)
    wire.clock.advance(LINGER_SECONDS)
    assert wire.closing()


def test_a_client_that_is_gone_does_not_stall(wire: Wire) -> None:
    """Who measures its pace need not break off what is lost already."""
    wire.send(PUT_5 + b"123")
    [request] = wire.routes.started
    assert request.stalled
    wire.hang_up()
    assert not wire.routes.started[0].stalled


def test_a_handler_that_ignores_the_stall_is_ended_by_the_second_timeout(wire: Wire) -> None:
    """Nothing keeps a silent connection open for ever."""
    wire.send(head("PUT /waits", "Content-Length: 5"))
    wire.clock.advance(TIMEOUT_SECONDS)
    assert not wire.closing()
    wire.clock.advance(TIMEOUT_SECONDS)
    assert wire.closing()


def test_a_stall_during_an_answer_ends_the_connection(wire: Wire) -> None:
    """It is too late for a 408."""
    wire.send(head("PUT /waits", "Content-Length: 5"))
    wire.routes.started[0].setHeader("Content-Length", "2")
    wire.routes.started[0].write(b"x")
    wire.clock.advance(TIMEOUT_SECONDS)
    assert wire.closing()


def test_two_deadlines_leave_no_timer(wire: Wire) -> None:
    """The idle timer and the end of the draining may both strike."""
    wire.send(head("PUT /waits", "Content-Length: 5"))
    wire.clock.advance(TIMEOUT_SECONDS - 1)
    wire.routes.gate.callback(None)
    wire.clock.advance(1)
    assert wire.closing()
    wire.clock.advance(DRAIN_SECONDS - 1)
    wire.hang_up()
    assert wire.clock.getDelayedCalls() == []


def test_finishing_for_nobody_or_twice_does_nothing(
    wire: Wire, recwarn: pytest.WarningsRecorder
) -> None:
    """Klein finishes what a handler finished, for it is not told while the body is drained."""
    wire.send(head("GET /files/a", "Content-Length: 5"))
    assert wire.answers()[0].status == 200
    wire.hang_up()
    wire.routes.started[0].finish()
    assert list(recwarn) == []


def test_bytes_that_come_count_as_progress(wire: Wire) -> None:
    """A slow body is not a stalled one."""
    wire.send(PUT_5)
    for byte in (b"1", b"2", b"3", b"4"):
        wire.clock.advance(TIMEOUT_SECONDS - 1)
        wire.send(byte)
    wire.send(b"5")
    assert wire.answers()[0].status == 201


def test_a_handler_may_take_its_time_after_the_body(wire: Wire) -> None:
    """The client has done its part, so its timer does not run."""
    wire.send(head("PUT /waits", "Content-Length: 5") + b"12345")
    wire.clock.advance(10 * TIMEOUT_SECONDS)
    wire.routes.gate.callback(None)
    assert wire.answers()[0].status == 200


def test_an_idle_connection_is_closed(wire: Wire) -> None:
    """After an answer the connection waits for the next request, but not for ever."""
    wire.send(HELLO)
    wire.clock.advance(TIMEOUT_SECONDS)
    assert wire.closing()
    assert len(wire.answers()) == 1


@pytest.mark.parametrize("sent", [b"", b"123"])
def test_a_client_that_leaves_during_the_body_cancels_the_handler(wire: Wire, sent: bytes) -> None:
    """A FIN in the middle is no end of a body, and nothing is answered to nobody."""
    wire.send(PUT_5 + sent)
    wire.hang_up()
    assert isinstance(wire.routes.failures[0], CancelledError)
    assert wire.received == b""


def test_a_body_cut_off_fails_for_who_reads_on(wire: Wire) -> None:
    """Code that is not cancelled with its handler learns it from the stream."""
    wire.send(head("PUT /waits", "Content-Length: 5") + b"123")
    wire.hang_up()
    assert read(wire) == b"123"
    with pytest.raises(ConnectionDone):
        read(wire)


def test_a_client_that_leaves_after_the_body_cancels_the_handler(wire: Wire) -> None:
    """It is noticed although no more bytes are expected."""
    wire.send(head("PUT /waits", "Content-Length: 5") + b"12345")
    wire.hang_up()
    assert isinstance(wire.routes.failures[0], CancelledError)


def test_a_client_that_leaves_before_the_headers_are_complete_leaves_nothing(wire: Wire) -> None:
    """No handler, no answer, no failure, no timer."""
    wire.send(PUT_5[:-2])
    wire.hang_up()
    assert wire.routes.started == []
    assert wire.clock.getDelayedCalls() == []


def test_a_client_that_leaves_while_drained_leaves_nothing(wire: Wire) -> None:
    """The deadline of the draining goes with the connection."""
    wire.send(head("PUT /raises", "Content-Length: 5"))
    wire.hang_up()
    assert wire.clock.getDelayedCalls() == []


def test_a_malformed_chunk_reaches_the_handler_and_the_client(wire: Wire) -> None:
    """The handler fails, its answer is a 400, and the connection ends."""
    wire.send(PUT_CHUNKED, b"2\r\n12\r\n", b"zz\r\n", HELLO)
    [answer] = wire.answers()
    assert answer.status == 400
    assert answer.headers["connection"] == "close"
    assert isinstance(wire.routes.failures[0], BadRequestError)
    wire.clock.advance(LINGER_SECONDS)
    assert wire.closing()


def test_a_malformed_chunk_after_an_early_answer_just_ends_the_connection(wire: Wire) -> None:
    """There is one answer to a request."""
    wire.send(head("PUT /raises", "Transfer-Encoding: chunked"), b"zz\r\n")
    assert [answer.status for answer in wire.answers()] == [507]
    wire.clock.advance(DRAIN_SECONDS)
    assert wire.closing()


def test_a_malformed_chunk_for_a_handler_that_does_not_read_is_bounded(wire: Wire) -> None:
    """What follows is dropped up to the limit, and the timer runs on."""
    wire.send(head("PUT /waits", "Transfer-Encoding: chunked"), b"zz\r\n")
    wire.send(b"x" * DRAIN_BYTES_MAX)
    assert not wire.aborted()
    wire.send(b"x")
    assert wire.aborted()


def test_a_broken_body_does_not_leave_the_connection_paused(wire: Wire) -> None:
    """The end of the client must still be noticed."""
    chunk = b"%x\r\n" % QUEUE_HIGH_BYTES + b"x" * QUEUE_HIGH_BYTES + b"\r\n"
    wire.send(head("PUT /waits", "Transfer-Encoding: chunked"), chunk)
    assert wire.paused()
    wire.send(b"zz\r\n")
    assert not wire.paused()


def test_a_handler_that_never_reads_can_answer(wire: Wire) -> None:
    """Its body is dropped, and the next request served."""
    wire.send(head("PUT /waits", "Content-Length: 5") + b"123")
    wire.routes.gate.callback(None)
    wire.send(b"45" + HELLO)
    assert [answer.status for answer in wire.answers()] == [200, 200]


def test_request_ids_are_echoed_or_made(wire: Wire) -> None:
    """A well-formed id of the client's is kept, any other is replaced."""
    wire.send(head("GET /hello", "X-Request-Id: abc-123._~"))
    wire.send(head("GET /hello", "X-Request-Id: a b"), HELLO, HELLO)
    kept, replaced, *made = [answer.headers["x-request-id"] for answer in wire.answers()]
    assert kept == "abc-123._~"
    assert len({replaced, *made}) == 3
    assert all(len(each) == 16 for each in (replaced, *made))


@pytest.mark.parametrize(
    "headers",
    [
        [],
        ["Host: a", "Host: b"],
        ["Host: a, b"],
        ["Host: a b"],
        ["Host: \xff"],
    ],
)
def test_a_request_needs_one_host(wire: Wire, headers: list[str]) -> None:
    """RFC 9112 section 3.2: none, several or a malformed one are a 400; the framing is sound."""
    lines = ["GET /hello HTTP/1.1", *headers, "", ""]
    wire.send("\r\n".join(lines).encode("latin-1"), HELLO)
    assert [answer.status for answer in wire.answers()] == [400, 200]


@pytest.mark.parametrize("host", ["", "[::1]:8080", "x" * 300, "..", "a_b"])
def test_any_well_formed_host_is_served(wire: Wire, host: str) -> None:
    """Routes do not depend on the name by which the client knows the store."""
    wire.send(f"GET /hello HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    assert wire.answers()[0].status == 200


def test_methods_are_case_sensitive(wire: Wire) -> None:
    """Werkzeug would take ``head`` for HEAD, and its answer would then have a body."""
    wire.send(HELLO.replace(b"GET", b"get"))
    assert wire.answers()[0].status == 400


def test_headers_go_back_as_they_came(wire: Wire) -> None:
    """Bytes beyond ASCII are Latin-1 on the way in and out, so that they are not encoded twice."""
    wire.send(PUT_5)
    [request] = wire.routes.started
    request.setHeader("X-Meta-Note", b"\xc3\xa9".decode("latin-1"))
    wire.send(b"12345")
    assert b"X-Meta-Note: \xc3\xa9\r\n" in wire.received


def test_a_header_of_any_bytes_is_read_as_text(wire: Wire) -> None:
    """A client's bytes are no reason for an error here."""
    wire.send(b"GET /hello HTTP/1.1\r\nHost: a\r\nRange: \xff\r\n\r\n")
    [answer] = wire.answers()
    assert answer.status in (200, 404)
    request = StreamingRequest(wire.channel)
    request.requestHeaders.setRawHeaders(b"Range", [b"\xff"])
    assert request.getHeader("Range") == "\xff"
    assert request.getHeader("Missing") is None
