"""A start: the index is believed if it is right, and else made anew; the volumes are the truth."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.storage.bench import chunk_id, content_of
from tests.storage.log_bench import LogBench, whole
from twisted_store.core.volume import (
    BATCH_HEAD_BYTES,
    RECORD_HEAD_BYTES,
    SUPERBLOCK_BYTES,
    NeedleState,
)
from twisted_store.database import open_sqlite
from twisted_store.storage import recovery
from twisted_store.storage.batch_draft import BatchDraft, Step
from twisted_store.storage.index_seal import seal

PROVISIONAL, CONFIRMED, QUARANTINED, DEAD, GONE = NeedleState
STATES = [PROVISIONAL, CONFIRMED, QUARANTINED, DEAD, GONE, PROVISIONAL]

Change = Callable[[LogBench], object]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[LogBench]:
    """Two volumes with needles in all states, all of which the index tells."""
    bench = LogBench(tmp_path / "node")
    for number in range(6):
        bench.put(number, content_of(1000 + number))
    bench.mark(CONFIRMED, 1, 2, 3)
    bench.roll()
    bench.mark(QUARANTINED, 2)
    bench.mark(DEAD, 3)
    bench.mark(GONE, 4)
    bench.log.write_index()
    yield bench
    bench.kill()


def all_is_there(bench: LogBench) -> bool:
    """Whether all needles are what they were, and can be read."""
    contents = [bench.content(number) for number in range(6)]
    return bench.states(range(6)) == STATES and contents == [
        content_of(1000 + number) for number in range(6)
    ]


def files(bench: LogBench) -> dict[Path, bytes]:
    """The index, byte by byte."""
    return {path: path.read_bytes() for path in bench.root.glob("volumes/index*")}


def put_back(bench: LogBench, kept: dict[Path, bytes]) -> None:
    """Put an index in place of the one that is there."""
    for path in bench.root.glob("volumes/index*"):
        path.unlink()
    for path, raw in kept.items():
        path.write_bytes(raw)


def reopen(bench: LogBench, change: Change) -> None:
    """Start again after a change to the files of a stopped node."""
    bench.kill()
    change(bench)
    bench.open()


def other_volumes_index(bench: LogBench) -> None:
    """Put the index of another node in place."""
    other = LogBench(bench.root / "other")
    for number in range(20):
        other.put(number, b"x" * 5000)
        other.roll()
    other.log.write_index()
    other.kill()
    shutil.copy(other.index_path, bench.index_path)


def forge(statement: str) -> Change:
    """Change the file of the index."""

    def change(bench: LogBench) -> None:
        database = open_sqlite(bench.index_path, False)
        database.execute(statement)
        database.close()

    return change


def test_an_index_that_tells_all_is_believed(bench: LogBench) -> None:
    """Nothing is read in the volumes but what is behind its place."""
    bench.restart()
    assert all_is_there(bench)
    assert bench.witness.damage == []
    [(done_bytes, all_bytes)] = bench.witness.read
    assert done_bytes == all_bytes == bench.volume(2).stat().st_size


@pytest.mark.parametrize(
    "change",
    [
        lambda bench: bench.index_path.unlink(),
        lambda bench: bench.index_path.write_bytes(b""),
        lambda bench: bench.index_path.write_bytes(b"garbage" * 999),
        lambda bench: bench.index_path.write_bytes(bench.index_path.read_bytes()[:4096]),
        other_volumes_index,
        forge("UPDATE needle SET state = 2"),
        forge("DELETE FROM needle"),
        forge("UPDATE place SET sequence = sequence + 1"),
        forge("UPDATE place SET offset = offset + 1"),
        forge("UPDATE place SET sequence = 1000000, offset = 1000000"),
        forge("PRAGMA user_version = 2"),
    ],
)
def test_an_index_that_is_of_no_use_is_made_anew(bench: LogBench, change: Change) -> None:
    """From all volumes."""
    reopen(bench, change)
    assert all_is_there(bench)
    assert bench.witness.read[-1][0] == sum(bench.log.volumes.sizes.values())
    bench.restart()
    assert all_is_there(bench)


def test_an_older_index_is_brought_up_to_date(bench: LogBench) -> None:
    """By what was written since."""
    bench.kill()
    kept = files(bench)
    bench.open()
    bench.mark(DEAD, 0)
    bench.roll()
    bench.put(7)
    bench.log.write_index()
    reopen(bench, lambda bench: put_back(bench, kept))
    assert bench.states([0, 7]) == [DEAD, PROVISIONAL]
    assert bench.witness.read[-1][1] < sum(bench.log.volumes.sizes.values())


def test_an_older_index_of_volumes_that_were_compacted_since_is_made_anew(bench: LogBench) -> None:
    """It knows needles where none are."""
    bench.kill()
    kept = files(bench)
    bench.open()
    bench.compact(1)
    reopen(bench, lambda bench: put_back(bench, kept))
    assert bench.states([0, 1, 2, 3]) == STATES[:4]
    assert bench.content(1) == content_of(1001)


def test_an_index_ahead_of_the_volumes_is_made_anew(bench: LogBench) -> None:
    """A power loss may take what was not synced, although the index has it."""
    size_bytes = bench.volume(2).stat().st_size
    bench.put(7, sync=False)
    bench.log.write_index()

    def cut(bench: LogBench) -> None:
        raw = bench.volume(2).read_bytes()
        bench.volume(2).write_bytes(raw[:size_bytes])

    reopen(bench, cut)
    assert bench.state(7) is None
    assert all_is_there(bench)
    bench.put(7)
    bench.restart()
    assert bench.content(7) == b"content"


def test_a_volume_that_is_missing_is_missed(bench: LogBench) -> None:
    """What was in it is not there, and is not said to be."""
    reopen(bench, lambda bench: bench.volume(1).unlink())
    assert bench.states(range(6)) == [None] * 6
    bench.put(0)
    assert bench.row(0).volume == 2


def test_a_sealed_index_is_not_looked_at_row_by_row(bench: LogBench) -> None:
    """Its sum is that of the file; the seal is broken at once."""

    def forge_and_seal(bench: LogBench) -> None:
        forge("UPDATE needle SET state = 4")(bench)
        seal(bench.disk, str(bench.index_path))

    reopen(bench, forge_and_seal)
    assert bench.states(range(6)) == [DEAD] * 6
    assert not Path(f"{bench.index_path}.seal").exists()
    bench.restart()
    assert bench.states(range(6)) == STATES


@pytest.mark.parametrize("keeps_index", [True, False])
@pytest.mark.parametrize("cut_bytes", [1, 50, 1000])
def test_a_torn_tail_is_cut_off(bench: LogBench, keeps_index: bool, cut_bytes: int) -> None:
    """And the volume is written on from there."""
    size_bytes = bench.volume(2).stat().st_size
    bench.put(7, content_of(1000))
    bench.kill()
    raw = bench.volume(2).read_bytes()
    bench.volume(2).write_bytes(raw[:-cut_bytes])
    if not keeps_index:
        bench.index_path.unlink()
    bench.open()
    assert bench.volume(2).stat().st_size == size_bytes
    assert bench.state(7) is None
    bench.put(8)
    assert bench.row(8).volume == 2
    bench.restart(keeps_index=keeps_index)
    assert all_is_there(bench)
    assert bench.content(8) == b"content"


def test_the_tail_of_a_sealed_volume_stays(bench: LogBench) -> None:
    """Nobody writes there any more."""
    bench.kill()
    raw = bench.volume(1).read_bytes()
    bench.volume(1).write_bytes(raw + b"torn")
    bench.index_path.unlink()
    bench.open()
    assert all_is_there(bench)
    assert bench.volume(1).read_bytes() == raw + b"torn"


def test_volumes_that_were_given_up_are_synced(bench: LogBench) -> None:
    """What is read in them counts from now on, and nothing writes it again."""
    bench.log.write_index()
    bench.put(7, sync=False)
    bench.disk.break_syncs(lambda path: path.endswith("2.volume"))
    with pytest.raises(OSError, match="error"):
        bench.put(8)
    bench.disk.heal()
    bench.log.volumes.make_room(1)
    bench.disk.calls.clear()
    bench.restart()
    assert bench.state(7) is PROVISIONAL
    assert ("sync", "0000000002.volume") in bench.disk.calls


@pytest.mark.parametrize("length", [0, 1, SUPERBLOCK_BYTES - 1, SUPERBLOCK_BYTES])
def test_a_volume_that_was_hardly_begun_is_no_trouble(bench: LogBench, length: int) -> None:
    """Without its superblock it is not written to."""
    bench.roll()
    bench.log.volumes.make_room(1)
    bench.kill()
    raw = bench.volume(3).read_bytes()
    bench.volume(3).write_bytes(raw[:length])
    bench.open()
    assert all_is_there(bench)
    bench.put(7)
    assert bench.row(7).volume == (3 if length == SUPERBLOCK_BYTES else 4)
    bench.restart(keeps_index=False)
    assert bench.content(7) == b"content"


@pytest.mark.parametrize(
    ("place", "damaged"),
    [
        (0, "gap"),
        (BATCH_HEAD_BYTES, "batch"),
        (BATCH_HEAD_BYTES + RECORD_HEAD_BYTES, "name"),
        (BATCH_HEAD_BYTES + RECORD_HEAD_BYTES + 17, "name"),
        (BATCH_HEAD_BYTES + RECORD_HEAD_BYTES + 500, "needle"),
    ],
)
def test_rot_costs_the_needle_that_it_hits(bench: LogBench, place: int, damaged: str) -> None:
    """One whose name can be told is set aside, though a mark confirms it; all else is there."""
    start = bench.row(1).offset - RECORD_HEAD_BYTES - BATCH_HEAD_BYTES
    bench.flip(1, start + place)
    bench.restart(keeps_index=False)
    assert bench.state(1) is (QUARANTINED if damaged == "needle" else None)
    assert [bench.state(number) for number in (0, 2, 3, 4, 5)] == [STATES[0], *STATES[2:]]
    told = [(each.volume, each.chunk_id) for each in bench.witness.damage]
    assert told[0] == (1, None)
    assert ((1, chunk_id(1)) in told) is (damaged == "needle")


def test_a_needle_in_rot_does_not_hide_those_beside_it(bench: LogBench) -> None:
    """Each record of a damaged batch is looked into by itself."""

    def three(draft: BatchDraft) -> None:
        for number in (10, 11, 12):
            draft.put(chunk_id(number).packed, whole(number), PROVISIONAL)
        draft.mark([chunk_id(12).packed], CONFIRMED)

    for offset, state in ((30, None), (70, QUARANTINED)):
        bench.log.run(Step(three, sync=True))
        bench.put(13)
        bench.flip(2, bench.row(10).offset + offset)
        bench.restart(keeps_index=False)
        assert bench.states([10, 11, 12, 13]) == [state, PROVISIONAL, CONFIRMED, PROVISIONAL]


def test_the_index_is_written_on_the_way(bench: LogBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not all rows of large volumes are held in memory."""
    monkeypatch.setattr(recovery, "UNWRITTEN_MAX", 1)
    bench.restart(keeps_index=False)
    assert all_is_there(bench)
    assert bench.log.index.unwritten == 0


def test_progress_is_told_batch_by_batch(bench: LogBench) -> None:
    """It never goes back, and ends with all."""
    bench.restart(keeps_index=False)
    read = bench.witness.read
    total = sum(bench.log.volumes.sizes.values())
    assert len(read) > 10
    assert read == sorted(read)
    assert {each[1] for each in read} == {total}
    assert read[-1][0] == total
