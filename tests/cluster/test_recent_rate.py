"""How much was done lately: over the last ten seconds, and nothing of what was before."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock

from twisted_store.cluster.recent_rate import WINDOW_SECONDS, RecentRate


def test_the_rate_is_that_of_the_window() -> None:
    """It rises as long as something comes, and is nothing when the last of it is old."""
    clock = Clock()
    rate = RecentRate(clock.seconds)
    assert rate.bytes_per_second == 0
    for _ in range(30):
        clock.advance(1.0)
        rate.add(500)
    assert rate.bytes_per_second == pytest.approx(500, rel=0.11)
    clock.advance(WINDOW_SECONDS / 2)
    assert rate.bytes_per_second == pytest.approx(250, rel=0.25)
    clock.advance(WINDOW_SECONDS / 2 + 0.1)
    assert rate.bytes_per_second == 0


@given(st.lists(st.tuples(st.floats(0, 20), st.integers(0, 10**9)), max_size=50))
def test_what_was_added_within_the_window_counts(steps: list[tuple[float, int]]) -> None:
    """Neither more nor less, whenever it is asked."""
    clock = Clock()
    rate = RecentRate(clock.seconds)
    added: list[tuple[float, int]] = []
    for seconds, size_bytes in steps:
        clock.advance(seconds)
        rate.add(size_bytes)
        added.append((clock.seconds(), size_bytes))
        begin = clock.seconds() - WINDOW_SECONDS
        expected = sum(size for when, size in added if when >= begin)
        assert rate.bytes_per_second == expected / WINDOW_SECONDS
