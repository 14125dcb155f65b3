"""The files of volumes: one is written, none is longer than allowed, no number is used twice."""

import errno
from contextlib import nullcontext
from pathlib import Path
from random import Random

import pytest

from tests.storage.seams import WatchedDisk
from twisted_store.core.checksums import crc32c
from twisted_store.core.needles import NeedleRow
from twisted_store.core.volume import (
    BATCH_HEAD_BYTES,
    SUPERBLOCK_BYTES,
    NeedleState,
    encode_batch,
    encode_superblock,
)
from twisted_store.errors import CorruptionError
from twisted_store.storage.volumes import Unsynced, Volumes

FULL = 500

SALT = Random(1).randbytes(16)
SEED = crc32c(SALT)


@pytest.fixture
def disk() -> WatchedDisk:
    """A disk that can break."""
    return WatchedDisk()


@pytest.fixture
def volumes(disk: WatchedDisk, tmp_path: Path) -> Volumes:
    """No volume yet."""
    return opened(disk, tmp_path)


def opened(disk: WatchedDisk, root: Path) -> Volumes:
    """The volumes that are there."""
    volumes = Volumes(disk, str(root), Random(1), FULL)
    volumes.load()
    return volumes


def write(volumes: Volumes, sequence: int, payload: bytes) -> int:
    """Write a batch; where its payload is."""
    offset = volumes.make_room(len(payload))
    volumes.append(sequence, [payload])
    volumes.keep()
    return offset


def names(root: Path) -> list[str]:
    """What is in the directory."""
    return sorted(path.name for path in (root / "volumes").iterdir())


def test_a_first_batch_makes_a_volume(volumes: Volumes, tmp_path: Path) -> None:
    """With its superblock before it."""
    assert names(tmp_path) == []
    offset = write(volumes, 1, b"payload")
    assert offset == SUPERBLOCK_BYTES + BATCH_HEAD_BYTES
    raw = (tmp_path / "volumes" / "0000000001.volume").read_bytes()
    assert raw == encode_superblock(1, SALT) + encode_batch(1, [b"payload"], SEED)
    assert (volumes.active, volumes.sizes, volumes.used_bytes) == (1, {1: len(raw)}, len(raw))


def test_the_name_of_a_volume_is_synced_before_anything_counts(
    volumes: Volumes, disk: WatchedDisk
) -> None:
    """So is its superblock."""
    disk.calls.clear()
    write(volumes, 1, b"payload")
    assert disk.names() == ["create", "write_at", "sync", "sync_directory", "write_at"]


def test_a_full_volume_is_synced_and_sealed(
    volumes: Volumes, disk: WatchedDisk, tmp_path: Path
) -> None:
    """The batch that would make it longer goes to the next one."""
    room_bytes = FULL - SUPERBLOCK_BYTES - 2 * BATCH_HEAD_BYTES
    write(volumes, 1, b"x" * (room_bytes - 100))
    write(volumes, 2, b"x" * 100)
    assert volumes.sizes == {1: FULL}
    disk.calls.clear()
    write(volumes, 3, b"x")
    assert disk.calls[:2] == [("sync", "0000000001.volume"), ("close", "0000000001.volume")]
    assert (volumes.active, list(volumes.sizes)) == (2, [1, 2])


def test_a_batch_that_fits_into_none_gets_one_of_its_own(volumes: Volumes) -> None:
    """However large it is; an empty volume is not sealed for it."""
    write(volumes, 1, b"x" * 2 * FULL)
    write(volumes, 2, b"x" * 2 * FULL)
    assert list(volumes.sizes) == [1, 2]


def test_each_volume_has_its_own_seed(volumes: Volumes, disk: WatchedDisk, tmp_path: Path) -> None:
    """It stays when the volume is written on, as long as one copy of the superblock is sound."""
    write(volumes, 1, b"one")
    volumes.roll()
    write(volumes, 2, b"two")
    assert volumes.seed(1) == SEED != volumes.seed(2)
    seed = volumes.seed(2)
    volumes.seal()
    again = opened(disk, tmp_path)
    again.resume(2, again.sizes[2])
    assert again.seed(2) == seed
    path = tmp_path / "volumes" / "0000000001.volume"
    path.write_bytes(bytes(64) + path.read_bytes()[64:])
    assert again.seed(1) == SEED
    path.write_bytes(bytes(128) + path.read_bytes()[128:])
    with pytest.raises(CorruptionError):
        again.seed(1)
    with pytest.raises(CorruptionError):
        again.resume(1, 128)


def test_numbers_are_not_used_twice(volumes: Volumes, disk: WatchedDisk, tmp_path: Path) -> None:
    """The highest one that is there, or is known, counts."""
    for sequence in range(1, 4):
        write(volumes, sequence, b"x")
        volumes.roll()
    size_bytes = SUPERBLOCK_BYTES + BATCH_HEAD_BYTES + 1
    disk.calls.clear()
    assert volumes.remove(3) == size_bytes
    assert disk.calls == [("remove", "0000000003.volume"), ("sync_directory", "volumes")]
    write(volumes, 4, b"x")
    assert names(tmp_path) == [f"000000000{number}.volume" for number in (1, 2, 4)]
    (tmp_path / "volumes" / "11.volume").touch()
    (tmp_path / "volumes" / "0000000011.volume.old").touch()
    again = opened(disk, tmp_path)
    assert again.sizes == dict.fromkeys((1, 2, 4), size_bytes)
    again.last_number = 7
    write(again, 5, b"x")
    assert again.active == 8


def test_what_is_not_synced_is_known(volumes: Volumes, disk: WatchedDisk) -> None:
    """A sync without need is none."""
    first = volumes.unsynced
    assert first is None
    write(volumes, 1, b"x")
    assert volumes.unsynced == Unsynced(1, SUPERBLOCK_BYTES)
    disk.calls.clear()
    volumes.sync()
    volumes.sync()
    assert disk.names() == ["sync"]
    assert volumes.unsynced == Unsynced(1, SUPERBLOCK_BYTES + BATCH_HEAD_BYTES + 1)


def test_the_last_volume_is_resumed_without_its_torn_tail(
    volumes: Volumes, disk: WatchedDisk, tmp_path: Path
) -> None:
    """The cut is synced before anything is written behind it."""
    write(volumes, 1, b"one")
    end = volumes.sizes[1]
    write(volumes, 2, b"torn")
    volumes.seal()
    again = opened(disk, tmp_path)
    disk.calls.clear()
    again.resume(1, end)
    write(again, 2, b"2")
    assert disk.names() == ["reopen", "read_at", "truncate", "sync", "write_at"]
    raw = (tmp_path / "volumes" / "0000000001.volume").read_bytes()
    batches = encode_batch(1, [b"one"], SEED) + encode_batch(2, [b"2"], SEED)
    assert raw == encode_superblock(1, SALT) + batches


def test_a_volume_that_cannot_be_cut_is_not_resumed(
    volumes: Volumes, disk: WatchedDisk, tmp_path: Path
) -> None:
    """Its file is closed."""
    write(volumes, 1, b"one")
    volumes.seal()
    again = opened(disk, tmp_path)
    disk.failing["truncate"] = OSError(errno.EIO, "broken")
    with pytest.raises(OSError, match="broken"):
        again.resume(1, SUPERBLOCK_BYTES)
    assert disk.calls[-1] == ("close", "0000000001.volume")
    assert again.active is None


@pytest.mark.parametrize("cuts", [True, False])
def test_a_volume_is_given_up_after_a_failure(
    volumes: Volumes, disk: WatchedDisk, tmp_path: Path, cuts: bool
) -> None:
    """What was written of the last batch is cut off once the disk does it; the next one is new."""
    write(volumes, 1, b"one")
    disk.break_writes(errno.ENOSPC, written_bytes=9)
    if not cuts:
        disk.failing["truncate"] = OSError(errno.EIO, "broken")
    with pytest.raises(OSError, match="No space"):
        write(volumes, 2, b"two")
    volumes.give_up()
    with nullcontext() if cuts else pytest.raises(OSError, match="broken"):
        volumes.cut()
    size_bytes = (tmp_path / "volumes" / "0000000001.volume").stat().st_size
    assert size_bytes == volumes.sizes[1] + (0 if cuts else 9)
    disk.heal()
    disk.failing.clear()
    volumes.cut()
    size_bytes = (tmp_path / "volumes" / "0000000001.volume").stat().st_size
    assert size_bytes == volumes.sizes[1]
    write(volumes, 2, b"two")
    assert volumes.active == 2


def test_a_batch_that_could_not_be_synced_is_cut_off(volumes: Volumes, tmp_path: Path) -> None:
    """It does not count."""
    write(volumes, 1, b"one")
    kept_bytes = volumes.sizes[1]
    volumes.make_room(3)
    volumes.append(2, [b"two"])
    volumes.give_up()
    assert volumes.sizes[1] == kept_bytes
    volumes.cut()
    assert (tmp_path / "volumes" / "0000000001.volume").stat().st_size == kept_bytes


@pytest.mark.parametrize("call", ["create", "write_at", "sync", "sync_directory"])
def test_a_volume_that_cannot_be_begun_is_tried_again(
    volumes: Volumes, disk: WatchedDisk, call: str
) -> None:
    """Nothing counts as there meanwhile."""
    disk.failing[call] = OSError(errno.ENOSPC, "full")
    with pytest.raises(OSError, match="full"):
        volumes.make_room(1)
    assert (volumes.active, volumes.sizes) == (None, {})
    disk.failing.clear()
    write(volumes, 1, b"one")
    assert volumes.active == 1


def test_needles_are_read_by_their_rows(volumes: Volumes, disk: WatchedDisk) -> None:
    """Each volume is opened once; one that is gone is told."""
    offset = write(volumes, 1, b"abcdef")
    disk.calls.clear()
    with volumes.opened() as files:
        row = NeedleRow(1, offset + 1, 3, NeedleState.PROVISIONAL, 0, 1, 0, 0)
        assert files.read(row) == b"bcd"
        assert files.read(row._replace(offset=offset)) == b"abc"
        assert disk.names().count("open") == 1
        with pytest.raises(FileNotFoundError):
            files.read(row._replace(volume=2))
    assert disk.names().count("close") == 1


def test_to_look_changes_nothing(disk: WatchedDisk, tmp_path: Path) -> None:
    """Not even the directory is made."""
    volumes = Volumes(disk, str(tmp_path))
    with pytest.raises(FileNotFoundError):
        volumes.look()
    assert [*tmp_path.iterdir()] == []
