"""Bodies of answers: no faster than the client takes them, and exactly as long as declared."""

# mypy: allow-untyped-calls

from collections.abc import Callable

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure

from tests.web.wire import TIMEOUT_SECONDS, Wire, head
from twisted_store.errors import CorruptionError, SlowClientError
from twisted_store.web.writer import ResponseWriter

GET = head("GET /files/a")


@pytest.fixture
def wire() -> Wire:
    """A connection to a site of its own, whose files have 1,000,000 bytes."""
    wire = Wire()
    wire.routes.answer_bytes = 1_000_000
    return wire


def test_an_answer_is_written_whole_and_the_connection_goes_on(wire: Wire) -> None:
    """Every kind of buffer arrives, in order, and the next request is served."""
    wire.send(GET, head("GET /hello"))
    got, hello = wire.answers()
    assert got.body == (b"a" + b"b" * 99_999) * 10
    assert hello.status == 200


def test_an_answer_may_be_empty(wire: Wire) -> None:
    """Zero bytes need no write at all."""
    wire.routes.answer_bytes = 0
    wire.send(GET, head("GET /hello"))
    assert [len(answer.body) for answer in wire.answers()] == [0, 14]


def test_a_full_socket_holds_the_writer_back(wire: Wire) -> None:
    """One write is under way at most; it goes on when the socket is empty, again and again."""
    sizes = []
    wire.transport.write = _pausing(wire, wire.transport.write)  # type: ignore[method-assign]
    wire.send(GET)
    while wire.routes.failures == [] and len(wire.received) < 1_000_000:
        sizes.append(len(wire.received))
        wire.clock.advance(TIMEOUT_SECONDS - 1)
        wire.channel.resumeProducing()
    assert len(wire.answers()[0].body) == 1_000_000
    assert len(sizes) == 9
    assert {b - a for a, b in zip(sizes[:-1], sizes[1:], strict=True)} == {100_000}


def _pausing(wire: Wire, write: Callable[[bytes], None]) -> Callable[[bytes], None]:
    """A transport whose socket is full after every write."""

    def paused_write(data: bytes) -> None:
        write(data)
        wire.channel.pauseProducing()

    return paused_write


def test_a_client_that_takes_nothing_is_dropped(wire: Wire) -> None:
    """The handler learns why, the connection is aborted, and no timer is left."""
    wire.transport.write = _pausing(wire, wire.transport.write)  # type: ignore[method-assign]
    wire.send(GET)
    wire.clock.advance(TIMEOUT_SECONDS - 1)
    assert not wire.aborted()
    wire.clock.advance(1)
    assert wire.aborted()
    assert isinstance(wire.routes.failures[0], SlowClientError)
    wire.hang_up()
    assert wire.clock.getDelayedCalls() == []


def test_a_client_that_leaves_ends_the_writing(wire: Wire) -> None:
    """The handler is cancelled where it waits, and no timer is left."""
    wire.transport.write = _pausing(wire, wire.transport.write)  # type: ignore[method-assign]
    wire.send(GET)
    wire.hang_up()
    assert isinstance(wire.routes.failures[0], CancelledError)
    assert wire.clock.getDelayedCalls() == []


def writer_on(wire: Wire, size_bytes: int) -> ResponseWriter:
    """A writer for an answer that no handler writes."""
    wire.send(head("GET /waits"))
    return ResponseWriter(wire.routes.started[0], size_bytes, wire.clock, TIMEOUT_SECONDS)


def result_of(writer: ResponseWriter, *buffers: bytes) -> list[object]:
    """Start a write and show its result, when it has one."""
    results: list[object] = []
    Deferred.fromCoroutine(writer.write(buffers)).addBoth(results.append)
    return results


def test_who_is_not_cancelled_learns_that_the_client_is_gone(wire: Wire) -> None:
    """A write that waits, and one after it, fail with what ended the connection."""
    writer = writer_on(wire, 10)
    assert result_of(writer, b"12345") == [None]
    wire.channel.pauseProducing()
    waiting = result_of(writer, b"6")
    assert waiting == []
    wire.hang_up()
    for [failure] in (waiting, result_of(writer, b"7")):
        assert isinstance(failure, Failure)
        assert failure.check(ConnectionDone)


def test_a_client_that_left_needs_no_finish(wire: Wire) -> None:
    """All was written, whether it arrived or not."""
    writer = writer_on(wire, 5)
    assert result_of(writer, b"12345") == [None]
    wire.hang_up()
    writer.finish()


def test_a_dropped_client_stays_the_reason(wire: Wire) -> None:
    """That the connection is lost thereafter is no news."""
    writer = writer_on(wire, 10)
    result_of(writer, b"12345")
    wire.channel.pauseProducing()
    waiting = result_of(writer, b"6")
    wire.clock.advance(TIMEOUT_SECONDS)
    wire.hang_up()
    for [failure] in (waiting, result_of(writer, b"7")):
        assert isinstance(failure, Failure)
        assert failure.check(SlowClientError)


def test_an_answer_has_one_writer_at_most(wire: Wire) -> None:
    """A second body behind the first would look like part of it."""
    writer = writer_on(wire, 10)
    result_of(writer, b"12345")
    with pytest.raises(AssertionError):
        ResponseWriter(wire.routes.started[0], 10, wire.clock, TIMEOUT_SECONDS)


def test_too_many_bytes_are_never_sent(wire: Wire) -> None:
    """They would be taken for the next answer."""
    writer = writer_on(wire, 5)
    [failure] = result_of(writer, b"123456")
    assert isinstance(failure, Failure)
    assert failure.check(CorruptionError)
    assert wire.received == b""


def test_too_few_bytes_do_not_end_an_answer(wire: Wire) -> None:
    """The error takes the way of all errors after the first byte: the connection is aborted."""
    writer = writer_on(wire, 5)
    assert result_of(writer, b"1234") == [None]
    with pytest.raises(CorruptionError):
        writer.finish()


def test_an_answer_of_wrong_length_breaks_the_connection_off(
    expected_failures: Callable[..., list[Failure]],
) -> None:
    """A handler that writes too little cannot leave the client waiting, or deceived."""
    wire = Wire()
    wire.routes.answer_bytes = 10
    wire.routes.short_by_bytes = 1
    wire.send(GET)
    assert wire.aborted()
    assert len(expected_failures(CorruptionError)) == 1


def test_single_bytes_are_passed_on_as_they_are(wire: Wire) -> None:
    """Nothing is copied that the transport takes as it is."""
    written: list[bytes] = []
    writer = writer_on(wire, 300_000)
    wire.transport.write = written.append  # type: ignore[method-assign]
    block = bytes(100_000)
    assert result_of(writer, block) == [None]
    assert written[-1] is block


def test_writes_of_nothing_are_nothing(wire: Wire) -> None:
    """They neither begin the answer nor end it."""
    writer = writer_on(wire, 5)
    for buffers in ([], [b""], [b"12"], [], [b"345"]):
        assert result_of(writer, *buffers) == [None]
    writer.finish()
    assert wire.answers()[0].body == b"12345"


def test_an_unfinished_writer_leaves_room_for_an_error(wire: Wire) -> None:
    """Before the first byte an error is still answered in full."""
    writer = writer_on(wire, 10)
    wire.routes.gate.errback(SlowClientError("m"))
    assert wire.answers()[0].status == 408
    assert result_of(writer) == [None]
