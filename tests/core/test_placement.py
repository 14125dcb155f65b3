"""Tests of `twisted_store.core.placement`."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twisted_store.core.fills import NodeFill, NodeFills
from twisted_store.core.ids import NodeId
from twisted_store.core.placement import SHARES_PER_NODE, Decision, Placer
from twisted_store.core.striping import DATA_CHUNKS
from twisted_store.errors import TooFewNodesError

CAPACITY_BYTES = 400_000
SHARE_BYTES = CAPACITY_BYTES // SHARES_PER_NODE


def node_id(number: int) -> NodeId:
    """The id of the n-th node."""
    return NodeId(f"{number:016x}")


def cluster(used: Sequence[int], zones: str = "") -> NodeFills:
    """Equal nodes with so many bytes used; a letter of ``zones`` is the zone of each."""
    nodes = NodeFills()
    for number, used_bytes in enumerate(used):
        zone = zones[number] if zones else "z"
        nodes.put(NodeFill(node_id(number), zone, CAPACITY_BYTES, used_bytes))
    return nodes


def placer(seed: int = 1) -> Placer:
    """A placer with a random source of its own."""
    return Placer(Random(seed))


def store(nodes: NodeFills, placing: Placer, chunk_bytes: int, width: int = 5) -> Decision:
    """Choose nodes and assign the bytes to them, as an upload does."""
    decision = placing.choose(nodes, chunk_bytes, width)
    for chosen in decision.nodes:
        nodes.assign(chosen, chunk_bytes)
    return decision


def suspend(nodes: NodeFills, number: int) -> None:
    """Make a node suspect."""
    fill = nodes[node_id(number)]
    nodes.put(replace(fill, usable=False, reason="suspect: silent for 17 s"))


def zones_of(nodes: NodeFills, decision: Decision) -> Counter[str]:
    """How many chunks each zone holds."""
    return Counter(nodes[chosen].zone for chosen in decision.nodes)


def test_chunks_go_to_the_nodes_filled_least() -> None:
    """By fraction of capacity, not by bytes."""
    nodes = cluster([50_000, 10_000, 40_000, 20_000, 60_000, 30_000, 70_000])
    nodes.put(NodeFill(node_id(7), "z", 10 * CAPACITY_BYTES, 90_000))
    decision = placer().choose(nodes, 100)
    assert set(decision.nodes) == {node_id(number) for number in (1, 2, 3, 5, 7)}


def test_every_placement_has_an_order_of_its_own() -> None:
    """Chunk 0 is not always on the same node: five nodes, one combination, many orders."""
    nodes, placing = cluster([0] * 5), placer()
    orders = {store(nodes, placing, SHARE_BYTES).nodes for _ in range(20)}
    assert len(orders) > 10
    assert len({frozenset(order) for order in orders}) == 1


def test_a_handful_of_placements_takes_many_small_objects_in_turn() -> None:
    """Two per node and chunk index; each node has its part."""
    nodes, placing = cluster([0] * 20), placer()
    turns = [store(nodes, placing, 1).nodes for _ in range(80)]
    assert len(set(turns)) == 8
    assert turns[:8] * 10 == turns
    assert {nodes[number].used_bytes for number in nodes} == {20}


def test_a_placement_is_chosen_anew_after_its_share() -> None:
    """Until then it stays, after that the order changes even if the nodes do not."""
    nodes, placing = cluster([0] * 4 + [CAPACITY_BYTES // 2]), placer()
    turns = [store(nodes, placing, SHARE_BYTES // 10).nodes for _ in range(40)]
    assert set(turns[:20]) == {turns[0], turns[1]}
    assert not {turns[0], turns[1]} & set(turns[20:])


def test_a_chunk_larger_than_a_share_is_placed_by_itself() -> None:
    """The next one goes where the first left the least."""
    nodes, placing = cluster([0] * 10), placer()
    first = store(nodes, placing, 20 * SHARE_BYTES).nodes
    second = store(nodes, placing, 20 * SHARE_BYTES).nodes
    assert set(first).isdisjoint(second)


def test_bytes_of_unknown_number_close_a_placement_too() -> None:
    """Uploads without a length are chosen as empty; what they bring is seen in the figures."""
    nodes, placing = cluster([0] * 7), placer()
    for _ in range(400):
        for chosen in placing.choose(nodes, 0).nodes:
            nodes.assign(chosen, SHARE_BYTES // 2)
    used = [fill.used_bytes for fill in nodes.values()]
    assert max(used) - min(used) <= 4 * SHARE_BYTES


def test_many_objects_lie_in_few_combinations_of_nodes() -> None:
    """Used-up placements go on with their nodes: copysets stay as few as the open placements."""
    nodes, placing = cluster([0] * 100), placer()
    turns = [store(nodes, placing, SHARE_BYTES // 20).nodes for _ in range(20_000)]
    assert min(fill.fraction for fill in nodes.values()) > 0.1
    assert len({frozenset(turn) for turn in turns}) == 40
    assert len(set(turns)) > 900


def test_a_node_that_joins_is_used_at_once() -> None:
    """All open placements are renewed: the very next object is on it."""
    nodes, placing = cluster([CAPACITY_BYTES // 2] * 7), placer()
    for _ in range(5):
        store(nodes, placing, 1)
    nodes.put(NodeFill(node_id(7), "z", CAPACITY_BYTES, 0))
    assert all(node_id(7) in store(nodes, placing, 1).nodes for _ in range(10))


def test_a_suspect_node_is_left_out_at_once_and_taken_back() -> None:
    """Both changes renew the open placements."""
    nodes, placing = cluster([0] * 6), placer()
    sound = nodes[node_id(0)]
    store(nodes, placing, 1)
    suspend(nodes, 0)
    assert all(node_id(0) not in store(nodes, placing, 1).nodes for _ in range(10))
    nodes.put(sound)
    assert node_id(0) in store(nodes, placing, SHARE_BYTES).nodes


def test_an_open_placement_loses_a_node_that_became_full() -> None:
    """By the fresh figures, whoever filled it."""
    nodes, placing = cluster([0] * 6), placer()
    filled = placing.choose(nodes, 10).nodes[0]
    nodes.assign(filled, CAPACITY_BYTES - 9)
    assert all(filled not in placing.choose(nodes, 10).nodes for _ in range(10))
    nodes.assign(filled, -1)
    assert not nodes[filled].objection(10)


def test_too_few_nodes_are_refused_with_the_reasons() -> None:
    """The operator reads what is wrong with which node, the client when to come back."""
    nodes = cluster([0, 0, 0, CAPACITY_BYTES - 99, 0])
    suspend(nodes, 1)
    with pytest.raises(TooFewNodesError) as caught:
        placer().choose(nodes, 100)
    assert caught.value.message == (
        "3 of 5 nodes are usable, 5 needed"
        "; 0000000000000001 suspect: silent for 17 s"
        "; 0000000000000003 full: 99 B free"
    )
    assert caught.value.retry_after_seconds == 5


def test_the_reasons_of_many_nodes_are_cut_short() -> None:
    """An error message is no inventory."""
    nodes = cluster([CAPACITY_BYTES] * 100)
    with pytest.raises(TooFewNodesError, match="0 of 100 .* and 90 more$") as caught:
        placer().choose(nodes, 1)
    assert len(caught.value.message) < 500


def test_a_failed_choice_changes_nothing() -> None:
    """A chunk too large for all does not close the placements that take smaller ones."""
    nodes, placing, untouched = cluster([0] * 7), placer(), placer()
    for turn in range(20):
        if turn % 3 == 0:
            with pytest.raises(TooFewNodesError):
                placing.choose(nodes, CAPACITY_BYTES + 1)
        assert placing.choose(nodes, 1).nodes == untouched.choose(nodes, 1).nodes


def test_a_preview_is_what_the_next_choice_does() -> None:
    """It takes no bytes, so it may be asked again and again."""
    nodes, placing = cluster([0] * 7), placer()
    for _ in range(3):
        store(nodes, placing, SHARE_BYTES // 2)
    for _ in range(10):
        placing.preview(nodes, SHARE_BYTES // 2)
    expected = placing.preview(nodes, SHARE_BYTES // 2).nodes
    assert store(nodes, placing, SHARE_BYTES // 2).nodes == expected


def test_a_decision_explains_every_node() -> None:
    """Chosen or skipped, why, and how full before and after; ready to be written as JSON."""
    used = [0, 0, 0, 0, 4000, 4000, 8000, 8000, CAPACITY_BYTES, 0]
    nodes = cluster(used, zones="aaaabbccbc")
    suspend(nodes, 9)
    decision = placer().choose(nodes, 4000)
    told = decision.candidates(nodes)
    assert Counter(candidate.reason for candidate in told) == {
        "among the least filled": 5,
        "zone a takes no more than 3": 1,
        "filled more than those chosen": 2,
        "full: 0 B free": 1,
        "suspect: silent for 17 s": 1,
    }
    chosen, full = told[4], told[8]
    assert chosen.chunk_index == decision.nodes.index(node_id(4))
    assert (chosen.fill_before, chosen.fill_after) == (0.01, 0.02)
    assert (full.chunk_index, full.fill_before, full.fill_after) == (None, 1.0, 1.0)
    assert json.loads(json.dumps(asdict(chosen)))["zone"] == "b"


def test_equal_zones_hold_equal_parts() -> None:
    """Six nodes on three hosts: no host ever holds three chunks, nearly until all are full."""
    nodes, placing = cluster([0] * 6, zones="aabbcc"), placer()
    for _ in range(450):
        assert max(zones_of(nodes, store(nodes, placing, SHARE_BYTES)).values()) == 2


def test_a_single_zone_holds_everything() -> None:
    """With all nodes on one host there is nothing to spread over."""
    nodes = cluster([0] * 7, zones="aaaaaaa")
    assert zones_of(nodes, placer().choose(nodes, 1)) == {"a": 5}


def test_zones_shape_no_placement_that_evenness_needs() -> None:
    """Five nodes on one host, two on others: four chunks on the host at most, and an even fill."""
    nodes, placing = cluster([0] * 7, zones="aaaaabc"), placer()
    counts = [zones_of(nodes, store(nodes, placing, SHARE_BYTES))["a"] for _ in range(350)]
    assert set(counts) == {3, 4}
    used = [fill.used_bytes for fill in nodes.values()]
    assert max(used) - min(used) <= 3 * SHARE_BYTES


def test_an_empty_node_in_one_of_five_zones_catches_up() -> None:
    """One chunk per zone is the rule, but it must not keep the newcomer empty for ever."""
    nodes, placing = cluster([100_000] * 9, zones="abcdeabcd"), placer()
    nodes.put(NodeFill(node_id(9), "e", CAPACITY_BYTES, 0))
    for _ in range(300):
        assert zones_of(nodes, store(nodes, placing, SHARE_BYTES))["e"] <= 2
    used = [fill.used_bytes for fill in nodes.values()]
    assert max(used) - min(used) <= 0.02 * CAPACITY_BYTES


def test_many_small_zones_still_take_a_chunk_each() -> None:
    """Of hundreds of hosts each has a tiny part, and yet five of them must take one."""
    nodes = NodeFills()
    for number in range(300):
        nodes.put(NodeFill(node_id(number), f"host {number}", CAPACITY_BYTES, 0))
    assert set(zones_of(nodes, placer().choose(nodes, 1)).values()) == {1}


def test_zones_of_nearly_equal_size_pass_for_equal() -> None:
    """Half a percent more disk is no reason to put two chunks on one host."""
    nodes, placing = cluster([0] * 10, zones="abcdeabcde"), placer()
    nodes.put(NodeFill(node_id(0), "a", int(CAPACITY_BYTES * 1.005), 0))
    for _ in range(400):
        assert max(zones_of(nodes, store(nodes, placing, SHARE_BYTES)).values()) == 1


def test_a_replacement_is_the_least_filled_node_that_is_left() -> None:
    """Neither one that holds a chunk of the object, nor one that is unusable or full."""
    nodes = cluster([0] * 5 + [9, 3, 2, CAPACITY_BYTES])
    suspend(nodes, 7)
    taken = [node_id(number) for number in range(5)]
    assert placer().replacement(nodes, 10, taken) == node_id(6)


def test_a_replacement_is_in_the_zone_with_the_fewest_chunks() -> None:
    """Even where another node is emptier."""
    nodes = cluster([0, 0, 0, 0, 0, 3, 9], zones="aabbcac")
    taken = [node_id(number) for number in range(5)]
    assert placer().replacement(nodes, 10, taken) == node_id(6)


def test_no_replacement_is_left() -> None:
    """The error is the same as for a whole placement, about the other nodes."""
    nodes = cluster([0] * 5 + [CAPACITY_BYTES])
    taken = [node_id(number) for number in range(5)]
    with pytest.raises(TooFewNodesError, match="0 of 1 nodes are usable, 1 needed; .* full"):
        placer().replacement(nodes, 10, taken)


def test_a_change_of_width_renews_the_open_placements() -> None:
    """More nodes bring more parity: from then on every placement is of the new width."""
    nodes, placing = cluster([0] * 7), placer()
    store(nodes, placing, 1)
    assert [len(store(nodes, placing, 1, width).nodes) for width in (5, 7, 7, 6)] == [5, 7, 7, 6]


fills = st.builds(
    NodeFill,
    node_id=st.integers(0, 11).map(node_id),
    zone=st.sampled_from("abcd"),
    capacity_bytes=st.sampled_from([0, 1, 5_000, 100_000, 400_000]),
    used_bytes=st.integers(0, 120_000),
    usable=st.sampled_from([True, True, True, False]),
    reason=st.just("suspect"),
)
sizes = st.sampled_from([0, 1, 200, 3_000, 50_000])


def replay(steps: Sequence[NodeFill | int], seed: int, width: int) -> list[tuple[NodeId, ...]]:
    """Placements of a run: a node comes or changes, or an object of a chunk size is stored."""
    nodes, placing, placements = NodeFills(), placer(seed), []
    for step in steps:
        if isinstance(step, NodeFill):
            nodes.put(step)
            continue
        able = [fill.node_id for fill in nodes.values() if not fill.objection(step)]
        try:
            placements.append(store(nodes, placing, step, width).nodes)
        except TooFewNodesError:
            assert len(able) < DATA_CHUNKS
            continue
        assert set(placements[-1]) <= set(able)
        assert len(set(placements[-1])) == len(placements[-1]) == min(width, len(able))
    return placements


@given(
    first=st.lists(fills, min_size=8, max_size=12),
    steps=st.lists(fills | sizes | sizes, max_size=60),
    width=st.integers(5, 7),
)
def test_placements_are_of_distinct_able_nodes_and_replay(
    first: list[NodeFill], steps: list[NodeFill | int], width: int
) -> None:
    """Whatever happens: no unusable or full node, none twice, and the seed decides all the rest."""
    assert replay([*first, *steps], 7, width) == replay([*first, *steps], 7, width)


@given(
    zone_sizes=st.lists(st.integers(1, 6), min_size=1, max_size=6).filter(lambda s: sum(s) >= 7),
    width=st.integers(5, 7),
    seed=st.integers(0, 100),
)
def test_no_zone_of_an_empty_cluster_holds_more_than_its_part(
    zone_sizes: list[int], width: int, seed: int
) -> None:
    """Equal nodes in unequal zones: an even part of the chunks or of the nodes, rounded up."""
    zones = "".join("abcdef"[zone] * size for zone, size in enumerate(zone_sizes))
    nodes = cluster([0] * len(zones), zones)
    held = zones_of(nodes, placer(seed).choose(nodes, 1, width))
    for zone, size in zip("abcdef", zone_sizes, strict=False):
        even_part = max(-(-width // len(zone_sizes)), -(-width * size // len(zones)))
        assert held[zone] <= even_part
