"""Compaction: what is needed is moved, what is dead stays dead, whatever is lost meanwhile."""

import errno
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.storage.bench import chunk_id, content_of
from tests.storage.log_bench import LogBench, whole
from twisted_store.core.volume import NeedleState
from twisted_store.core.whole_chunk import decode_whole
from twisted_store.errors import CorruptionError
from twisted_store.storage.batch_draft import Step

PROVISIONAL, CONFIRMED, QUARANTINED, DEAD, GONE = NeedleState


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[LogBench]:
    """Volumes."""
    bench = LogBench(tmp_path / "node")
    yield bench
    bench.kill()


@pytest.mark.parametrize("keeps_index", [True, False])
def test_what_is_alive_is_moved_and_its_volume_goes(bench: LogBench, keeps_index: bool) -> None:
    """In its state, to be found by who reads all volumes, too."""
    for number in range(6):
        bench.put(number, content_of(100 + number))
    bench.mark(CONFIRMED, 1, 2, 3)
    bench.mark(QUARANTINED, 2)
    bench.mark(DEAD, 3)
    bench.mark(GONE, 4)
    assert bench.compact(1) == []
    assert bench.volumes == [2]
    for _ in range(2):
        assert bench.states(range(4)) == [PROVISIONAL, CONFIRMED, QUARANTINED, DEAD]
        assert bench.state(4) is None
        assert bench.content(5) == content_of(105)
        bench.restart(keeps_index=keeps_index)
        bench.go_on()


def test_a_dead_needle_is_kept_in_its_grace(bench: LogBench) -> None:
    """It is still read; later it is not, and the next compaction leaves nothing of it."""
    bench.put(1)
    bench.mark(DEAD, 1)
    bench.pass_grace()
    bench.put(2)
    bench.mark(DEAD, 2)
    bench.compact(1)
    assert bench.states([1, 2]) == [None, DEAD]
    assert bench.content(2) == b"content"
    bench.pass_grace()
    bench.compact(2)
    assert bench.state(2) is None
    [last] = bench.volumes
    assert bench.log.volumes.sizes[last] < 200, "an empty batch, for the index"


@pytest.mark.parametrize("state", [PROVISIONAL, CONFIRMED])
def test_a_dead_chunk_stays_dead_though_an_older_volume_has_it(
    bench: LogBench, state: NeedleState
) -> None:
    """Whatever the state was that the older volume tells of, and though the index is lost."""
    bench.put(1)
    bench.mark(state, 1)
    bench.put(9)
    bench.roll()
    bench.mark(DEAD, 1)
    bench.roll()
    bench.put(1)
    bench.mark(CONFIRMED, 1)
    bench.mark(DEAD, 1)
    bench.pass_grace()
    bench.compact(2)
    bench.compact(3)
    assert bench.volumes == [1, 4]
    assert bench.state(1) is GONE
    bench.restart(keeps_index=False)
    assert bench.state(1) is GONE
    bench.compact(4)
    bench.restart(keeps_index=False)
    assert bench.state(1) is GONE
    bench.compact(1)
    bench.restart(keeps_index=False)
    assert bench.states([1, 9]) == [None, PROVISIONAL]


def test_marks_in_a_volume_that_goes_are_written_once_more(bench: LogBench) -> None:
    """The needles that they belong to are elsewhere."""
    for number in range(3):
        bench.put(number)
    bench.roll()
    bench.mark(CONFIRMED, 0, 1)
    bench.mark(DEAD, 1)
    bench.compact(2)
    assert bench.volumes == [1, 3]
    bench.restart(keeps_index=False)
    assert bench.states(range(3)) == [CONFIRMED, DEAD, PROVISIONAL]


def test_a_damaged_needle_is_set_aside(bench: LogBench) -> None:
    """Others of the same batch are not."""
    for number in range(3):
        bench.put(number, content_of(1000))
    bench.mark(CONFIRMED, 0, 1, 2)
    bench.flip(1, bench.row(1).offset + 500)
    assert bench.compact(1) == [chunk_id(1)]
    for _ in range(2):
        assert bench.states(range(3)) == [CONFIRMED, QUARANTINED, CONFIRMED]
        assert bench.content(2) == content_of(1000)
        bench.restart(keeps_index=False)


@pytest.mark.parametrize("offset", [0, 16, 32, 40])
def test_one_with_a_damaged_header_keeps_its_name(bench: LogBench, offset: int) -> None:
    """Whoever reads the volumes anew finds it, and what stands behind it."""
    for number in range(3):
        bench.put(number)
    bench.flip(1, bench.row(0).offset + offset)
    bench.compact(1)
    bench.restart(keeps_index=False)
    assert bench.states(range(3)) == [QUARANTINED, PROVISIONAL, PROVISIONAL]


@pytest.mark.parametrize("state", [CONFIRMED, QUARANTINED, DEAD])
def test_one_that_the_disk_does_not_give_keeps_its_name(
    bench: LogBench, state: NeedleState
) -> None:
    """It is set aside unless it is dead; nothing of the same batch is lost."""
    for number in range(3):
        bench.put(number)
    bench.mark(CONFIRMED, 0, 1, 2)
    bench.mark(state, 0)
    bench.log.begin_compaction(1)
    packed = [chunk_id(number).packed for number in range(3)]
    assert bench.log.index.touching(1, None, 10) == packed
    broken = bench.row(0).offset
    real_open = bench.disk.open

    class _Broken:
        """A file of which one needle cannot be read."""

        def __init__(self, path: str) -> None:
            self._file = real_open(path)

        def read_at(self, offset: int, size_bytes: int) -> bytes:
            if offset == broken:
                raise OSError(errno.EIO, "gone")
            return self._file.read_at(offset, size_bytes)

        def close(self) -> None:
            self._file.close()

    bench.disk.open = _Broken  # type: ignore[method-assign,assignment]
    bench.go_on()
    bench.disk.open = real_open  # type: ignore[method-assign]
    wanted = [DEAD if state is DEAD else QUARANTINED, CONFIRMED, CONFIRMED]
    assert bench.states(range(3)) == wanted
    with pytest.raises(CorruptionError):
        decode_whole(bench.raw(0))
    bench.restart(keeps_index=False)
    assert bench.states(range(3)) == wanted
    assert bench.raw(1) == whole(1)


def test_a_volume_that_went_as_a_whole_does_not_cost_the_index(bench: LogBench) -> None:
    """Although the place up to which the index told all was in it: another one is made before."""
    bench.put(1)
    bench.roll()
    bench.put(2)
    bench.mark(DEAD, 2)
    bench.pass_grace()
    bench.compact(2)
    bench.log.write_index()
    bench.restart()
    last_bytes = bench.log.volumes.sizes[3]
    assert bench.witness.read == [(last_bytes, last_bytes)]
    assert bench.states([1, 2]) == [PROVISIONAL, None]
    bench.put(3)
    assert bench.row(3).volume == 3


@pytest.mark.parametrize("steps", range(1, 12))
@pytest.mark.parametrize("keeps_index", [True, False])
def test_a_crash_between_two_steps_loses_nothing(
    bench: LogBench, steps: int, keeps_index: bool
) -> None:
    """With the index the compaction goes on; without it another one may begin."""
    for number in range(6):
        bench.put(number, content_of(1000))
    bench.mark(CONFIRMED, 1, 2, 3, 4, 5)
    bench.mark(DEAD, 3)
    bench.pass_grace()
    bench.log.begin_compaction(1)
    for _ in range(steps):
        bench.compaction.step(3000)
    bench.restart(keeps_index=keeps_index)
    bench.go_on()
    assert bench.states([0, 1, 2, 4, 5]) == [PROVISIONAL, *[CONFIRMED] * 4]
    assert bench.state(3) in (DEAD, None)
    for number in (0, 1, 2, 4, 5):
        assert bench.content(number) == content_of(1000)


def test_a_state_that_changes_between_reading_and_moving_counts(bench: LogBench) -> None:
    """What is confirmed, or written again, or dead by then is so afterwards."""
    for number in range(4):
        bench.put(number, content_of(1000))
    bench.log.begin_compaction(1)
    real_run = bench.log.run

    def change_first(step: Step[Any]) -> Any:
        bench.log.run = real_run  # type: ignore[method-assign]
        bench.mark(CONFIRMED, 0)
        bench.mark(DEAD, 1)
        bench.mark(GONE, 2)
        bench.put(3, content_of(2000))
        return real_run(step)

    bench.log.run = change_first  # type: ignore[method-assign]
    bench.go_on()
    for _ in range(2):
        assert bench.states([0, 1]) == [CONFIRMED, DEAD]
        assert bench.state(2) in (GONE, None)
        assert bench.content(3) == content_of(2000)
        bench.restart(keeps_index=False)


def test_a_volume_that_cannot_be_removed_is_tried_again(bench: LogBench) -> None:
    """Nothing of it is needed meanwhile."""
    bench.put(1)
    bench.log.begin_compaction(1)
    bench.disk.failing["remove"] = OSError(errno.EROFS, "read only")
    with pytest.raises(OSError, match="read only"):
        bench.go_on()
    assert bench.volumes == [1, 2]
    assert bench.content(1) == b"content"
    bench.disk.failing.clear()
    bench.restart()
    bench.go_on()
    assert bench.volumes == [2]
    assert bench.content(1) == b"content"


def test_the_volume_that_gives_back_most_is_taken_when_it_is_old_enough(bench: LogBench) -> None:
    """Not before the grace is over."""
    for number in range(30):
        bench.put(number, content_of(100_000))
    bench.mark(DEAD, *range(15))
    assert bench.compaction.step(1000).bytes == 0
    bench.compaction.allow(10)
    assert bench.compaction.step(1000).bytes == 0
    bench.clock.advance(11)
    bench.compaction.allow(10)
    assert bench.compaction.step(1000).bytes > 0
    assert bench.log.index.compacting == 1
    bench.go_on()
    assert sum(bench.log.volumes.sizes.values()) < 16 * 101_000
    assert bench.compaction.step(1000).bytes == 0


def test_what_is_written_meanwhile_is_no_garbage(bench: LogBench) -> None:
    """A volume that grew since what is dead in it began to count is left alone."""
    bench.put(0, content_of(1000))
    bench.compaction.allow(10)
    bench.clock.advance(11)
    for number in range(1, 30):
        bench.put(number, content_of(100_000))
    bench.compaction.allow(10)
    assert bench.compaction.step(1000).bytes == 0
