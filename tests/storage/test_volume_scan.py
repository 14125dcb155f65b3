"""A volume is read past damage, and up to a torn tail."""

from contextlib import closing
from pathlib import Path

import pytest

from twisted_store.core.checksums import crc32c
from twisted_store.core.volume import (
    BATCH_HEAD_BYTES,
    BATCH_MAGIC,
    SUPERBLOCK_BYTES,
    NeedleState,
    encode_batch,
    encode_superblock,
    needle_head,
)
from twisted_store.storage import volume_scan
from twisted_store.storage.disk import OsDisk
from twisted_store.storage.volume_scan import FoundBatch, Gap, VolumeScan

SALT = bytes(range(16))
SEED = crc32c(SALT)
PREFIX = encode_superblock(1, SALT)


def batch(sequence: int, content: bytes = b"content", seed: int = SEED) -> bytes:
    """A batch with one needle."""
    head = needle_head(NeedleState.PROVISIONAL, len(content))
    return encode_batch(sequence, [head, content], seed)


ONE, TWO, THREE = batch(1), batch(2), batch(5)
LENGTH = len(ONE)
SECOND = SUPERBLOCK_BYTES + LENGTH
THIRD = SECOND + LENGTH


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the volume is."""
    return tmp_path / "0000000001.volume"


def scanned(path: Path, raw: bytes, after: int = 0) -> tuple[list[tuple[int, int, str]], int]:
    """Beginning, end and kind of all that is found, and where the torn tail begins."""
    path.write_bytes(PREFIX + raw)
    with closing(OsDisk().open(str(path))) as file:
        scan = VolumeScan(file, SUPERBLOCK_BYTES, SEED, after)
        found = [(each.offset, each.end, _kind(each)) for each in scan]
        heads = VolumeScan(file, SUPERBLOCK_BYTES, SEED, after)
        sequences = [head.sequence for head in heads.heads()]
    whole = [kind for _, _, kind in found if kind.isdigit()]
    assert set(whole) <= set(map(str, sequences))
    return found, scan.end


def _kind(found: FoundBatch | Gap) -> str:
    if isinstance(found, Gap):
        return "gap"
    return f"{found.sequence}{' damaged' if found.damaged else ''}"


def flipped(raw: bytes, place: int) -> bytes:
    """With one bit changed."""
    return raw[:place] + bytes([raw[place] ^ 1]) + raw[place + 1 :]


FIRST = (SUPERBLOCK_BYTES, SECOND, "1")


def test_batches_are_found_in_order(path: Path) -> None:
    """Numbers may be missing."""
    found, end = scanned(path, ONE + TWO + THREE)
    assert found == [FIRST, (SECOND, THIRD, "2"), (THIRD, THIRD + LENGTH, "5")]
    assert end == THIRD + LENGTH
    assert scanned(path, b"") == ([], SUPERBLOCK_BYTES)


def test_reading_may_begin_behind_a_batch_that_is_known(path: Path) -> None:
    """What has its number or a lower one is passed over."""
    path.write_bytes(PREFIX + ONE + TWO + THREE)
    with closing(OsDisk().open(str(path))) as file:
        assert [_kind(each) for each in VolumeScan(file, SECOND, SEED, 1)] == ["2", "5"]
    assert scanned(path, TWO + THREE, after=2)[0][0][2] == "gap"


@pytest.mark.parametrize("length", range(1, LENGTH))
def test_a_torn_tail_is_left_out(path: Path, length: int) -> None:
    """However much of it arrived."""
    assert scanned(path, ONE + TWO[:length]) == ([FIRST], SECOND)


@pytest.mark.parametrize("place", range(LENGTH))
def test_a_last_batch_that_is_not_sound_is_a_torn_tail(path: Path, place: int) -> None:
    """Sectors of a write arrive in any order, zeros among them."""
    assert scanned(path, ONE + flipped(TWO, place)) == ([FIRST], SECOND)
    assert scanned(path, ONE + TWO[:place] + bytes(LENGTH - place)) == ([FIRST], SECOND)


@pytest.mark.parametrize("place", range(BATCH_HEAD_BYTES, LENGTH))
def test_rot_in_a_payload_damages_that_batch_alone(path: Path, place: int) -> None:
    """Its length is known."""
    found, end = scanned(path, ONE + flipped(TWO, place) + THREE)
    assert found == [FIRST, (SECOND, THIRD, "2 damaged"), (THIRD, THIRD + LENGTH, "5")]
    assert end == THIRD + LENGTH


@pytest.mark.parametrize("place", range(BATCH_HEAD_BYTES))
def test_rot_in_a_head_makes_a_gap(path: Path, place: int) -> None:
    """Up to the next sound batch."""
    found, _ = scanned(path, ONE + flipped(TWO, place) + THREE)
    assert found == [FIRST, (SECOND, THIRD, "gap"), (THIRD, THIRD + LENGTH, "5")]


def test_several_damaged_batches_in_a_row(path: Path) -> None:
    """Each is told as it is."""
    last = batch(9)
    damaged = flipped(TWO, LENGTH - 1) + flipped(THREE, LENGTH - 1)
    found, _ = scanned(path, ONE + damaged + last)
    assert [kind for _, _, kind in found] == ["1", "2 damaged", "5 damaged", "9"]
    found, _ = scanned(path, flipped(ONE, 0) + flipped(TWO, 0) + last)
    assert [kind for _, _, kind in found] == ["gap", "9"]


@pytest.mark.parametrize("content", [BATCH_MAGIC, BATCH_MAGIC * 10, b"x" + batch(1)])
def test_what_looks_like_a_batch_in_a_payload_is_none(path: Path, content: bytes) -> None:
    """Not even a whole one, as long as the batch around it is sound."""
    outer = batch(2, content)
    assert [kind for _, _, kind in scanned(path, ONE + outer + THREE)[0]] == ["1", "2", "5"]
    found, _ = scanned(path, ONE + flipped(outer, 0) + THREE)
    assert [kind for _, _, kind in found] == ["1", "gap", "5"]


def test_a_batch_in_the_payload_of_a_damaged_one_does_not_hide_what_follows(path: Path) -> None:
    """A chunk may hold the bytes of a volume, with a sequence number that fits."""
    outer = flipped(batch(2, batch(2**64 - 1)), LENGTH * 2 - 40)
    assert [kind for _, _, kind in scanned(path, ONE + outer + THREE)[0]] == ["1", "2 damaged", "5"]


@pytest.mark.parametrize("cut_bytes", range(1, LENGTH))
def test_a_batch_in_the_payload_of_a_torn_one_is_none(path: Path, cut_bytes: int) -> None:
    """Else a client could have the past replayed as it likes."""
    outer = batch(2, batch(2**64 - 1) + bytes(LENGTH))
    assert scanned(path, ONE + outer[:-cut_bytes]) == ([FIRST], SECOND)


@pytest.mark.parametrize("sequence", [2, 3, 2**64 - 1])
def test_a_batch_of_another_volume_in_a_payload_without_its_head_is_none(
    path: Path, sequence: int
) -> None:
    """A client may store the volumes of another node."""
    outer = batch(2, batch(sequence, seed=0) + batch(sequence, seed=crc32c(SALT[1:])))
    for place in (0, 5, BATCH_HEAD_BYTES - 1):
        found, _ = scanned(path, ONE + flipped(outer, place) + THREE)
        assert [kind for _, _, kind in found] == ["1", "gap", "5"]
        assert scanned(path, ONE + flipped(outer, place)) == ([FIRST], SECOND)


def test_batches_of_the_past_behind_the_tail_do_not_count(path: Path) -> None:
    """A file system may give back old blocks: their sequence numbers are too low."""
    assert scanned(path, THREE + ONE + TWO) == ([(SUPERBLOCK_BYTES, SECOND, "5")], SECOND)
    assert scanned(path, THREE + TWO[:9] + ONE + THREE)[1] == SECOND


@pytest.mark.parametrize("gap_bytes", range(90, 110))
def test_the_search_looks_across_its_windows(
    path: Path, monkeypatch: pytest.MonkeyPatch, gap_bytes: int
) -> None:
    """Wherever the next batch begins."""
    monkeypatch.setattr(volume_scan, "SEARCH_BYTES", 100)
    found, _ = scanned(path, bytes(gap_bytes) + ONE)
    end = SUPERBLOCK_BYTES + gap_bytes
    assert found == [(SUPERBLOCK_BYTES, end, "gap"), (end, end + LENGTH, "1")]


def test_a_head_that_promises_more_than_there_is_begins_the_torn_tail(path: Path) -> None:
    """Nothing is ever appended behind a batch that is not all there."""
    long = batch(2, b"x" * 1000)[: BATCH_HEAD_BYTES + 10]
    assert scanned(path, ONE + long + THREE) == ([FIRST], SECOND)
