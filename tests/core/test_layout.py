"""Where chunks lie: no node has two of one object but under ``5x2``, and never both copies."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twisted_store.core.ids import NodeId, Placement
from twisted_store.core.layout import closed_nodes, holders, only, placement_of
from twisted_store.core.scheme import Scheme

A, B, C, D, E, F, G, H = (NodeId(letter * 16) for letter in "abcdef01")
NODES = (A, B, C, D, E, F, G, H)
COPIES: Placement = (A, B, C, D, E, B, C, D, E, A)


@pytest.mark.parametrize("scheme", list(Scheme))
@pytest.mark.parametrize("count", range(5, 9))
def test_chosen_nodes_take_the_first_chunks(scheme: Scheme, count: int) -> None:
    """Fewer of them leave holes at the end; those of ``5x2`` are five, always."""
    chosen = NODES[: 5 if scheme is Scheme.COPIES else min(count, scheme.width)]
    placement = placement_of(scheme, chosen)
    assert len(placement) == scheme.width
    assert holders(placement) == set(chosen)
    if scheme is Scheme.COPIES:
        assert placement == COPIES
    else:
        assert placement == (*chosen, *[None] * (scheme.width - len(chosen)))


def test_a_node_that_holds_a_chunk_takes_no_other() -> None:
    """Whichever it is, a hole is filled by a new one."""
    placement = (A, B, None, D, E, F, None)
    for index in range(7):
        assert closed_nodes(placement, index) == {A, B, D, E, F}


@pytest.mark.parametrize(
    ("placement", "index", "closed"),
    [
        (COPIES, 0, {A, B, C, D, E}),
        # A is gone: chunk 0 may go to a node with one chunk that is not its copy, nor has two.
        ((None, B, C, D, E, B, C, D, E, None), 0, {B, C, D, E}),
        # B holds chunks 1 and the copy of 0, and E now only the copy of 3.
        ((None, B, C, D, None, B, C, D, E, None), 0, {B, C, D}),
        # The copy of 4 must not go to the node of chunk 4, which has room for another.
        ((A, B, C, D, E, B, C, D, None, None), 9, {B, C, D, E}),
        # The node of chunk 4 has but that one: it can take the copy of chunk 3, A cannot.
        ((A, B, C, D, E, B, C, D, None, A), 8, {A, B, C, D}),
        ((A, *[None] * 9), 5, {A}),
        ((A, *[None] * 9), 6, set()),
    ],
)
def test_of_copies_a_node_holds_two_different_ones_at_most(
    placement: Placement, index: int, closed: set[NodeId]
) -> None:
    """Both copies on one node would go with it."""
    assert closed_nodes(placement, index) == closed


@given(lost=st.sets(st.sampled_from(NODES[:5])), wanted=st.permutations(range(10)))
def test_what_closed_nodes_leave_keeps_copies_apart(lost: set[NodeId], wanted: list[int]) -> None:
    """Whatever is made anew in whatever order, with as many nodes as there are."""
    placement = only(COPIES, set(NODES) - lost)
    for index in wanted:
        free = sorted(set(NODES) - lost - closed_nodes(placement, index))
        if placement[index] is None and free:
            placement = (*placement[:index], free[0], *placement[index + 1 :])
    for index in range(5):
        assert placement[index] is None or placement[index] != placement[index + 5]
    assert all(placement.count(node_id) <= 2 for node_id in holders(placement))


def test_only_some_nodes_leave_holes_for_the_others() -> None:
    """Holes stay holes, and the width is what it was."""
    assert only((A, None, B, C), {A, C, D}) == (A, None, None, C)
    assert holders((A, None, B, A)) == {A, B}
