"""Space: promised before bytes come, and refused in time."""

import pytest

from tests.storage.bench import Bench, append, chunk_id, content_of, result_of
from twisted_store.core.durability import STRICT
from twisted_store.errors import NoSpaceError
from twisted_store.storage.disk import DiskSpace
from twisted_store.storage.limits import StoreLimits
from twisted_store.storage.space import ALLOWANCE_STEP_BYTES, Allowance, Space
from twisted_store.storage.writer import WRITE_BYTES_MIN

MIB = 1024 * 1024


def space(free: int, reserve: int | None = 0, capacity: int | None = None) -> Space:
    """Of a disk of 1000 MiB."""
    return Space(DiskSpace(free * MIB, 1000 * MIB), reserve, capacity)


def test_the_reserve_stays_free() -> None:
    """5 % of the disk unless another is asked for."""
    assert space(free=100, reserve=30 * MIB).free_bytes == 70 * MIB
    assert space(free=100, reserve=None).free_bytes == 50 * MIB
    assert space(free=20, reserve=None).free_bytes == 0


def test_capacity_is_the_limit_or_what_the_disk_has() -> None:
    """Whichever is less; it does not change by what is written."""
    limited = space(free=100, capacity=40 * MIB)
    assert limited.capacity_bytes == 40 * MIB
    limited.took(10 * MIB)
    assert (limited.used_bytes, limited.free_bytes) == (10 * MIB, 30 * MIB)
    assert limited.capacity_bytes == 40 * MIB
    of_the_disk = space(free=100)
    of_the_disk.took(10 * MIB)
    assert of_the_disk.capacity_bytes == 100 * MIB
    of_the_disk.measured(DiskSpace(50 * MIB, 1000 * MIB))
    assert of_the_disk.capacity_bytes == 60 * MIB


def test_writers_are_promised_no_more_than_there_is() -> None:
    """What one writer expects, another cannot have; what it does not need, it gives back."""
    room = space(free=100)
    first = Allowance(room, 60 * MIB)
    with pytest.raises(NoSpaceError, match="reserve"):
        Allowance(room, 41 * MIB)
    first.spend(10 * MIB)
    second = Allowance(room, 40 * MIB)
    second.close(kept=False)
    first.close(kept=True)
    assert (room.used_bytes, room.free_bytes) == (10 * MIB, 90 * MIB)
    Allowance(room, 90 * MIB).close(kept=False)


def test_a_removed_draft_gives_back_what_it_used() -> None:
    """Its bytes too, even those beyond its promise."""
    room = space(free=100)
    allowance = Allowance(room, MIB)
    allowance.spend(MIB + 100)
    assert room.used_bytes == MIB + 100
    allowance.close(kept=False)
    assert (room.used_bytes, room.free_bytes) == (0, 100 * MIB)
    allowance.close(kept=False)
    Allowance(room, 100 * MIB)


def test_a_writer_of_unknown_length_is_promised_step_by_step() -> None:
    """And stopped when the next step is not there."""
    room = space(free=3)
    allowance = Allowance(room, None)
    for bytes_so_far in (1, ALLOWANCE_STEP_BYTES, ALLOWANCE_STEP_BYTES + 1, 3 * MIB):
        allowance.cover(bytes_so_far)
    with pytest.raises(NoSpaceError):
        allowance.cover(3 * MIB + 1)


def test_a_node_that_is_full_refuses_before_the_first_byte(bench: Bench) -> None:
    """507 instead of a body that cannot be kept."""
    bench.disk.space_bytes = DiskSpace(10 * MIB, 100 * MIB)
    bench.limits = StoreLimits(reserve_bytes=8 * MIB, needle_bytes_max=0)
    bench.restart()
    with pytest.raises(NoSpaceError):
        bench.store.begin(chunk_id(1), 2 * MIB + 1, STRICT)
    assert bench.disk.calls == []
    bench.put(chunk_id(1), content_of(MIB))
    bench.disk.space_bytes = DiskSpace(8 * MIB, 100 * MIB)
    result_of(bench.store.measure_space())
    assert bench.store.free_bytes == 0
    with pytest.raises(NoSpaceError):
        bench.store.begin(chunk_id(2), 1, STRICT)


def test_an_upload_is_stopped_at_the_reserve(bench: Bench) -> None:
    """Its length was not known: the bytes beyond are refused, and all of it is removed."""
    bench.limits = StoreLimits(reserve_bytes=0, capacity_bytes_max=2 * MIB, needle_bytes_max=0)
    bench.restart()
    writer = bench.store.begin(chunk_id(1), None, STRICT)
    with pytest.raises(NoSpaceError):
        result_of(append(writer, chunk_id(1), content_of(4 * MIB)))
    result_of(writer.abort())
    assert (bench.files(), bench.store.used_bytes) == ([], 0)
    bench.put(chunk_id(1), content_of(MIB))


def test_used_bytes_are_counted_at_start(bench: Bench) -> None:
    """Of all states; the incoming are gone."""
    stored = [bench.put(chunk_id(number), content_of(number * 1000)) for number in range(5)]
    result_of(bench.store.mark(confirm=[chunk_id(1)], dead=[chunk_id(2)]))
    writer = bench.store.begin(chunk_id(9), None, STRICT)
    result_of(append(writer, chunk_id(9), content_of(WRITE_BYTES_MIN)))
    used_bytes = sum(each.file_bytes for each in stored)
    assert bench.store.used_bytes > used_bytes + WRITE_BYTES_MIN
    bench.restart()
    assert bench.store.used_bytes == used_bytes
    result_of(bench.store.stop())
