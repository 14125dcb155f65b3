"""What the tools find: where an index does not tell what the volumes do."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.storage.bench import chunk_id
from tests.storage.log_bench import KeptDamage, LogBench
from twisted_store.core.volume import RECORD_HEAD_BYTES, NeedleState
from twisted_store.database import open_sqlite
from twisted_store.storage.index import Index
from twisted_store.storage.index_file import IndexDamagedError
from twisted_store.storage.inspection import (
    differences,
    index_of_file,
    index_of_volumes,
    rows,
    summaries,
)

PROVISIONAL, CONFIRMED, QUARANTINED, DEAD, GONE = NeedleState


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[LogBench]:
    """Four needles, one of them confirmed and one gone, and an index that tells all."""
    bench = LogBench(tmp_path / "node")
    for number in range(4):
        bench.put(number)
    bench.mark(CONFIRMED, 1)
    bench.mark(GONE, 3)
    bench.log.write_index()
    yield bench
    bench.kill()


def forge(bench: LogBench, number: int, **fields: int | NeedleState) -> None:
    """Change a row of the index, as a fault of the program would: its sums are right."""
    bench.log.index.close()
    with closing(Index(open_sqlite, bench.index_path)) as index:
        packed = chunk_id(number).packed
        row = index.get(packed)
        assert row is not None
        index.put(packed, row, row._replace(**fields) if fields else None)  # type: ignore[arg-type]
        index.write(index.place)


def found(bench: LogBench, folder: Path) -> list[tuple[str, str]]:
    """Chunks and what is said of them."""
    volumes = bench.log.volumes
    witness = KeptDamage()
    with (
        closing(index_of_volumes(volumes, open_sqlite, folder, witness)) as anew,
        closing(index_of_file(bench.disk, volumes, open_sqlite, folder, witness)) as index,
        volumes.opened() as opened,
    ):
        assert witness.damage == []
        damage = [*differences(index, anew, opened, ())]
        assert [*differences(index, anew, opened, {each.chunk_id for each in damage})] == []  # type: ignore[misc]
    return [(str(each.chunk_id), each.what) for each in damage]


def test_an_index_that_tells_what_the_volumes_do_is_right(bench: LogBench, tmp_path: Path) -> None:
    """Also after a compaction, which leaves other rows than are read anew."""
    assert found(bench, tmp_path) == []
    bench.mark(DEAD, 1)
    bench.roll()
    bench.put(1)
    bench.compact(1)
    bench.log.write_index()
    bench.put(7)
    assert found(bench, tmp_path) == []


def test_a_state_that_differs_is_told(bench: LogBench, tmp_path: Path) -> None:
    """With both."""
    forge(bench, 1, state=DEAD)
    [(chunk, what)] = found(bench, tmp_path)
    assert chunk == str(chunk_id(1))
    assert what.startswith("the index says that it is dead, the volumes say confirmed, at byte ")


def test_a_place_that_differs_is_told(bench: LogBench, tmp_path: Path) -> None:
    """With where it is."""
    offset = bench.row(0).offset
    forge(bench, 0, offset=offset - RECORD_HEAD_BYTES)
    [(chunk, what)] = found(bench, tmp_path)
    assert chunk == str(chunk_id(0))
    assert f"at byte {offset} of volume 1" in what


def test_a_needle_that_is_gone_is_told(bench: LogBench, tmp_path: Path) -> None:
    """The index has it still, and it can even be read."""
    offset = bench.row(3).offset
    forge(bench, 3, state=PROVISIONAL)
    what = f"the volumes say gone, at byte {offset} of volume 1"
    assert found(bench, tmp_path) == [
        (str(chunk_id(3)), f"the index says that it is provisional, {what}")
    ]


def test_a_needle_that_the_index_does_not_know_is_told(bench: LogBench, tmp_path: Path) -> None:
    """It would never be found."""
    forge(bench, 1)
    assert found(bench, tmp_path) == [
        (str(chunk_id(1)), "the index does not know this needle, which is confirmed")
    ]


def test_the_file_of_the_index_is_only_copied(bench: LogBench, tmp_path: Path) -> None:
    """What it does not tell yet is read into the copy."""
    bench.put(9)
    before = bench.index_path.read_bytes()
    index = index_of_file(bench.disk, bench.log.volumes, open_sqlite, tmp_path, KeptDamage())
    with closing(index):
        assert index.get(chunk_id(9).packed) == bench.row(9)
        assert len([*rows(index)]) == 5
    assert bench.index_path.read_bytes() == before


def test_an_index_that_a_start_would_not_believe_is_of_no_use(
    bench: LogBench, tmp_path: Path
) -> None:
    """A start would make it anew."""
    bench.kill()
    raw = bench.volume(1).read_bytes()
    bench.volume(1).write_bytes(raw[:-1])
    with pytest.raises(IndexDamagedError, match="knows more"):
        index_of_file(bench.disk, bench.log.volumes, open_sqlite, tmp_path, KeptDamage())
    bench.index_path.unlink()
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(IndexDamagedError, match="there is none"):
        index_of_file(bench.disk, bench.log.volumes, open_sqlite, empty, KeptDamage())


def test_a_volume_is_summed_up(bench: LogBench) -> None:
    """Needles by state, and what is not needed."""
    [summary] = summaries(bench.log.volumes, bench.log.index)
    assert summary.needles == {
        "provisional": 2,
        "confirmed": 1,
        "quarantined": 0,
        "dead": 0,
        "gone": 1,
    }
    assert (summary.batches, summary.first_sequence, summary.last_sequence) == (6, 1, 6)
    assert summary.live_bytes == 3 * bench.row(0).record_bytes
    assert summary.garbage == 1 - summary.live_bytes / summary.size_bytes
