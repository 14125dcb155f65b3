"""Chunks go from nodes above their goal to nodes below it: no more than must be, and apart."""

from collections import Counter
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twisted_store.core.evenness import optimum
from twisted_store.core.fills import NodeFill
from twisted_store.core.ids import NodeId, Placement, object_id
from twisted_store.core.layout import holders, placement_of
from twisted_store.core.manifest import Manifest
from twisted_store.core.moves import Cause, Group, MovableObject, Plan, Step
from twisted_store.core.reasons import NO_REASONS
from twisted_store.core.rebalance import (
    SPREAD_BEGIN,
    SPREAD_END,
    Balance,
    Shift,
    live_fills,
    should_balance,
)
from twisted_store.core.scheme import Scheme

NODES = tuple(NodeId(f"{number:016x}") for number in range(12))
CAPACITY_BYTES = 100_000


def fill(number: int, used_bytes: int, zone: str = "", usable: bool = True) -> NodeFill:
    """A node, in a zone of its own if no other is given."""
    return NodeFill(NODES[number], zone or f"z{number}", CAPACITY_BYTES, used_bytes, usable)


def fills_of(used: list[int], zones: str = "") -> list[NodeFill]:
    """Nodes that hold so much; a letter of ``zones`` is the zone of each."""
    return [fill(i, used_bytes, zones[i : i + 1]) for i, used_bytes in enumerate(used)]


def test_what_is_live_counts_and_nothing_else() -> None:
    """Dead chunks that are not reclaimed yet, and what is on its way, do not."""
    groups = [
        Group(1, (NODES[0], None, NODES[1]), True, 2, 100),
        Group(2, (NODES[1], NODES[2], NODES[1]), True, 1, 7),
    ]
    live = live_fills(fills_of([5000, 0, 3, 44]), groups)
    assert [each.used_bytes for each in live] == [100, 114, 7, 0]
    assert [each.node_id for each in live] == list(NODES[:4])


@pytest.mark.parametrize(
    ("deviation", "balancing", "expected"),
    [
        (SPREAD_BEGIN + 0.01, False, True),
        (SPREAD_BEGIN - 0.01, False, False),
        (SPREAD_BEGIN - 0.01, True, True),
        (SPREAD_END + 0.001, True, True),
        (SPREAD_END - 0.001, True, False),
        (0.0, True, False),
    ],
)
def test_balancing_goes_on_below_where_it_begins(
    deviation: float, balancing: bool, expected: bool
) -> None:
    """Or it would begin anew with every other upload."""
    step = int(deviation * CAPACITY_BYTES)
    fills = fills_of([50_000 + step, 50_000 - step, *[50_000] * 8])
    assert should_balance(fills, 5, balancing) == expected


def test_a_chunk_goes_from_the_fullest_node_to_the_emptiest() -> None:
    """Once, and not when a node holds a chunk of the object already."""
    balance = Balance(fills_of([900, 800, 500, 500, 500, 200, 100, 500]), 5)
    assert balance.left_bytes == 700
    assert balance.take(NODES[:5], 10) == Shift(0, NODES[6])
    assert balance.take((*NODES[:4], NODES[6]), 10) == Shift(0, NODES[5])
    assert balance.take((*NODES[1:5], NODES[7]), 10) == Shift(0, NODES[6])
    assert balance.left_bytes == 670


@pytest.mark.parametrize(
    ("placement", "chunk_bytes"),
    [
        (NODES[:5], 0),
        (NODES[:5], 401),
        (NODES[2:6], 10),
        ((None, *NODES[2:6]), 10),
        ((NODES[0], NODES[2], NODES[3], NODES[4], NODES[5], NODES[6]), 10),
        ((), 10),
    ],
)
def test_what_does_not_help_stays(placement: Placement, chunk_bytes: int) -> None:
    """Empty chunks, larger ones than what is above or below, and those of nodes without surplus."""
    balance = Balance(fills_of([900, 500, 500, 500, 500, 300, 300]), 5)
    before = balance.left_bytes
    assert balance.take(placement, chunk_bytes) is None
    assert balance.left_bytes == before


def test_nothing_goes_to_a_node_that_has_still_to_let_go_of_the_object() -> None:
    """It may have the chunk as a dead one."""
    balance = Balance(fills_of([900, 500, 500, 500, 500, 300, 300]), 5)
    first = balance.take(NODES[:5], 1, frozenset({NODES[6]}))
    assert first == Shift(0, NODES[5])
    assert balance.take(NODES[:5], 1, frozenset(NODES[5:7])) is None


def test_only_what_can_help_concerns_it() -> None:
    """A placement with a node above its goal, and another node for that chunk."""
    balance = Balance(fills_of([900, 500, 500, 500, 500, 300, 300]), 5)
    assert balance.concerns(NODES[:5])
    assert not balance.concerns(NODES[1:6])
    assert not balance.concerns((NODES[0], *NODES[2:7]))


@pytest.mark.parametrize(
    ("zones", "target"),
    [("abcdefg", 6), ("abcdeaa", 6), ("abcdefb", 5), ("abcdecb", None), ("aabcdbb", 6)],
)
def test_p5_zones_stay_apart(zones: str, target: int | None) -> None:
    """No zone gets more chunks of an object than the fullest has: into the zone it comes from."""
    balance = Balance(fills_of([900, 500, 500, 500, 500, 310, 300], zones), 5)
    expected = None if target is None else Shift(0, NODES[target])
    assert balance.take(NODES[:5], 10) == expected


def test_p5_nodes_that_cannot_be_used_are_no_zone_of_their_own() -> None:
    """Chunks on two suspect nodes in different zones do not allow two in another zone."""
    zones = "abcdefghd"
    used = [900, 500, 500, 500, 500, 560, 560, 560, 300]
    fills = [fill(i, used[i], zones[i], usable=i not in (1, 2)) for i in range(9)]
    assert Balance(fills, 5).take(NODES[:5], 10) is None


def test_nodes_that_cannot_be_used_neither_give_nor_take() -> None:
    """Nor does what they hold say anything about the goal of others."""
    used = [900, 500, 500, 500, 500, 500, 300, 0, 9000]
    balance = Balance([fill(i, used[i], usable=i < 7) for i in range(9)], 5)
    assert balance.left_bytes == 371
    assert not balance.concerns((NODES[8], *NODES[1:5]))
    assert balance.take(NODES[:5], 10) == Shift(0, NODES[6])


def plan_of(source: NodeId | None, target: NodeId, chunk_bytes: int) -> Plan:
    """A move under way."""
    manifest = Manifest(
        object_id(1, 1, 1), "a", 5 * chunk_bytes, 1 << 20, Scheme.PLAIN, "", 0, "", ()
    )
    subject = MovableObject(manifest, NODES[:5], 1, NO_REASONS, frozenset())
    return Plan(subject, manifest, NODES[:5], (Step(0, target, source),), Cause.REBALANCE)


def test_moves_under_way_count_as_done() -> None:
    """What is made of other chunks does not: nothing leaves a node by it."""
    balance = Balance(fills_of([900, 500, 500, 500, 500, 300, 300]), 5)
    before = balance.left_bytes
    balance.count(plan_of(None, NODES[6], 150))
    assert balance.left_bytes == before == 400
    balance.count(plan_of(NODES[0], NODES[6], 150))
    assert balance.left_bytes == 250
    assert balance.take(NODES[:5], 60) == Shift(0, NODES[5])
    balance.count(plan_of(NODES[11], NODES[10], 50))  # of nodes that are gone by now
    assert balance.left_bytes == 190


@st.composite
def clusters(draw: st.DrawFn) -> tuple[list[NodeFill], list[tuple[Placement, int]]]:
    """Nodes of some sizes and zones, and objects that lie on them as if thrown."""
    count = draw(st.integers(6, 12))
    capacities = draw(st.lists(st.sampled_from([1, 2, 4]), min_size=count, max_size=count))
    zones = draw(st.text("abcdefghijkl", min_size=count, max_size=count))
    width = draw(st.integers(5, min(7, count - 1)))
    chunk_bytes_max = draw(st.sampled_from([1, 50, 1000]))
    random = Random(draw(st.integers(0, 2**32)))
    favoured = draw(st.integers(width, count))
    objects: list[tuple[Placement, int]] = []
    used: Counter[NodeId] = Counter()
    for _ in range(draw(st.integers(0, 150))):
        nodes = tuple(random.sample(NODES[:favoured], width))
        chunk_bytes = random.randrange(chunk_bytes_max + 1)
        objects.append((placement_of(Scheme(f"5+{width - 5}"), nodes), chunk_bytes))
        used.update(dict.fromkeys(nodes, chunk_bytes))
    return [
        NodeFill(NODES[i], zones[i], 150_000 * capacities[i], used[NODES[i]]) for i in range(count)
    ], objects


def zones_of(fills: list[NodeFill], placement: Placement) -> Counter[str]:
    """How many chunks each zone holds."""
    zones = {each.node_id: each.zone for each in fills}
    return Counter(zones[node_id] for node_id in holders(placement))


@given(clusters())
@settings(max_examples=200)
def test_p8_balancing_never_moves_too_much(
    cluster: tuple[list[NodeFill], list[tuple[Placement, int]]],
) -> None:
    """No node passes its goal, in all no more goes than was above it, and objects stay apart."""
    fills, objects = cluster
    width = len(objects[0][0]) if objects else 5
    used = {each.node_id: float(each.used_bytes) for each in fills}
    goals = dict(
        zip(
            used,
            optimum([each.capacity_bytes for each in fills], sum(used.values()), width),
            strict=True,
        )
    )
    surplus = sum(max(used[node_id] - goals[node_id], 0) for node_id in used)
    balance, moved = Balance(fills, width), 0
    for placement, chunk_bytes in objects:
        shift = balance.take(placement, chunk_bytes)
        if shift is None:
            continue
        source = placement[shift.index]
        assert source is not None
        assert shift.target not in placement
        used[source] -= chunk_bytes
        used[shift.target] += chunk_bytes
        assert used[source] >= goals[source] - 1e-6
        assert used[shift.target] <= goals[shift.target] + 1e-6
        after = (*placement[: shift.index], shift.target, *placement[shift.index + 1 :])
        most = max(zones_of(fills, placement).values())
        assert max(zones_of(fills, after).values()) <= most
        moved += chunk_bytes
    assert moved <= surplus + 1e-6
    assert balance.left_bytes <= surplus - moved + 1


@given(seed=st.integers(0, 2**32), nodes=st.integers(7, 12), new=st.integers(1, 2))
@settings(max_examples=30)
def test_p8_nodes_end_even_to_within_a_chunk(seed: int, nodes: int, new: int) -> None:
    """Objects of one size on equal nodes, some of which are new and empty."""
    random, chunk_bytes = Random(seed), 10
    objects = [(*random.sample(NODES[: nodes - new], 5),) for _ in range(300)]
    used = Counter(node_id for placement in objects for node_id in placement)
    balance = Balance(fills_of([chunk_bytes * used[NODES[i]] for i in range(nodes)]), 5)
    goal = 300 * 5 / nodes
    surplus = sum(max(each - goal, 0) for each in used.values())
    moved, going_on = 0, True
    while going_on:
        going_on = False
        for number, placement in enumerate(objects):
            shift = balance.take(placement, chunk_bytes)
            if shift is not None:
                objects[number] = (
                    *placement[: shift.index],
                    shift.target,
                    *placement[shift.index + 1 :],
                )
                moved, going_on = moved + 1, True
    used = Counter(node_id for placement in objects for node_id in placement)
    assert moved <= surplus
    assert all(abs(used[NODES[i]] - goal) <= nodes for i in range(nodes))
    assert balance.left_bytes < nodes * chunk_bytes
