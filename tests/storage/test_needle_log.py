"""The log of needles: what fails has changed nothing, and what was acknowledged is not lost."""

import errno
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.storage.bench import chunk_id, content_of
from tests.storage.log_bench import LogBench, whole
from twisted_store.core.volume import NeedleState
from twisted_store.errors import ConflictError, NoSpaceError
from twisted_store.storage.batch_draft import BatchDraft, Step
from twisted_store.storage.needle_log import BATCH_BYTES

PROVISIONAL, CONFIRMED, QUARANTINED, DEAD, GONE = NeedleState

Break = Callable[[LogBench], object]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[LogBench]:
    """Volumes with one needle, on a disk that is mended in the end."""
    bench = LogBench(tmp_path / "node")
    bench.put(0)
    yield bench
    mend(bench)
    bench.kill()


def put_step(number: int, *, sync: bool = True) -> Step[None]:
    """Write a needle."""
    packed, raw = chunk_id(number).packed, whole(number)
    return Step(lambda draft: draft.put(packed, raw, PROVISIONAL), sync)


def is_volume(path: str) -> bool:
    """Whether a path is that of a volume."""
    return path.endswith(".volume")


def break_syncs(bench: LogBench) -> None:
    """Volumes cannot be synced."""
    bench.disk.break_syncs(is_volume)


def fill_up(bench: LogBench) -> None:
    """A part of what is written arrives."""
    bench.disk.break_writes(errno.ENOSPC, written_bytes=60, matches=is_volume)


def break_syncs_and_cuts(bench: LogBench) -> None:
    """Volumes cannot be synced, nor cut."""
    break_syncs(bench)
    bench.disk.failing["truncate"] = OSError(errno.EIO, "broken")


def mend(bench: LogBench) -> None:
    """All goes well from now on."""
    bench.disk.heal()
    bench.disk.failing.clear()


FAILURES: list[Break] = [
    break_syncs,
    break_syncs_and_cuts,
    fill_up,
    lambda bench: bench.disk.break_writes(errno.EIO, matches=is_volume),
    lambda bench: bench.disk.turn_read_only(),
]


def test_steps_that_come_together_are_one_batch(bench: LogBench) -> None:
    """Synced once, if one of them wants that."""
    bench.disk.calls.clear()
    assert bench.log.perform([put_step(1, sync=False), put_step(2), put_step(3)]) == [None] * 3
    assert bench.disk.names() == ["write_at", "sync"]
    assert bench.log.sequence == 2
    assert [bench.row(number).sequence for number in (1, 2, 3)] == [2, 2, 2]
    bench.disk.calls.clear()
    bench.log.perform([put_step(4, sync=False)])
    assert bench.disk.names() == ["write_at"]


def test_a_step_sees_what_those_before_it_did(bench: LogBench) -> None:
    """Although nothing is written yet; nobody else sees it."""
    seen = []

    def look(draft: BatchDraft) -> None:
        row = draft.get(chunk_id(1).packed)
        assert row is not None
        seen.append(row.state)
        assert bench.state(1) is None
        draft.mark([chunk_id(1).packed], CONFIRMED)

    bench.log.perform([put_step(1), Step(look), put_step(2)])
    assert seen == [PROVISIONAL]
    assert bench.state(1) is CONFIRMED
    assert bench.content(1) == b"content"


def test_a_step_that_is_refused_leaves_the_others_alone(bench: LogBench) -> None:
    """Its error is its own."""

    def refuse(_: BatchDraft) -> None:
        raise ConflictError("No.")

    first, refused, last = bench.log.perform([put_step(1), Step(refuse), put_step(2)])
    assert (first, last) == (None, None)
    assert refused.check(ConflictError)
    assert bench.states([1, 2]) == [PROVISIONAL] * 2


def test_what_does_nothing_writes_nothing(bench: LogBench) -> None:
    """And has no number."""
    bench.disk.calls.clear()
    bench.log.run(Step(lambda draft: draft.mark([], DEAD), sync=True))
    assert bench.disk.calls == []
    assert bench.log.sequence == 1


@pytest.mark.parametrize("keeps_index", [True, False])
@pytest.mark.parametrize("failure", FAILURES)
def test_a_batch_that_fails_has_changed_nothing(
    bench: LogBench, failure: Break, keeps_index: bool
) -> None:
    """Its steps fail; the next one goes into a new volume when the disk is mended."""
    failure(bench)
    for _ in range(2):
        with pytest.raises(OSError):  # noqa: PT011
            bench.log.perform([put_step(1), put_step(2)])
        assert bench.states(range(3)) == [PROVISIONAL, None, None]
        assert (bench.log.problem == "") == (failure is fill_up)
    mend(bench)
    bench.put(3)
    assert bench.log.problem == ""
    assert bench.row(3).volume > 1
    bench.restart(keeps_index=keeps_index)
    if failure is not break_syncs_and_cuts:
        assert bench.states([1, 2]) == [None, None]
    assert bench.states([0, 3]) == [PROVISIONAL] * 2
    assert bench.content(0) == bench.content(3) == b"content"


@pytest.mark.parametrize("keeps_index", [True, False])
@pytest.mark.parametrize("failure", FAILURES)
def test_what_was_acknowledged_without_a_sync_is_written_once_more(
    bench: LogBench, failure: Break, keeps_index: bool
) -> None:
    """After the volume that it was in failed, with the next batch: the disk may have lost it."""
    first_bytes = bench.volume(1).stat().st_size
    bench.put(1, content_of(500), sync=False)
    bench.put(2, sync=False)
    bench.mark(CONFIRMED, 0, 2, sync=False)
    bench.mark(DEAD, 2, sync=False)
    failure(bench)
    with pytest.raises(OSError):  # noqa: PT011
        bench.put(3)
    assert bench.states(range(4)) == [CONFIRMED, PROVISIONAL, DEAD, None]
    mend(bench)
    bench.disk.calls.clear()
    bench.put(4, sync=False)
    assert "sync" in bench.disk.names()
    assert {bench.row(number).volume for number in (1, 2, 4)} == {bench.volumes[-1]}
    assert (bench.row(0).volume, bench.row(0).mark_volume) == (1, bench.volumes[-1])
    # As if what was not synced were lost.
    bench.kill()
    raw = bench.volume(1).read_bytes()
    bench.volume(1).write_bytes(raw[:first_bytes])
    if not keeps_index:
        bench.index_path.unlink()
    bench.open()
    assert bench.states([0, 1, 2, 4]) == [CONFIRMED, PROVISIONAL, DEAD, PROVISIONAL]
    assert bench.content(1) == content_of(500)


def test_what_was_synced_is_not_written_once_more(bench: LogBench) -> None:
    """It is where it was."""
    bench.put(1, sync=False)
    bench.put(2)
    break_syncs(bench)
    with pytest.raises(OSError):  # noqa: PT011
        bench.put(3)
    mend(bench)
    bench.put(4)
    assert [bench.row(number).volume for number in (0, 1, 2)] == [1, 1, 1]


def test_what_was_lost_with_an_unsynced_volume_is_not_there(bench: LogBench) -> None:
    """It cannot be read any more: nobody says that it is stored."""
    bench.put(1, sync=False)
    bench.put(2, sync=False)
    break_syncs(bench)
    with pytest.raises(OSError):  # noqa: PT011
        bench.put(3)
    bench.flip(1, bench.row(1).offset + 70)
    mend(bench)
    bench.put(4)
    assert bench.states([0, 1, 2, 4]) == [PROVISIONAL, None, PROVISIONAL, PROVISIONAL]


def test_the_index_is_written_only_after_the_volumes_are_synced(bench: LogBench) -> None:
    """Else it would know what a power loss takes."""
    bench.put(1, sync=False)
    break_syncs(bench)
    with pytest.raises(OSError):  # noqa: PT011
        bench.log.write_index()
    assert bench.log.index.unwritten
    mend(bench)
    bench.log.write_index()
    assert bench.log.index.unwritten == 0
    assert bench.row(1).volume == 2


def test_rows_that_are_written_before_a_failure_are_saved_too(bench: LogBench) -> None:
    """The index file never has what is not synced, so all that is in doubt is in memory."""
    bench.log.write_index()
    bench.put(1, sync=False)
    bench.log.write_index()
    bench.put(2, sync=False)
    break_syncs(bench)
    with pytest.raises(OSError):  # noqa: PT011
        bench.log.write_index()
    mend(bench)
    bench.put(3)
    assert [bench.row(number).volume for number in (1, 2, 3)] == [1, 2, 2]


def test_closing_writes_what_is_not_written(bench: LogBench) -> None:
    """The next start reads nothing."""
    bench.put(1, sync=False)
    bench.log.close()
    bench.open()
    size_bytes = bench.volume(1).stat().st_size
    assert bench.witness.read == [(size_bytes, size_bytes)]
    assert bench.content(1) == b"content"


def large_steps(count: int) -> list[Step[None]]:
    """More than goes into one batch."""
    raw = bytes(BATCH_BYTES // 8)

    def put(number: int, draft: BatchDraft) -> None:
        draft.put(chunk_id(number).packed, whole(number, raw), PROVISIONAL)

    return [Step(partial(put, number), sync=True) for number in range(1, count + 1)]


def test_a_batch_is_never_too_large_to_be_read(bench: LogBench) -> None:
    """However much is asked for at once: it becomes several."""
    assert bench.log.perform(large_steps(20)) == [None] * 20
    assert bench.log.sequence > 3
    bench.restart(keeps_index=False)
    assert bench.states(range(1, 21)) == [PROVISIONAL] * 20


def test_of_several_batches_those_before_a_failure_are_there(bench: LogBench) -> None:
    """Their steps have succeeded, all others fail."""
    bench.disk.failing_at = (len(bench.disk.calls) + 3, OSError(errno.ENOSPC, "full"))
    results = bench.log.perform(large_steps(20))
    bench.disk.failing_at = None
    succeeded = [result is None for result in results]
    assert succeeded == sorted(succeeded, reverse=True)
    assert 0 < sum(succeeded) < 20
    assert all(result is None or result.check(NoSpaceError) for result in results)
    assert [state is not None for state in bench.states(range(1, 21))] == succeeded


def test_what_is_saved_is_never_too_large_either(bench: LogBench) -> None:
    """All that was not synced goes once more, in as many batches as it takes."""
    for number in range(1, 21):
        bench.put(number, bytes(BATCH_BYTES // 8), sync=False)
    break_syncs(bench)
    with pytest.raises(OSError):  # noqa: PT011
        bench.put(21)
    mend(bench)
    bench.put(22)
    assert {bench.row(number).volume for number in range(1, 21)} == {2}
    bench.restart(keeps_index=False)
    assert bench.states(range(1, 21)) == [PROVISIONAL] * 20
