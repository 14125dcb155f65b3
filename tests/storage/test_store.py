"""The life of chunks: marks, discards, reclaims."""

import errno

import pytest
from twisted.internet.defer import CancelledError, Deferred

from tests.storage.bench import Bench, chunk_id, result_of, started, write
from tests.storage.seams import HeldCalls
from twisted_store.core.durability import NONE, STRICT
from twisted_store.core.peer import Missing
from twisted_store.errors import (
    ChunkNotFoundError,
    ConflictError,
    NodeFailedError,
)

CHUNK, OTHER, ABSENT = chunk_id(1), chunk_id(2), chunk_id(3)
NOTHING = Missing((), ())


def test_marks_move_a_chunk_through_its_life(bench: Bench) -> None:
    """Provisional, confirmed, dead, gone; the content stays until the end."""
    bench.put(CHUNK)
    assert result_of(bench.store.mark(confirm=[CHUNK])) == NOTHING
    assert bench.files() == [f"{CHUNK}.confirmed"]
    assert result_of(bench.store.mark(dead=[CHUNK])) == NOTHING
    assert bench.files() == [f"{CHUNK}.dead"]
    assert bench.get(CHUNK) == b"content"
    bench.clock.advance(600.1)
    file_bytes = bench.store.used_bytes
    assert result_of(bench.store.reclaim(600)) == file_bytes
    assert (bench.files(), bench.store.used_bytes) == ([], 0)
    assert bench.store.counters.chunks_reclaimed == 1


def test_marks_may_be_repeated(bench: Bench) -> None:
    """The api repeats what it got no answer to."""
    bench.put(CHUNK)
    for _ in range(2):
        assert result_of(bench.store.mark(confirm=[CHUNK])) == NOTHING
    for _ in range(2):
        assert result_of(bench.store.mark(dead=[CHUNK])) == NOTHING


def test_missing_chunks_are_named(bench: Bench) -> None:
    """They do not keep the others from being marked; a dead one cannot be confirmed."""
    bench.put(CHUNK)
    bench.put(OTHER)
    missing = result_of(bench.store.mark(confirm=[ABSENT, CHUNK], dead=[OTHER, ABSENT]))
    assert missing == Missing((ABSENT,), (ABSENT,))
    assert bench.files() == [f"{CHUNK}.confirmed", f"{OTHER}.dead"]
    assert result_of(bench.store.mark(confirm=[OTHER])) == Missing((OTHER,), ())


def test_a_dead_mark_is_synced_before_it_is_acknowledged(bench: Bench) -> None:
    """Again and again, as an earlier one may have been cut short; one sync for each directory."""
    same_directory = chunk_id(1 + 256)
    for chunk in (CHUNK, same_directory, OTHER):
        bench.put(chunk)
    for _ in range(2):
        bench.disk.calls.clear()
        result_of(bench.store.mark(dead=[CHUNK, same_directory, OTHER]))
        assert bench.count("sync_directory") == 2
        assert bench.disk.names()[-2:] == ["sync_directory"] * 2
    bench.disk.calls.clear()
    result_of(bench.store.mark(dead=[CHUNK], durability=NONE))
    assert bench.count("sync_directory") == 0


def test_a_dead_mark_that_cannot_be_synced_is_not_acknowledged(bench: Bench) -> None:
    """The api repeats it."""
    bench.put(CHUNK)
    bench.disk.failing["sync_directory"] = OSError(errno.EIO, "broken")
    with pytest.raises(NodeFailedError):
        result_of(bench.store.mark(dead=[CHUNK]))
    assert bench.store.problem
    bench.disk.failing.clear()
    assert result_of(bench.store.mark(dead=[CHUNK])) == NOTHING


def test_confirming_a_synced_chunk_costs_one_rename(bench: Bench) -> None:
    """A power loss makes it provisional again, and the node asks again."""
    bench.put(CHUNK)
    bench.disk.calls.clear()
    result_of(bench.store.mark(confirm=[CHUNK]))
    assert bench.disk.calls == [("rename", f"{CHUNK}.confirmed")]


def test_a_mark_runs_to_its_end(bench: Bench) -> None:
    """Memory and directory agree although who asked has left."""
    bench.put(CHUNK)
    held = bench.run_blocking = HeldCalls()
    bench.restart()
    marked = started(bench.store.mark(dead=[CHUNK]))
    marked.addErrback(lambda failure: failure.trap(CancelledError)).cancel()
    held.run_all()
    assert bench.store.provisional_older_than(-1) == []
    bench.clock.advance(2)
    reclaimed = started(bench.store.reclaim(1))
    held.run_all()
    assert result_of(reclaimed) > 0
    assert bench.files() == []


def test_the_dead_are_kept_for_their_grace(bench: Bench) -> None:
    """Each for its own, counted from the first mark, and anew after a restart."""
    for chunk in (CHUNK, OTHER):
        bench.put(chunk)
        result_of(bench.store.mark(dead=[chunk]))
        bench.clock.advance(6)
    result_of(bench.store.mark(dead=[CHUNK]))
    result_of(bench.store.reclaim(10))
    assert bench.files() == [f"{OTHER}.dead"]
    bench.restart()
    bench.clock.advance(9)
    result_of(bench.store.reclaim(10))
    assert bench.get(OTHER) == b"content"
    bench.clock.advance(2)
    result_of(bench.store.reclaim(10))
    assert bench.files() == []


def test_many_dead_are_reclaimed_in_small_calls(bench: Bench) -> None:
    """So that removing large files does not look like a disk that hangs."""
    chunks = [chunk_id(number) for number in range(40)]
    for chunk in chunks:
        bench.put(chunk)
    result_of(bench.store.mark(dead=chunks))
    bench.clock.advance(2)
    held = bench.run_blocking = HeldCalls()
    bench.restart()
    bench.clock.advance(2)
    reclaimed = started(bench.store.reclaim(1))
    calls = 0
    while held:
        held.run_next()
        calls += 1
    assert result_of(reclaimed) > 0
    assert (calls, bench.files()) == (3, [])


def test_a_discarded_chunk_is_gone_at_once(bench: Bench) -> None:
    """A failed upload takes its chunk back; repeating that is fine."""
    bench.put(CHUNK)
    for _ in range(2):
        result_of(bench.store.discard(CHUNK))
    assert (bench.files(), bench.store.used_bytes) == ([], 0)
    assert bench.store.provisional_older_than(-1) == []
    with pytest.raises(ChunkNotFoundError):
        bench.get(CHUNK)


def test_a_confirmed_chunk_cannot_be_discarded(bench: Bench) -> None:
    """Its object is committed."""
    bench.put(CHUNK)
    result_of(bench.store.mark(confirm=[CHUNK]))
    with pytest.raises(ConflictError):
        result_of(bench.store.discard(CHUNK))
    assert bench.get(CHUNK) == b"content"


def test_a_dead_chunk_is_not_discarded(bench: Bench) -> None:
    """It has its grace."""
    bench.put(CHUNK)
    result_of(bench.store.mark(dead=[CHUNK]))
    result_of(bench.store.discard(CHUNK))
    assert bench.files() == [f"{CHUNK}.dead"]


def test_old_provisional_chunks_are_known(bench: Bench) -> None:
    """Oldest first; written again they are young, confirmed they are none."""
    for chunk in (CHUNK, OTHER, ABSENT):
        bench.put(chunk)
        bench.clock.advance(10)
    assert bench.store.provisional_older_than(15) == [CHUNK, OTHER]
    bench.put(CHUNK)
    result_of(bench.store.mark(confirm=[OTHER]))
    assert bench.store.provisional_older_than(5) == [ABSENT]
    assert bench.store.provisional_older_than(-1) == [ABSENT, CHUNK]


def test_the_age_of_the_oldest_call_is_known(bench: Bench) -> None:
    """For the heartbeat."""
    held = bench.run_blocking = HeldCalls()
    bench.restart()
    writing: Deferred[object] = started(
        write(bench.store.begin(CHUNK, None, STRICT), CHUNK, b"content")
    )
    bench.clock.advance(3)
    assert bench.store.oldest_call_seconds == 3
    held.run_all()
    assert result_of(writing)
    assert bench.store.oldest_call_seconds == 0


def test_an_old_chunk_is_dropped_only_as_long_as_it_is_the_old_one(bench: Bench) -> None:
    """A repair may put it again between question and answer."""
    for chunk in (CHUNK, OTHER, ABSENT):
        bench.put(chunk)
    bench.clock.advance(60)
    bench.put(OTHER)
    bench.clock.advance(2)
    for chunk in (CHUNK, OTHER, chunk_id(9)):
        result_of(bench.store.drop(chunk, 61))
    assert bench.files() == [f"{OTHER}.provisional", f"{ABSENT}.provisional"]
    assert bench.store.provisional_older_than(61) == [ABSENT]


def test_a_chunk_that_is_being_written_is_not_dropped(bench: Bench) -> None:
    """Neither the old file nor the new one."""
    bench.put(CHUNK)
    bench.clock.advance(61)
    writer = bench.store.begin(CHUNK, None, STRICT)
    result_of(bench.store.drop(CHUNK, 60))
    assert bench.get(CHUNK) == b"content"
    result_of(write(writer, CHUNK, b"new"))
    assert bench.get(CHUNK) == b"new"


def test_a_drop_under_way_does_not_take_what_is_written_after_it(bench: Bench) -> None:
    """It is in the lane before the new one gets its name."""
    bench.put(CHUNK)
    held = bench.run_blocking = HeldCalls()
    bench.restart()
    bench.clock.advance(61)
    held.run_all()
    dropped = started(bench.store.drop(CHUNK, 60))
    writing = started(write(bench.store.begin(CHUNK, None, STRICT), CHUNK, b"new"))
    held.run_all()
    result_of(dropped)
    result_of(writing)
    assert bench.files() == [f"{CHUNK}.provisional"]
    assert bench.store.provisional_older_than(-1) == [CHUNK]
