"""Tests of `twisted_store.core.fills`."""

from dataclasses import replace

import pytest

from twisted_store.core.fills import NodeFill, NodeFills
from twisted_store.core.ids import NodeId

NODE = NodeFill(NodeId("a" * 16), "zone", capacity_bytes=1000, used_bytes=400)


def fills_of_one() -> NodeFills:
    """A cluster of one node, 40 % full."""
    nodes = NodeFills()
    nodes.put(NODE)
    return nodes


def test_a_node_takes_chunks_up_to_its_last_byte() -> None:
    """Full is what has less room than the chunk needs."""
    assert NODE.objection(600) == ""
    assert NODE.objection(601) == "full: 600 B free"


def test_a_full_node_takes_no_empty_chunk() -> None:
    """An empty chunk is a file too: header and footer need room."""
    assert replace(NODE, used_bytes=1000).objection(0) == "full: 0 B free"
    assert replace(NODE, used_bytes=1200).objection(0) == "full: 0 B free"


@pytest.mark.parametrize("reason", ["suspect: silent for 17 s", ""])
def test_an_unusable_node_always_objects(reason: str) -> None:
    """A caller that gives no reason does not make the node usable."""
    assert replace(NODE, usable=False, reason=reason).objection(0) == (reason or "not usable")


def test_a_node_without_capacity_counts_as_full() -> None:
    """Its fraction is asked for by `explain` and must not divide by zero."""
    assert replace(NODE, capacity_bytes=0, used_bytes=0).fraction == 1.0


def test_assigned_bytes_count_until_the_next_figures() -> None:
    """A heartbeat replaces the estimate."""
    nodes = fills_of_one()
    nodes.assign(NODE.node_id, 100)
    nodes.assign(NODE.node_id, -30)
    assert nodes[NODE.node_id].used_bytes == 470
    nodes.put(NODE)
    assert nodes[NODE.node_id].used_bytes == 400


@pytest.mark.parametrize(
    ("change", "grows"),
    [
        (NODE, False),
        (replace(NODE, used_bytes=500, capacity_bytes=900), False),
        (replace(NODE, usable=False, reason="suspect"), True),
        (replace(NODE, zone="elsewhere"), True),
        (replace(NODE, node_id=NodeId("b" * 16)), True),
    ],
)
def test_generation_grows_when_the_choice_of_nodes_changes(change: NodeFill, grows: bool) -> None:
    """Figures alone do not renew the open placements."""
    nodes = fills_of_one()
    before = nodes.generation
    nodes.put(change)
    assert (nodes.generation > before) == grows


def test_a_grown_node_differs_in_nothing_but_its_used_bytes() -> None:
    """All fields are named by hand there."""
    node = replace(NODE, usable=False, reason="suspect")
    assert node.grown(7) == replace(node, used_bytes=407)


def test_a_node_that_is_forgotten_is_chosen_no_more() -> None:
    """Open placements are chosen anew; one that was never there changes nothing."""
    nodes = fills_of_one()
    before = nodes.generation
    nodes.remove(NodeId("b" * 16))
    assert (len(nodes), nodes.generation) == (1, before)
    nodes.remove(NODE.node_id)
    assert (dict(nodes), nodes.generation) == ({}, before + 1)
    nodes.put(NODE)
    assert nodes.generation == before + 2
