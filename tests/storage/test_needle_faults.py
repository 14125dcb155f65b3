"""Needles on disks that fail, and starts with an index that is not that of the volumes."""

import errno
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest

from tests.storage.bench import Bench, chunk_id, content_of, result_of
from tests.storage.seams import run_inline
from twisted_store.core.durability import Durability, DurabilityMode
from twisted_store.core.ids import ChunkId
from twisted_store.core.needles import NeedleRow, put
from twisted_store.core.volume import NeedleState
from twisted_store.database import open_sqlite
from twisted_store.errors import NodeFailedError, NoSpaceError
from twisted_store.storage.disk import OsDisk
from twisted_store.storage.index import Index, Place
from twisted_store.storage.index_file import IndexDamagedError
from twisted_store.storage.index_seal import is_sealed, seal
from twisted_store.storage.limits import StoreLimits
from twisted_store.storage.recovery import open_log
from twisted_store.storage.store import ChunkStore
from twisted_store.storage.volumes import INDEX_NAME
from twisted_store.storage.witness import LogWitness

CHUNK, OTHER = chunk_id(1), chunk_id(2)
RELAXED = Durability(DurabilityMode.RELAXED, 1.0)


@pytest.fixture
def needles(bench: Bench) -> Bench:
    """A store with volumes; its index is gone at each restart."""
    bench.limits = StoreLimits(reserve_bytes=0, volume_bytes_max=20_000)
    bench.restart()
    return bench


def states(bench: Bench) -> dict[ChunkId, str]:
    """All that is listed."""
    return {
        held.chunk_id: held.state.value for held in result_of(bench.store.list(None, 99)).chunks
    }


def compact(bench: Bench) -> None:
    """To the end, all that is dead now."""
    result_of(bench.store.reclaim(10))
    bench.clock.advance(11)
    result_of(bench.store.reclaim(10))
    while result_of(bench.store.compact(1)):
        pass


def test_what_could_not_be_synced_is_not_there_later(needles: Bench) -> None:
    """It is cut off before anything else is written, so what follows is read."""
    needles.disk.break_syncs()
    with pytest.raises(NodeFailedError):
        needles.put(CHUNK)
    needles.disk.heal()
    needles.put(OTHER)
    needles.restart()
    assert states(needles) == {OTHER: "provisional"}


def test_nothing_is_written_before_what_failed_is_cut_off(needles: Bench) -> None:
    """A disk that does not even do that takes nothing more, and says so."""
    needles.disk.turn_read_only()
    with pytest.raises(NodeFailedError):
        needles.put(CHUNK)
    with pytest.raises(NodeFailedError):
        needles.put(OTHER)
    assert needles.store.problem
    needles.disk.heal()
    needles.put(OTHER)
    assert states(needles) == {OTHER: "provisional"}


def test_a_step_of_a_compaction_that_fails_is_taken_again(needles: Bench) -> None:
    """No chunk is left behind in the volume, which is removed in the end."""
    kept = {chunk_id(number): "provisional" for number in range(2, 9)}
    for chunk in [CHUNK, *kept]:
        needles.put(chunk, content_of(2_000))
    result_of(needles.store.mark(dead=[CHUNK, chunk_id(2)]))
    del kept[chunk_id(2)]
    result_of(needles.store.reclaim(10))
    needles.clock.advance(11)
    result_of(needles.store.reclaim(10))
    needles.disk.break_writes(errno.ENOSPC)
    for _ in range(12):
        with suppress(NoSpaceError):
            result_of(needles.store.compact(1))
    needles.disk.heal()
    compact(needles)
    for chunk in kept:
        assert needles.get(chunk) == content_of(2_000)


def test_a_chunk_that_is_saved_from_a_volume_leaves_a_copy_there(needles: Bench) -> None:
    """So that it stays gone when the volume that it was saved to is."""
    needles.put(CHUNK, content_of(3_000), RELAXED)
    needles.disk.break_syncs()
    with pytest.raises(NodeFailedError):
        needles.put(OTHER)
    needles.disk.heal()
    needles.put(OTHER, content_of(1_000))
    result_of(needles.store.discard(CHUNK))
    compact(needles)
    needles.restart()
    assert states(needles) == {OTHER: "provisional"}


def test_a_volume_that_is_being_compacted_takes_nothing_more(bench: Bench) -> None:
    """A start finds it as the last one, and it is about to be removed."""
    root = str(bench.root)
    store_put(bench, CHUNK)
    log = open_log(OsDisk(), root, open_sqlite, Random(1), 20_000, LogWitness(lambda: 0.0))
    log.begin_compaction(1)
    log.write_index()
    log.close()
    log = open_log(OsDisk(), root, open_sqlite, Random(1), 20_000, LogWitness(lambda: 0.0))
    assert log.index.compacting == 1
    assert log.volumes.active is None
    log.close()


def store_put(bench: Bench, chunk: ChunkId) -> None:
    """Store a chunk in a process of its own, whose index stays."""
    limits = StoreLimits(reserve_bytes=0, volume_bytes_max=20_000)
    bench.store = ChunkStore(
        bench.disk,
        str(bench.root),
        run_inline,
        open_sqlite,
        bench.clock,
        lambda: 0.0,
        Random(1),
        limits,
    )
    bench.put(chunk)
    result_of(bench.store.stop())


def row(state: NeedleState, mark_volume: int = 1) -> NeedleRow:
    """A needle in that state."""
    return put(None, 1, 64, 100, state, 1)._replace(mark_volume=mark_volume)


@pytest.mark.parametrize(
    ("found", "state", "counts"),
    [
        (row(NeedleState.CONFIRMED), NeedleState.GONE, True),
        (row(NeedleState.DEAD), NeedleState.CONFIRMED, True),
        (row(NeedleState.QUARANTINED), NeedleState.CONFIRMED, True),
        (row(NeedleState.QUARANTINED, mark_volume=0), NeedleState.CONFIRMED, False),
        (row(NeedleState.QUARANTINED, mark_volume=0), NeedleState.DEAD, True),
        (row(NeedleState.GONE)._replace(volume=0), NeedleState.CONFIRMED, False),
    ],
)
def test_a_mark_that_is_found_counts_though_those_before_it_are_gone(
    found: NeedleRow, state: NeedleState, counts: bool
) -> None:
    """Volumes that held them may have been compacted."""
    assert found.is_reached_by(state) == counts


def test_an_index_with_a_log_is_not_sealed(tmp_path: Path) -> None:
    """The log may be that of an earlier file."""
    path = tmp_path / INDEX_NAME
    path.write_bytes(b"index")
    seal(OsDisk(), str(path))
    assert is_sealed(OsDisk(), str(path))
    path.with_name(f"{INDEX_NAME}-wal").write_bytes(b"")
    assert not is_sealed(OsDisk(), str(path))


@pytest.mark.parametrize(
    "change", ["UPDATE place SET compacting = 1", "INSERT INTO live VALUES (7, 7)"]
)
def test_an_index_that_says_something_else_of_volumes_is_damaged(
    change: str, tmp_path: Path
) -> None:
    """Even when all its rows are right."""
    path = tmp_path / INDEX_NAME
    index = Index(open_sqlite, path)
    index.put(CHUNK.packed, None, row(NeedleState.CONFIRMED))
    index.write(Place(1, 64, 1, 99))
    index.close()
    Index(open_sqlite, path).close()
    database = open_sqlite(path, False)
    database.execute(change)
    database.close()
    with pytest.raises(IndexDamagedError):
        Index(open_sqlite, path)
