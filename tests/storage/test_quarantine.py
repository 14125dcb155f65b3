"""Damaged chunks: set aside by whoever reads them, and never a good one."""

import errno
import os
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred

from tests.storage.bench import Bench, chunk_id, content_of, result_of, started, write
from tests.storage.seams import HeldCalls
from twisted_store.core.checksums import BLOCK_BYTES
from twisted_store.core.chunk_file import HEADER_BYTES
from twisted_store.core.durability import STRICT
from twisted_store.core.ids import ChunkId
from twisted_store.core.peer import Missing
from twisted_store.errors import ChecksumError, ChunkNotFoundError, CorruptionError
from twisted_store.storage.reader import READ_BLOCKS_MAX, ChunkReader

CHUNK, OTHER = chunk_id(1), chunk_id(2)
SMALL_BYTES = 1000
LARGE_BYTES = 20 * BLOCK_BYTES
SIZES = pytest.mark.parametrize("size", [SMALL_BYTES, LARGE_BYTES])
NOTHING = Missing((), ())


def damage(bench: Bench, chunk: ChunkId = CHUNK, position: int = 3) -> None:
    """Flip a bit of that byte of the chunk's content, in the file as it stands there."""
    with bench.file(chunk).open("r+b") as file:
        file.seek(HEADER_BYTES + position)
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte[0] ^ 1]))


def confirmed(bench: Bench, content: bytes, chunk: ChunkId = CHUNK) -> None:
    """Write a chunk, and confirm it."""
    bench.put(chunk, content)
    assert result_of(bench.store.mark(confirm=[chunk])) == NOTHING


def set_aside(bench: Bench, content: bytes = b"content", chunk: ChunkId = CHUNK) -> None:
    """Write a chunk, and let its damage be found."""
    confirmed(bench, content, chunk)
    damage(bench, chunk)
    with pytest.raises(CorruptionError):
        bench.get(chunk)
    assert chunk in bench.store.quarantined


def held_store(bench: Bench) -> HeldCalls:
    """Start again with calls that are held."""
    held = bench.run_blocking = HeldCalls()
    bench.restart()
    return held


def opened(bench: Bench, held: HeldCalls, chunk: ChunkId = CHUNK) -> ChunkReader:
    """A reader of a large chunk."""
    opening = started(bench.store.open(chunk))
    held.run_all()
    return result_of(opening)


def failed(read: "Deferred[Any]") -> None:
    """Expect that the read found damage."""
    with pytest.raises(ChecksumError):
        result_of(read)


@SIZES
@pytest.mark.parametrize("is_confirmed", [False, True])
def test_p9_a_damaged_chunk_is_set_aside_by_its_reader(
    bench: Bench, capsys: pytest.CaptureFixture[str], size: int, is_confirmed: bool
) -> None:
    """The reader gets the error, nobody gets the chunk again; said once, with the reason."""
    bench.put(CHUNK, content_of(size))
    if is_confirmed:
        result_of(bench.store.mark(confirm=[CHUNK]))
    damage(bench)
    used_bytes = bench.store.used_bytes
    with pytest.raises(ChecksumError):
        bench.get(CHUNK)
    assert bench.files() == [f"{CHUNK}.quarantined"]
    assert bench.store.quarantined == [CHUNK]
    assert bench.store.provisional_older_than(-1) == []
    assert (bench.store.counters.chunks_quarantined, bench.store.used_bytes) == (1, used_bytes)
    with pytest.raises(ChunkNotFoundError):
        bench.get(CHUNK)
    [line] = [line for line in capsys.readouterr().err.splitlines() if "set aside" in line]
    assert f"chunk {CHUNK} is damaged and set aside: Block 0" in line


def test_a_chunk_without_a_sound_footer_is_set_aside(bench: Bench) -> None:
    """It cannot even be opened."""
    confirmed(bench, b"content")
    os.truncate(bench.file(CHUNK), 10)
    with pytest.raises(CorruptionError):
        result_of(bench.store.open(CHUNK))
    assert bench.store.quarantined == [CHUNK]


def test_a_chunk_that_the_disk_cannot_read_is_set_aside(bench: Bench) -> None:
    """But not for an error that passes."""
    confirmed(bench, content_of(LARGE_BYTES))
    held = held_store(bench)
    for is_lasting in (False, True):
        bench.disk.failing["read_at"] = OSError(errno.EIO, "bad sector")
        opening = started(bench.store.open(CHUNK))
        held.run_next()
        with pytest.raises(CorruptionError):
            result_of(opening)
        if not is_lasting:
            bench.disk.failing.clear()
        held.run_all()
        assert (bench.store.quarantined == [CHUNK]) is is_lasting


def test_a_quarantine_survives_a_restart_and_is_synced(bench: Bench) -> None:
    """The name of the file says it."""
    confirmed(bench, b"content")
    damage(bench)
    bench.disk.calls.clear()
    with pytest.raises(ChecksumError):
        bench.get(CHUNK)
    assert bench.disk.calls[-2:] == [
        ("rename", f"{CHUNK}.quarantined"),
        ("sync_directory", "01"),
    ]
    used_bytes = bench.store.used_bytes
    bench.restart()
    assert (bench.store.quarantined, bench.store.used_bytes) == ([CHUNK], used_bytes)
    with pytest.raises(ChunkNotFoundError):
        bench.get(CHUNK)


def test_a_chunk_that_cannot_be_set_aside_is_found_again(bench: Bench) -> None:
    """The disk may take the rename the next time."""
    confirmed(bench, b"content")
    damage(bench)
    bench.disk.failing["rename"] = OSError(errno.EROFS, "read-only")
    with pytest.raises(ChecksumError):
        bench.get(CHUNK)
    assert (bench.files(), bench.store.quarantined) == ([f"{CHUNK}.confirmed"], [])
    bench.disk.failing.clear()
    with pytest.raises(ChecksumError):
        bench.get(CHUNK)
    assert bench.store.quarantined == [CHUNK]


def test_readers_at_once_set_a_chunk_aside_once(bench: Bench) -> None:
    """And keep what they have open."""
    content = content_of(LARGE_BYTES)
    confirmed(bench, content)
    damage(bench)
    held = held_store(bench)
    readers = [opened(bench, held) for _ in range(3)]
    reads = [started(reader.read(0, 1)) for reader in readers]
    held.run_all()
    for read in reads:
        failed(read)
    looked_for_under_two_names = 2
    assert bench.count("open") == looked_for_under_two_names * (len(readers) + 1)
    assert bench.store.counters.chunks_quarantined == 1
    later = started(readers[0].read(1, 1))
    held.run_all()
    assert result_of(later)[0] == content[BLOCK_BYTES : 2 * BLOCK_BYTES]


def test_damage_found_for_a_reader_who_left_counts(bench: Bench) -> None:
    """What was read ahead is looked at, too."""
    confirmed(bench, content_of(LARGE_BYTES))
    damage(bench)
    held = held_store(bench)
    read = started(opened(bench, held).read(0))
    read.addErrback(lambda failure: failure.trap(CancelledError)).cancel()
    held.run_all()
    assert bench.store.quarantined == [CHUNK]


@SIZES
def test_what_was_written_again_is_not_set_aside_for_its_forerunner(
    bench: Bench, size: int
) -> None:
    """Whenever it comes: before the damage is found, or at any call while it is looked at."""
    content = content_of(size)
    for calls_between in range(8):
        held = held_store(bench)
        chunk = chunk_id(1, calls_between)
        writing = started(write(bench.store.begin(chunk, None, STRICT), chunk, content))
        held.run_all()
        result_of(writing)
        damage(bench, chunk)
        opening = started(bench.store.open(chunk))
        held.run_all()
        reading = started(result_of(opening).read(0))
        again = started(write(bench.store.begin(chunk, None, STRICT), chunk, content))
        for _ in range(min(calls_between, len(held))):
            held.run_next()
        second = started(bench.store.open(chunk))
        second.addErrback(lambda failure: failure.trap(CorruptionError))
        held.run_all()
        failed(reading)
        result_of(again)
        assert bench.store.quarantined == []
        read = started(bench.store.open(chunk))
        held.run_all()
        block = started(result_of(read).read(0))
        held.run_all()
        assert result_of(block)[0] == content[: 16 * BLOCK_BYTES]


def test_a_chunk_written_again_while_its_forerunner_is_verified_stays(bench: Bench) -> None:
    """The damage found is that of a file that is gone."""
    blocks = 8 * READ_BLOCKS_MAX
    bench.put(CHUNK, content_of(blocks * BLOCK_BYTES))
    held = held_store(bench)
    damage(bench, position=blocks * BLOCK_BYTES - 1)
    read = started(opened(bench, held).read(blocks - 1))
    held.run_next()
    failed(read)
    held.run_next()  # what looks again has the old file open
    again = started(write(bench.store.begin(CHUNK, None, STRICT), CHUNK, b"new"))
    while not again.called:
        held.run_next()
    assert held  # it still looks
    held.run_all()
    assert bench.files() == [f"{CHUNK}.provisional"]
    assert bench.store.quarantined == []


def test_a_chunk_that_died_meanwhile_is_left_dead(bench: Bench) -> None:
    """It has its grace, and is reclaimed."""
    confirmed(bench, content_of(LARGE_BYTES))
    damage(bench)
    held = held_store(bench)
    read = started(opened(bench, held).read(0))
    buried = started(bench.store.mark(dead=[CHUNK]))
    held.run_all()
    failed(read)
    assert result_of(buried) == NOTHING
    assert (bench.files(), bench.store.quarantined) == ([f"{CHUNK}.dead"], [])


def test_a_chunk_set_aside_is_not_confirmed(bench: Bench) -> None:
    """The api learns that it lacks this chunk."""
    set_aside(bench)
    assert result_of(bench.store.mark(confirm=[CHUNK])) == Missing((CHUNK,), ())
    assert bench.files() == [f"{CHUNK}.quarantined"]


def test_a_chunk_set_aside_is_not_discarded(bench: Bench) -> None:
    """Only a dead mark, or its successor, ends it."""
    set_aside(bench)
    result_of(bench.store.discard(CHUNK))
    assert bench.store.quarantined == [CHUNK]


def test_a_dead_mark_ends_a_chunk_set_aside(bench: Bench) -> None:
    """Its space is reclaimed after the grace."""
    set_aside(bench)
    assert result_of(bench.store.mark(dead=[CHUNK])) == NOTHING
    assert (bench.files(), bench.store.quarantined) == ([f"{CHUNK}.dead"], [])
    bench.clock.advance(11)
    result_of(bench.store.reclaim(10))
    assert (bench.files(), bench.store.used_bytes) == ([], 0)


def test_a_chunk_set_aside_is_replaced_by_one_written_again(bench: Bench) -> None:
    """As a repair does; the bytes of the damaged one are free."""
    set_aside(bench, content_of(LARGE_BYTES))
    bench.put(CHUNK, b"new")
    assert (bench.files(), bench.store.quarantined) == ([f"{CHUNK}.provisional"], [])
    assert bench.store.used_bytes == bench.file(CHUNK).stat().st_size
    assert bench.get(CHUNK) == b"new"


def test_what_a_power_loss_left_beside_the_successor_is_removed(bench: Bench) -> None:
    """It took the removal back, and not the rename."""
    set_aside(bench)
    damaged = bench.file(CHUNK)
    content = damaged.read_bytes()
    bench.put(CHUNK, b"new")
    damaged.write_bytes(content)
    bench.restart()
    assert (bench.files(), bench.store.quarantined) == ([f"{CHUNK}.provisional"], [])
    assert bench.store.used_bytes == bench.file(CHUNK).stat().st_size


def test_a_chunk_set_aside_stays_known_beside_a_successor_that_is_torn(bench: Bench) -> None:
    """The power went before all of it was on the disk: the damage has still to be told."""
    set_aside(bench)
    damaged = bench.file(CHUNK)
    content = damaged.read_bytes()
    bench.put(CHUNK, b"new")
    os.truncate(bench.file(CHUNK), 10)
    damaged.write_bytes(content)
    bench.restart()
    assert (bench.files(), bench.store.quarantined) == ([f"{CHUNK}.quarantined"], [CHUNK])
    assert bench.store.used_bytes == len(content)


def test_only_those_still_set_aside_are_buried_on_an_answer(bench: Bench) -> None:
    """Between question and answer a chunk may have been written again, or be on its way."""
    rewritten, being_written = chunk_id(3), chunk_id(4)
    for chunk in (CHUNK, rewritten, being_written):
        set_aside(bench, chunk=chunk)
    bench.put(rewritten)
    writer = bench.store.begin(being_written, None, STRICT)
    result_of(bench.store.bury_quarantined([CHUNK, rewritten, being_written]))
    result_of(write(writer, being_written, b"content"))
    assert bench.files() == [
        f"{CHUNK}.dead",
        f"{rewritten}.provisional",
        f"{being_written}.provisional",
    ]


def test_what_is_about_to_replace_a_chunk_set_aside_is_not_buried(bench: Bench) -> None:
    """Its rename is under way when the answer comes."""
    set_aside(bench)
    held = held_store(bench)
    writing = started(write(bench.store.begin(CHUNK, None, STRICT), CHUNK, b"new"))
    held.run_next()
    burying = started(bench.store.bury_quarantined([CHUNK]))
    held.run_all()
    assert writing.called
    assert burying.called
    assert bench.files() == [f"{CHUNK}.provisional"]


def test_a_store_that_stops_renames_nothing_afterwards(bench: Bench) -> None:
    """Its directory may belong to the next process by then."""
    confirmed(bench, content_of(LARGE_BYTES))
    damage(bench)
    held = held_store(bench)
    reader = opened(bench, held)
    read = started(reader.read(0))
    held.run_next()
    failed(read)
    stopping = started(bench.store.stop())
    waited = not stopping.called
    held.run_all()
    assert (waited, stopping.called) == (True, True)
    assert bench.files() == [f"{CHUNK}.confirmed"]
    read = started(reader.read(0))
    held.run_all()
    failed(read)
    assert bench.files() == [f"{CHUNK}.confirmed"]
