"""Relaxed durability: acknowledged first, synced within the window, and confirmed only then."""

import errno
from collections.abc import Callable

import pytest
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from tests.storage.bench import Bench, chunk_id, result_of, started, write
from tests.storage.seams import HeldCalls
from twisted_store.core.durability import NONE, STRICT, Durability, DurabilityMode
from twisted_store.core.peer import Missing
from twisted_store.errors import NodeFailedError
from twisted_store.storage.files import START_SYNC_SECONDS

CHUNK, OTHER = chunk_id(1), chunk_id(2)


def relaxed(window_seconds: float) -> Durability:
    """With that window."""
    return Durability(DurabilityMode.RELAXED, window_seconds)


def pending_calls(clock: Clock) -> int:
    """Passes that are to come."""
    return len(clock.getDelayedCalls())


def test_a_pass_syncs_all_that_was_acknowledged_before(bench: Bench) -> None:
    """Files first, then their names, once; afterwards nothing is left to do."""
    for chunk in (CHUNK, OTHER):
        bench.put(chunk, durability=relaxed(1))
    bench.disk.calls.clear()
    bench.clock.advance(0.9)
    assert bench.disk.calls == []
    bench.clock.advance(0.2)
    assert bench.disk.names() == [*["open", "sync", "close"] * 2, *["sync_directory"] * 2]
    assert pending_calls(bench.clock) == 0
    bench.put(CHUNK, durability=relaxed(1))
    bench.clock.advance(1)
    assert bench.count("sync") == 3


def test_the_shortest_window_counts(bench: Bench) -> None:
    """A later write with a shorter window draws the pass nearer, one with a longer does not."""
    for window_seconds in (60, 2, 30):
        bench.put(CHUNK, durability=relaxed(window_seconds))
    bench.clock.advance(2)
    assert bench.count("sync") == 1
    assert pending_calls(bench.clock) == 0


def test_what_comes_during_a_pass_goes_with_the_next(bench: Bench) -> None:
    """One pass at a time, and none is forgotten."""
    held = bench.run_blocking = HeldCalls()
    bench.restart()
    first = started(write(bench.store.begin(CHUNK, None, relaxed(1)), CHUNK, b"content"))
    held.run_all()
    second = started(write(bench.store.begin(OTHER, None, relaxed(1)), OTHER, b"content"))
    held.run_next()
    bench.clock.advance(1)
    held.run_next()
    assert result_of(first) != result_of(second)
    bench.clock.advance(5)
    assert len(held) == 1
    held.run_all()
    assert bench.count("sync") == 1
    assert pending_calls(bench.clock) == 1
    bench.clock.advance(1)
    held.run_all()
    assert bench.count("sync") == 2
    assert pending_calls(bench.clock) == 0


def test_confirming_syncs_what_is_not_synced_yet(bench: Bench) -> None:
    """Nothing old is given up for a chunk that a power loss can take: first sync, then confirm."""
    bench.put(CHUNK, durability=relaxed(60))
    bench.disk.calls.clear()
    result_of(bench.store.mark(confirm=[CHUNK]))
    assert bench.disk.names() == ["open", "sync", "close", "sync_directory", "rename"]
    bench.clock.advance(60)
    assert bench.count("sync") == 1


def test_chunks_that_nobody_syncs_are_confirmed_without(bench: Bench) -> None:
    """Durability none is for benchmarks."""
    bench.put(CHUNK, durability=NONE)
    result_of(bench.store.mark(confirm=[CHUNK], durability=NONE))
    assert bench.count("sync") + bench.count("sync_directory") == 0
    assert pending_calls(bench.clock) == 0


@pytest.mark.parametrize("durability", [STRICT, relaxed(1)])
def test_after_a_restart_provisional_chunks_count_as_unsynced(
    bench: Bench, durability: Durability
) -> None:
    """The process that acknowledged them may have died before it synced them."""
    bench.put(CHUNK, durability=durability)
    bench.put(OTHER, durability=durability)
    bench.restart()
    result_of(bench.store.mark(confirm=[CHUNK]))
    assert bench.disk.names()[-2:] == ["sync_directory", "rename"]
    assert bench.count("sync") == 1
    bench.clock.advance(START_SYNC_SECONDS)
    assert bench.count("sync") == 2


def test_a_chunk_that_cannot_be_synced_is_never_confirmed(
    bench: Bench, expected_failures: Callable[..., list[Failure]]
) -> None:
    """A second sync would succeed without having written anything; it stays readable."""
    bench.put(CHUNK, durability=relaxed(1))
    bench.put(OTHER, durability=relaxed(1))
    bench.disk.failing["sync"] = OSError(errno.EIO, "broken")
    bench.clock.advance(1)
    assert len(expected_failures(OSError)) == 2
    assert bench.store.problem
    bench.disk.failing.clear()
    bench.put(OTHER, b"written again")
    assert result_of(bench.store.mark(confirm=[CHUNK, OTHER])) == Missing((CHUNK,), ())
    assert bench.get(CHUNK) == b"content"
    assert bench.files() == [f"{CHUNK}.provisional", f"{OTHER}.confirmed"]


def test_a_directory_that_cannot_be_synced_is_tried_again(
    bench: Bench, expected_failures: Callable[..., list[Failure]]
) -> None:
    """By the next pass, and by whoever asks to confirm."""
    bench.put(CHUNK, durability=relaxed(1))
    bench.disk.failing["sync_directory"] = OSError(errno.EIO, "broken")
    bench.clock.advance(1)
    assert len(expected_failures(NodeFailedError)) == 1
    with pytest.raises(NodeFailedError):
        result_of(bench.store.mark(confirm=[CHUNK]))
    assert bench.files() == [f"{CHUNK}.provisional"]
    bench.disk.failing.clear()
    bench.clock.advance(1)
    assert not bench.store.problem
    bench.disk.calls.clear()
    result_of(bench.store.mark(confirm=[CHUNK]))
    assert bench.disk.names() == ["rename"]


def test_a_chunk_that_went_before_the_pass_needs_no_sync(bench: Bench) -> None:
    """Discarded, or dead."""
    bench.put(CHUNK, durability=relaxed(1))
    bench.put(OTHER, durability=relaxed(1))
    result_of(bench.store.discard(CHUNK))
    result_of(bench.store.mark(dead=[OTHER]))
    bench.clock.advance(1)
    assert bench.count("sync") == 0


def test_stopping_syncs_what_is_not(bench: Bench) -> None:
    """And leaves no pass behind."""
    bench.put(CHUNK, durability=relaxed(60))
    result_of(bench.store.stop())
    assert bench.count("sync") == 1
    assert pending_calls(bench.clock) == 0


def test_many_files_are_synced_by_few_threads_in_small_calls(bench: Bench) -> None:
    """Four at a time, so that the file system can commit them together."""
    for number in range(200):
        bench.put(chunk_id(number), durability=relaxed(60))
    held = bench.run_blocking = HeldCalls()
    bench.restart()
    confirmed = started(bench.store.mark(confirm=[chunk_id(number) for number in range(200)]))
    held.run_next()  # finds no needles of them
    assert len(held) == 4
    held.run_next()
    assert 0 < bench.count("sync") < 50
    assert len(held) == 4
    held.run_all()
    assert result_of(confirmed) == Missing((), ())
