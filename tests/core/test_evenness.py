"""Tests of `twisted_store.core.evenness`."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twisted_store.core.evenness import optimum, spread, usable_bytes
from twisted_store.core.fills import NodeFill
from twisted_store.core.ids import NodeId

CAPACITIES = st.lists(st.integers(0, 10**15), min_size=1, max_size=30)
WIDTHS = st.integers(1, 10)


def node(capacity_bytes: int, used_bytes: int, usable: bool = True) -> NodeFill:
    """A node of these figures."""
    return NodeFill(NodeId("a" * 16), "zone", capacity_bytes, used_bytes, usable)


def test_nodes_below_the_cap_stand_at_one_level() -> None:
    """Without a node too large for its neighbours all are filled to the same fraction."""
    assert optimum([150, *[100] * 6], 375) == pytest.approx([75, *[50] * 6])


def test_a_large_node_holds_one_chunk_of_every_object() -> None:
    """Its level is lower than that of the others, which share the rest."""
    assert optimum([400, *[100] * 5], 50) == pytest.approx([10, *[8] * 5])
    assert optimum([400, *[100] * 4], 50) == pytest.approx([10, *[10] * 4])


def test_what_no_longer_fits_under_the_cap_lies_level_in_bytes() -> None:
    """Data written before nodes went away has an optimum too."""
    assert optimum([10, 2, 2, 2], 11) == pytest.approx([5, 2, 2, 2])


def test_more_than_all_capacity_is_refused() -> None:
    """There is no fill to speak of."""
    with pytest.raises(ValueError, match="do not fit"):
        optimum([10] * 5, 51)


@given(CAPACITIES, WIDTHS, st.floats(0, 1))
def test_optimum_places_everything_within_capacity(
    capacities: list[int], width: int, part: float
) -> None:
    """Whatever the sizes: the sum is right and no node overflows."""
    total = int(sum(capacities) * part)
    best = optimum(capacities, total, width)
    assert sum(best) == pytest.approx(total)
    assert all(
        0 <= there <= capacity * (1 + 1e-9)
        for there, capacity in zip(best, capacities, strict=True)
    )


@given(CAPACITIES, WIDTHS, st.floats(0, 1))
def test_optimum_of_what_fits_is_level_below_the_cap(
    capacities: list[int], width: int, part: float
) -> None:
    """No node is above the cap, and those below it are equally full: nothing could be more even."""
    total = int(usable_bytes(capacities, width, k=width).usable_bytes * part)
    best = optimum(capacities, total, width)
    cap = total / width
    assert max(best) <= cap * (1 + 1e-9)
    levels = [
        there / capacity
        for there, capacity in zip(best, capacities, strict=True)
        if capacity > 0 and there < cap * (1 - 1e-9)
    ]
    assert not levels or max(levels) == pytest.approx(min(levels))


def test_spread_is_the_largest_distance_from_the_optimum() -> None:
    """Seven equal nodes at 50 %, but one at 57 % and one at 43 %."""
    nodes = [node(100, 50) for _ in range(5)] + [node(100, 57), node(100, 43)]
    assert spread(nodes) == pytest.approx(0.07)


def test_spread_expects_no_more_of_a_large_node_than_it_can_reach() -> None:
    """A node of four times the capacity, with one chunk of every object, is perfectly even."""
    assert spread([node(400, 10)] + [node(100, 8) for _ in range(5)]) == pytest.approx(0)


def test_spread_leaves_out_nodes_that_are_not_usable() -> None:
    """A suspect node takes nothing, so its fill says nothing about placement."""
    nodes = [node(100, 50) for _ in range(5)] + [node(100, 0, usable=False)]
    assert spread(nodes) == pytest.approx(0)


def test_spread_of_nothing_is_zero() -> None:
    """A cluster without nodes, without capacity or fuller than full still has a gauge."""
    assert spread([]) == 0
    assert spread([node(0, 0)]) == 0
    assert spread([node(100, 120) for _ in range(5)]) == 0


def test_equal_nodes_can_all_fill_up() -> None:
    """All of the capacity is usable at 5+0, five sevenths of it at 5+2."""
    plain = usable_bytes([100] * 7, width=5)
    assert (plain.raw_bytes, plain.usable_bytes, plain.stranded_bytes) == (700, 700, 0)
    assert plain.limit == "every node can fill up"
    assert usable_bytes([100] * 7, width=7).usable_bytes == 500


def test_small_nodes_limit_large_ones() -> None:
    """Of 15, 5 are usable at 5+2: when the small nodes are full, two large ones are not enough."""
    usable = usable_bytes([1, 1, 1, 1, 1, 5, 5], width=7)
    assert (usable.raw_bytes, usable.usable_bytes, usable.stranded_bytes) == (15, 5, 8)
    assert usable.limit == "the small nodes limit it, 2 larger cannot fill up"


def test_too_few_nodes_hold_nothing() -> None:
    """Four nodes cannot take five chunks."""
    usable = usable_bytes([100] * 4)
    assert (usable.usable_bytes, usable.stranded_bytes) == (0, 400)
    assert usable.limit == "an object needs 5 nodes, there are 4"
