"""What a volume is without its superblock, and why it has a salt: clients may store volumes."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.storage.bench import chunk_id, content_of
from tests.storage.log_bench import LogBench, whole
from twisted_store.core.checksums import crc32c
from twisted_store.core.volume import (
    BATCH_HEAD_BYTES,
    RECORD_HEAD_BYTES,
    SALT_BYTES,
    SUPERBLOCK_BYTES,
    NeedleState,
    encode_batch,
    encode_mark,
    encode_superblock,
    needle_head,
)
from twisted_store.storage.witness import Damage

PROVISIONAL, CONFIRMED, QUARANTINED, DEAD, GONE = NeedleState
STATES = [CONFIRMED, DEAD, PROVISIONAL]

COPIES = (30, SUPERBLOCK_BYTES // 2 + 30)
"""A byte of the salt in each copy of the superblock."""


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[LogBench]:
    """Two volumes: needles, and marks in the second one; the index tells all."""
    bench = LogBench(tmp_path / "node", volume_bytes_max=20_000)
    for number in range(3):
        bench.put(number, content_of(1000 + number))
    bench.roll()
    bench.mark(CONFIRMED, 0, 1)
    bench.mark(DEAD, 1)
    bench.log.write_index()
    yield bench
    bench.kill()


def all_is_there(bench: LogBench) -> bool:
    """Whether all needles are what they were, and can be read."""
    contents = [bench.content(number) for number in range(3)]
    return bench.states(range(3)) == STATES and contents == [
        content_of(1000 + number) for number in range(3)
    ]


def damage_superblock(bench: LogBench, volume: int) -> bytes:
    """Let both copies rot; what the file is then."""
    for place in COPIES:
        bench.flip(volume, place)
    return bench.volume(volume).read_bytes()


def volume_that_buries(salt: bytes, numbers: range) -> bytes:
    """A sound volume with that salt and later batches, which say that those chunks are dead."""
    seed = crc32c(salt)
    packed = [chunk_id(number).packed for number in numbers]
    raw = whole(99)
    needle = [needle_head(PROVISIONAL, len(raw)), raw]
    marks = [encode_mark(DEAD, packed), encode_mark(GONE, packed)]
    batches = [encode_batch(1000, needle, seed), encode_batch(1001, marks, seed)]
    return encode_superblock(2, salt) + b"".join(batches)


def lose_head(bench: LogBench, content: bytes, place: int, *, is_last: bool) -> None:
    """Store a chunk, let that byte of its batch's head rot, and start without an index."""
    bench.put(9, content)
    start = bench.row(9).offset - RECORD_HEAD_BYTES - BATCH_HEAD_BYTES
    if not is_last:
        bench.put(10)
    bench.flip(2, start + place)
    bench.restart(keeps_index=False)


@pytest.mark.parametrize("is_last", [True, False])
@pytest.mark.parametrize("place", [0, 9, BATCH_HEAD_BYTES - 1])
def test_a_volume_that_a_client_stored_is_not_believed(
    bench: LogBench, place: int, is_last: bool
) -> None:
    """Although the head of the batch around it is lost."""
    lose_head(bench, volume_that_buries(bytes(SALT_BYTES), range(3)), place, is_last=is_last)
    assert bench.states([9, 99]) == [None, None]
    assert bench.state(10) is (None if is_last else PROVISIONAL)
    assert all_is_there(bench)
    bench.put(11)
    bench.restart(keeps_index=False)
    assert all_is_there(bench)
    assert bench.content(11) == b"content"


def test_without_salts_it_would_be(bench: LogBench) -> None:
    """It says what it likes in a volume that has its salt."""
    salt = bench.volume(2).read_bytes()[20 : 20 + SALT_BYTES]
    lose_head(bench, volume_that_buries(salt, range(3)), 0, is_last=False)
    assert bench.states([0, 1, 2, 99]) == [GONE, GONE, GONE, PROVISIONAL]


@pytest.mark.parametrize("volume", [1, 2])
@pytest.mark.parametrize("place", COPIES)
@pytest.mark.parametrize("keeps_index", [True, False])
def test_one_sound_copy_of_the_superblock_will_do(
    bench: LogBench, volume: int, place: int, keeps_index: bool
) -> None:
    """The volume is read, and written on."""
    bench.flip(volume, place)
    bench.restart(keeps_index=keeps_index)
    assert bench.witness.damage == []
    assert all_is_there(bench)
    bench.put(7)
    assert bench.row(7).volume == 2
    bench.restart(keeps_index=False)
    assert all_is_there(bench)
    assert bench.content(7) == b"content"


@pytest.mark.parametrize(
    ("volume", "states"),
    [(1, [None] * 3), (2, [PROVISIONAL] * 3)],
)
def test_a_volume_without_a_superblock_is_damaged_as_a_whole(
    bench: LogBench, volume: int, states: list[NeedleState | None]
) -> None:
    """It is told, its file stays as it is, and all else is there."""
    raw = damage_superblock(bench, volume)
    bench.restart(keeps_index=False)
    what = f"none of its batches can be verified: The superblock of volume {volume} is damaged."
    assert bench.witness.damage == [Damage(volume, 0, None, what)]
    assert bench.states(range(3)) == states
    bench.put(7)
    assert bench.row(7).volume == (2 if volume == 1 else 3)
    for keeps_index in (True, False):
        bench.restart(keeps_index=keeps_index)
        assert bench.states(range(3)) == states
        assert bench.content(7) == b"content"
    assert bench.volume(volume).read_bytes() == raw


@pytest.mark.parametrize("volume", [1, 2])
def test_what_the_index_tells_of_is_found_without_a_superblock(
    bench: LogBench, volume: int
) -> None:
    """By the checksums of the needles; what the index does not tell yet is lost."""
    bench.put(7)
    raw = damage_superblock(bench, volume)
    bench.restart()
    assert all_is_there(bench)
    assert bench.state(7) is (PROVISIONAL if volume == 1 else None)
    bench.put(8)
    assert bench.row(8).volume == (2 if volume == 1 else 3)
    bench.restart()
    assert all_is_there(bench)
    assert bench.content(8) == b"content"
    assert bench.volume(volume).read_bytes() == raw


def test_an_index_of_a_volume_that_is_empty_by_now_is_made_anew(bench: LogBench) -> None:
    """There is nothing left that it could tell of."""
    bench.kill()
    bench.volume(2).write_bytes(b"")
    bench.open()
    assert bench.states(range(3)) == [PROVISIONAL] * 3


@pytest.mark.parametrize("keeps_index", [True, False])
def test_a_volume_without_a_superblock_is_never_removed(bench: LogBench, keeps_index: bool) -> None:
    """To an index that was made anew all of it looks like garbage; others are compacted."""
    bench.roll()
    bench.put(5, content_of(5000))
    bench.mark(GONE, 5)
    raw = damage_superblock(bench, 1)
    bench.restart(keeps_index=keeps_index)
    if keeps_index:
        bench.mark(GONE, 0, 1, 2)
    bench.roll()
    bench.pass_grace()
    while bench.compaction.step(10**6).bytes:
        bench.go_on()
    assert bench.volume(1).read_bytes() == raw
    assert 3 not in bench.volumes


def test_a_volume_that_was_hardly_begun_is_removed(bench: LogBench) -> None:
    """There never was a batch in it."""
    bench.roll()
    bench.log.volumes.make_room(1)
    bench.kill()
    bench.volume(3).write_bytes(bench.volume(3).read_bytes()[:-1])
    bench.open()
    bench.put(7)
    bench.pass_grace()
    bench.go_on()
    bench.compaction.step(10**6)
    bench.go_on()
    assert bench.volumes == [1, 2, 4]
