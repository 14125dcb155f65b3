"""Objects whose moves failed: tried again, later each time, and forgotten in the end."""

import pytest
from twisted.internet.task import Clock

from twisted_store.cluster.setbacks import (
    KEPT_MAX,
    RETRY_SECONDS_FIRST,
    RETRY_SECONDS_MAX,
    Setback,
    Setbacks,
)
from twisted_store.core.ids import object_id
from twisted_store.core.moves import Cause

A, B = object_id(1, 1, 1), object_id(1, 2, 2)


@pytest.mark.parametrize(
    ("times", "delay_seconds"), [(1, 5), (2, 10), (3, 20), (7, 320), (8, 600), (2000, 600)]
)
def test_an_object_is_tried_again_later_each_time(times: int, delay_seconds: float) -> None:
    """Twice as long after every failure, up to the bound; due at the moment itself."""
    clock = Clock()
    setbacks = Setbacks(clock.seconds)
    for number in range(times):
        setbacks.add(A, "a", Cause.LOST, f"reason {number}")
    [setback] = setbacks.of([Cause.LOST])
    assert setback == Setback("a", Cause.LOST, f"reason {times - 1}", times, delay_seconds)
    clock.advance(delay_seconds - 0.1)
    assert setbacks.waits(A)
    clock.advance(0.2)
    assert not setbacks.waits(A)
    assert setbacks.of([Cause.LOST])[0].retry_seconds == 0


def test_others_are_not_concerned() -> None:
    """Nor is the object itself after it was moved."""
    setbacks = Setbacks(Clock().seconds)
    setbacks.add(A, "a", Cause.LOST, "It rained.")
    assert not setbacks.waits(B)
    setbacks.clear(B)
    setbacks.clear(A)
    assert (setbacks.waits(A), len(setbacks)) == (False, 0)
    setbacks.add(A, "a", Cause.LOST, "It rained.")
    assert setbacks.of([Cause.LOST])[0].times == 1


def test_what_nobody_tries_again_is_forgotten() -> None:
    """The object may be gone; one that has just come due is kept."""
    clock = Clock()
    setbacks = Setbacks(clock.seconds)
    setbacks.add(A, "a", Cause.LOST, "It rained.")
    clock.advance(RETRY_SECONDS_FIRST + RETRY_SECONDS_MAX)
    setbacks.add(B, "b", Cause.LOST, "It rained.")
    setbacks.forget_old()
    assert len(setbacks) == 2
    clock.advance(0.1)
    setbacks.forget_old()
    assert [each.name for each in setbacks.of([Cause.LOST])] == ["b"]


def test_so_many_are_remembered() -> None:
    """One that is known counts on; the others are simply tried again."""
    setbacks = Setbacks(Clock().seconds)
    for number in range(KEPT_MAX + 5):
        setbacks.add(object_id(1, number, 0), str(number), Cause.LOST, "It rained.")
    assert len(setbacks) == KEPT_MAX
    assert not setbacks.waits(object_id(1, KEPT_MAX, 0))
    setbacks.add(object_id(1, 0, 0), "0", Cause.LOST, "It rained.")
    assert len(setbacks) == KEPT_MAX
    assert [each.name for each in setbacks.of([Cause.LOST])[:2]] == ["1", "2"]
