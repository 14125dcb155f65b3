"""ByteStream: order, bounds, ends and who is woken."""

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from twisted_store.streams import BLOCK_OVERHEAD_BYTES, ByteStream

HIGH, LOW = 10_000, 2_000


class Producer:
    """Remembers whether it may send."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def pauseProducing(self) -> None:
        """Note it."""
        self.calls.append("pause")

    def resumeProducing(self) -> None:
        """Note it."""
        self.calls.append("resume")


def make() -> tuple[ByteStream, Producer]:
    """A stream and its producer."""
    producer = Producer()
    return ByteStream(producer, HIGH, LOW), producer


async def read_all(stream: ByteStream) -> list[bytes]:
    """All pieces."""
    return [piece async for piece in stream]


def result_of(deferred: "Deferred[list[bytes]]") -> list[bytes]:
    """The result that must be there."""
    results: list[list[bytes]] = []
    deferred.addCallback(results.append)
    return results[0]


def test_pieces_come_in_order_whether_the_reader_waits_or_not() -> None:
    """Reading before and after the pieces came is the same."""
    early, _ = make()
    reading = Deferred.fromCoroutine(read_all(early))
    late, _ = make()
    for stream in (early, late):
        stream.put(b"one")
        stream.put(b"two")
        stream.end()
    assert result_of(reading) == [b"one", b"two"]
    assert result_of(Deferred.fromCoroutine(read_all(late))) == [b"one", b"two"]


def test_the_producer_is_paused_at_the_mark_and_resumed_below() -> None:
    """What was under way when paused is still taken."""
    stream, producer = make()
    stream.put(bytes(HIGH))
    stream.put(b"late")
    assert producer.calls == ["pause"]
    Deferred.fromCoroutine(anext(stream))
    assert producer.calls == ["pause", "resume"]


def test_tiny_pieces_are_counted_with_what_they_cost() -> None:
    """A sender of single bytes cannot fill memory with bookkeeping."""
    stream, producer = make()
    for _ in range(HIGH // BLOCK_OVERHEAD_BYTES + 1):
        stream.put(b"x")
    assert producer.calls == ["pause"]


def test_a_failure_comes_after_the_pieces_that_came() -> None:
    """And is raised as it is."""
    stream, _ = make()
    stream.put(b"one")
    stream.end(Failure(OSError("gone")))
    Deferred.fromCoroutine(anext(stream))
    reading = Deferred.fromCoroutine(read_all(stream))
    failures: list[Failure] = []
    reading.addErrback(failures.append)
    assert failures[0].check(OSError)


def test_the_producer_is_not_resumed_after_the_end() -> None:
    """It may serve somebody else by then."""
    stream, producer = make()
    stream.put(bytes(HIGH))
    stream.end()
    Deferred.fromCoroutine(anext(stream))
    assert producer.calls == ["pause"]


def test_a_discarded_stream_takes_and_forgets() -> None:
    """Nothing piles up when the reader has lost interest."""
    stream, producer = make()
    stream.put(bytes(HIGH))
    stream.discard()
    stream.put(bytes(HIGH))
    assert producer.calls == ["pause", "resume"]
    assert stream.received_bytes == 2 * HIGH


def test_a_cancelled_reader_loses_no_piece() -> None:
    """The piece that comes next goes to the next reader."""
    stream, _ = make()
    waiting = Deferred.fromCoroutine(anext(stream))
    waiting.cancel()
    failures: list[Failure] = []
    waiting.addErrback(failures.append)
    assert failures[0].check(CancelledError)
    stream.put(b"one")
    stream.end()
    assert result_of(Deferred.fromCoroutine(read_all(stream))) == [b"one"]


@pytest.mark.parametrize("ending", [None, Failure(OSError("gone"))])
def test_only_the_first_end_counts(ending: Failure | None) -> None:
    """A connection lost after a whole body does not spoil it."""
    stream, _ = make()
    stream.end()
    stream.end(ending)
    assert result_of(Deferred.fromCoroutine(read_all(stream))) == []


@pytest.mark.parametrize("at_once", [True, False])
def test_a_waiting_reader_is_woken_by_a_small_piece_if_it_wants_each_at_once(at_once: bool) -> None:
    """Otherwise it costs less to let some gather."""
    stream, _ = make()
    if at_once:
        stream.wake_at_once()
    woken: list[bytes] = []
    Deferred.fromCoroutine(anext(stream)).addCallback(woken.append)
    stream.put(b"one")
    assert woken == [b"one"] * at_once
