"""Small chunks are needles in volumes: they live as others do, and outlive the process."""

import errno

import pytest

from tests.storage.bench import Bench, chunk_id, content_of, result_of, started
from tests.storage.log_bench import whole
from tests.storage.seams import HeldCalls
from twisted_store.core.durability import NONE, STRICT, Durability, DurabilityMode
from twisted_store.core.ids import ChunkId
from twisted_store.core.peer import Missing
from twisted_store.core.volume import BATCH_HEAD_BYTES, RECORD_HEAD_BYTES, SUPERBLOCK_BYTES
from twisted_store.core.whole_chunk import decode_whole
from twisted_store.database import open_sqlite
from twisted_store.errors import (
    ChunkNotFoundError,
    ConflictError,
    CorruptionError,
    NodeFailedError,
    NoSpaceError,
    StoreError,
)
from twisted_store.storage.disk import DiskFile
from twisted_store.storage.limits import StoreLimits
from twisted_store.storage.needles import WRITE_INDEX_SECONDS

CHUNK, OTHER = chunk_id(1), chunk_id(2)
NOTHING = Missing((), ())


@pytest.fixture
def needles(bench: Bench) -> Bench:
    """A store with volumes."""
    bench.limits = StoreLimits(reserve_bytes=0, volume_bytes_max=100_000)
    bench.restart()
    return bench


def volumes(bench: Bench) -> list[str]:
    """The names of all volumes, in order."""
    return sorted(path.name for path in (bench.root / "volumes").glob("*.volume"))


def states(bench: Bench) -> dict[ChunkId, str]:
    """All chunks with their states."""
    page = result_of(bench.store.list(None, 1000))
    assert page.next_after is None
    return {held.chunk_id: held.state.value for held in page.chunks}


@pytest.mark.parametrize("restarts", [False, True])
def test_a_small_chunk_goes_into_a_volume(needles: Bench, restarts: bool) -> None:
    """It makes no file of its own, and is found again after a kill."""
    needles.put(CHUNK, content_of(1000))
    if restarts:
        needles.restart()
    assert needles.get(CHUNK) == content_of(1000)
    assert needles.files() == []
    assert volumes(needles) == ["0000000001.volume"]
    assert states(needles) == {CHUNK: "provisional"}


@pytest.mark.parametrize("restarts", [False, True])
def test_the_life_of_a_needle(needles: Bench, restarts: bool) -> None:
    """Provisional, confirmed, dead."""
    needles.put(CHUNK)
    with pytest.raises(ChunkNotFoundError):
        needles.get(OTHER)
    assert result_of(needles.store.mark(confirm=[CHUNK, OTHER])) == Missing((OTHER,), ())
    with pytest.raises(ConflictError):
        needles.put(CHUNK)
    with pytest.raises(ConflictError):
        result_of(needles.store.discard(CHUNK))
    if restarts:
        needles.restart()
    assert states(needles) == {CHUNK: "confirmed"}
    assert result_of(needles.store.mark(dead=[CHUNK])) == NOTHING
    if restarts:
        needles.restart()
    assert states(needles) == {CHUNK: "dead"}
    assert needles.get(CHUNK) == b"content"
    needles.put(CHUNK)
    assert states(needles) == {CHUNK: "provisional"}
    result_of(needles.store.discard(CHUNK))
    if restarts:
        needles.restart()
    assert states(needles) == {}


def test_volumes_follow_each_other(needles: Bench) -> None:
    """None becomes larger than allowed."""
    for number in range(30):
        needles.put(chunk_id(number), content_of(10_000))
    assert len(volumes(needles)) == 4
    needles.restart()
    for number in range(30):
        assert needles.get(chunk_id(number)) == content_of(10_000)


def test_compaction_gives_space_back(needles: Bench) -> None:
    """What is alive stays, and is found after a restart, too."""
    needles.limits = StoreLimits(reserve_bytes=0, volume_bytes_max=4_000_000)
    needles.restart()
    for number in range(100):
        needles.put(chunk_id(number), content_of(100_000))
    result_of(needles.store.mark(confirm=[chunk_id(number) for number in range(100)]))
    used_bytes = needles.store.used_bytes
    result_of(needles.store.mark(dead=[chunk_id(number) for number in range(100) if number % 10]))
    result_of(needles.store.reclaim(10))
    assert result_of(needles.store.compact(100_000)) == 0
    needles.clock.advance(11)
    result_of(needles.store.reclaim(10))
    while result_of(needles.store.compact(100_000)):
        pass
    assert needles.store.used_bytes < used_bytes * 0.15
    alive = {chunk_id(number): "confirmed" for number in range(0, 100, 10)}
    assert states(needles) == alive
    for _ in range(2):
        for chunk in alive:
            assert needles.get(chunk) == content_of(100_000)
        needles.restart()
        assert states(needles) == alive


def relaxed(seconds: float) -> Durability:
    """Synced within so many seconds."""
    return Durability(DurabilityMode.RELAXED, seconds)


def test_a_strict_put_is_synced_before_it_is_acknowledged(needles: Bench) -> None:
    """And so is a mark; a relaxed one is synced in time, once for all."""
    needles.put(CHUNK)
    assert needles.disk.names()[-2:] == ["write_at", "sync"]
    result_of(needles.store.mark(confirm=[CHUNK]))
    assert needles.disk.names()[-2:] == ["write_at", "sync"]
    needles.disk.calls.clear()
    needles.put(OTHER, durability=relaxed(3))
    needles.put(chunk_id(3), durability=relaxed(1))
    needles.put(chunk_id(4), durability=NONE)
    assert needles.disk.names() == ["write_at"] * 3
    needles.clock.advance(1)
    assert needles.disk.names() == ["write_at"] * 3 + ["sync"]


def test_what_waits_for_a_batch_goes_together_in_the_next(needles: Bench) -> None:
    """With one sync, each with its own outcome."""
    held = HeldCalls()
    needles.run_blocking = held
    needles.restart()
    chunks = [decode_whole(whole(number)) for number in range(4)]
    puts = [started(needles.store.put_whole([chunk], STRICT)) for chunk in chunks]
    assert len(held) == 1
    needles.disk.calls.clear()
    held.run_all()
    assert needles.disk.names().count("sync") == 3
    assert [put.result for put in puts] == [[None]] * 4


@pytest.mark.parametrize(
    ("number", "error"), [(errno.ENOSPC, NoSpaceError), (errno.EIO, NodeFailedError)]
)
def test_a_disk_that_does_not_take_it(needles: Bench, number: int, error: type[StoreError]) -> None:
    """The put fails, nothing is there, and all goes well when the disk does again."""
    needles.put(CHUNK)
    used_bytes = needles.store.used_bytes
    needles.disk.break_writes(number, written_bytes=10)
    with pytest.raises(error):
        needles.put(OTHER)
    assert states(needles) == {CHUNK: "provisional"}
    assert needles.store.used_bytes >= used_bytes
    told = needles.store.problem != ""
    needles.disk.heal()
    needles.put(OTHER)
    assert told == (error is NodeFailedError)
    assert needles.store.problem == ""
    needles.restart()
    assert states(needles) == {CHUNK: "provisional", OTHER: "provisional"}


def test_a_disk_that_is_read_only_is_still_read(needles: Bench) -> None:
    """Puts and marks fail, and change nothing."""
    needles.put(CHUNK)
    needles.disk.turn_read_only()
    for call in (
        lambda: needles.put(OTHER),
        lambda: result_of(needles.store.mark(dead=[CHUNK])),
        lambda: result_of(needles.store.discard(CHUNK)),
    ):
        with pytest.raises(NodeFailedError):
            call()
    assert needles.get(CHUNK) == b"content"
    assert states(needles) == {CHUNK: "provisional"}


def test_the_index_file_tells_soon(needles: Bench) -> None:
    """A start reads only what was written in the last seconds."""
    needles.open_database = open_sqlite
    needles.restart()
    needles.put(CHUNK)

    def told() -> int:
        database = open_sqlite(needles.root / "volumes" / "index.sqlite", True)
        try:
            return int(database.execute("SELECT count(*) FROM needle").fetchone()[0])
        finally:
            database.close()

    assert told() == 0
    needles.clock.advance(WRITE_INDEX_SECONDS)
    assert told() == 1
    needles.put(OTHER)
    result_of(needles.store.stop())
    assert told() == 2


def test_an_old_provisional_chunk_can_be_dropped(needles: Bench) -> None:
    """Not one that was confirmed, or written again, since."""
    for number in (1, 2, 3):
        needles.put(chunk_id(number))
    needles.clock.advance(100)
    needles.put(chunk_id(4))
    result_of(needles.store.mark(confirm=[chunk_id(2)]))
    needles.put(chunk_id(3))
    assert needles.store.provisional_older_than(60) == [chunk_id(1)]
    for number in (1, 2, 3, 4):
        result_of(needles.store.drop(chunk_id(number), 60))
    assert set(states(needles)) == {chunk_id(2), chunk_id(3), chunk_id(4)}
    needles.restart()
    needles.clock.advance(61)
    assert needles.store.provisional_older_than(60) == [chunk_id(3), chunk_id(4)]


def rot(bench: Bench) -> None:
    """Let a bit of the content of the first needle rot."""
    path = bench.root / "volumes" / "0000000001.volume"
    raw = bytearray(path.read_bytes())
    raw[SUPERBLOCK_BYTES + BATCH_HEAD_BYTES + RECORD_HEAD_BYTES + 66] ^= 1
    path.write_bytes(raw)


@pytest.mark.parametrize("restarts", [False, True])
def test_a_damaged_needle_is_set_aside(needles: Bench, restarts: bool) -> None:
    """Until a dead mark comes, or it is written again."""
    needles.put(CHUNK)
    result_of(needles.store.mark(confirm=[CHUNK]))
    needles.put(OTHER)
    rot(needles)
    with pytest.raises(CorruptionError):
        needles.get(CHUNK)
    if restarts:
        needles.restart()
    assert states(needles) == {CHUNK: "quarantined", OTHER: "provisional"}
    assert needles.store.quarantined == [CHUNK]
    with pytest.raises(ChunkNotFoundError):
        needles.get(CHUNK)
    needles.put(CHUNK)
    assert needles.get(CHUNK) == b"content"
    assert needles.store.quarantined == []


@pytest.mark.parametrize("restarts", [False, True])
@pytest.mark.parametrize("small_first", [False, True])
def test_a_chunk_is_a_needle_or_a_file(needles: Bench, small_first: bool, restarts: bool) -> None:
    """Written as the other kind than before it is that alone."""
    limits = [needles.limits, StoreLimits(reserve_bytes=0, needle_bytes_max=0)]
    for each in limits if small_first else reversed(limits):
        needles.limits = each
        needles.restart()
        needles.put(CHUNK)
    if restarts:
        needles.restart()
    assert states(needles) == {CHUNK: "provisional"}
    assert len(needles.files()) == small_first
    assert needles.get(CHUNK) == b"content"
    result_of(needles.store.mark(dead=[CHUNK]))
    assert states(needles) == {CHUNK: "dead"}


def test_a_needle_that_moves_while_it_is_read_is_found(needles: Bench) -> None:
    """Its volume may be gone when it is opened."""
    needles.limits = StoreLimits(reserve_bytes=0, volume_bytes_max=10**7)
    needles.restart()
    for number in range(30):
        needles.put(chunk_id(number), content_of(90_000))
    result_of(needles.store.mark(dead=[chunk_id(number) for number in range(1, 30)]))
    result_of(needles.store.reclaim(10))
    needles.clock.advance(11)
    result_of(needles.store.reclaim(10))
    real_open = needles.disk.open

    def open_late(path: str) -> DiskFile:
        needles.disk.open = real_open  # type: ignore[method-assign]
        while result_of(needles.store.compact(10**6)):
            pass
        return real_open(path)

    needles.disk.open = open_late  # type: ignore[method-assign]
    assert needles.get(chunk_id(0)) == content_of(90_000)
    assert volumes(needles) == ["0000000002.volume"]


def test_used_bytes_are_those_of_the_volumes(needles: Bench) -> None:
    """After a restart, too."""
    for number in range(5):
        needles.put(chunk_id(number), content_of(30_000))
    used_bytes = sum(path.stat().st_size for path in (needles.root / "volumes").iterdir())
    assert needles.store.used_bytes == used_bytes
    needles.restart()
    assert needles.store.used_bytes == used_bytes
