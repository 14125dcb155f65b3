"""Which volume is compacted, if any."""

from twisted_store.core.garbage import (
    GARBAGE_FRACTION,
    GARBAGE_FRACTION_MIN,
    SMALL_FRACTION,
    SMALL_VOLUMES_MAX,
    volume_to_compact,
)

FULL = 64 * 2**20
LITTLE = int(FULL * GARBAGE_FRACTION_MIN)


def chosen(sizes: dict[int, int], live: dict[int, int], active: int | None = None) -> int | None:
    """The volume that is compacted."""
    return volume_to_compact(sizes, live, active, FULL)


def test_nothing_is_done_without_garbage() -> None:
    """However large it all is."""
    assert chosen({}, {}) is None
    assert chosen({1: FULL, 2: FULL}, {1: FULL, 2: FULL}) is None


def test_a_volume_counts_from_a_share_of_garbage_on() -> None:
    """Exactly there."""
    limit = int(FULL * (1 - GARBAGE_FRACTION))
    assert chosen({1: FULL}, {1: limit + 1}) is None
    assert chosen({1: FULL}, {1: limit}) == 1


def test_little_garbage_is_left_alone() -> None:
    """Although it is much of a small volume."""
    assert chosen({1: LITTLE - 1}, {}) is None
    assert chosen({1: LITTLE}, {}) == 1


def test_the_one_with_the_largest_share_is_first() -> None:
    """It gives back most for what is rewritten; the active one counts like the others."""
    sizes = {1: FULL, 2: FULL // 2, 3: FULL}
    assert chosen(sizes, {1: FULL // 2, 2: FULL // 8, 3: FULL // 3}) == 2
    assert chosen(sizes, {1: FULL // 2, 2: FULL // 2, 3: FULL // 3}, active=3) == 3


def test_many_small_volumes_are_merged() -> None:
    """The oldest first; the active one is not small for that, it grows."""
    small = int(FULL * SMALL_FRACTION) - 1
    sizes = dict.fromkeys(range(2, 2 + SMALL_VOLUMES_MAX), small)
    assert chosen(sizes, sizes) is None
    more = {**sizes, 1: small}
    assert chosen(more, more) == 1
    assert chosen(more, more, active=1) is None
    larger = {**sizes, 1: small + 1}
    assert chosen(larger, larger) is None
