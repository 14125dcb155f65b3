"""What there is to repair: why, how urgent it is, and what of it can be done now."""

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twisted_store.core.ids import NodeId, Placement, object_id
from twisted_store.core.layout import placement_of
from twisted_store.core.manifest import Manifest
from twisted_store.core.moves import (
    Amount,
    Backlog,
    Cause,
    Group,
    MovableObject,
    Plan,
    Standing,
    Step,
    Work,
    survey,
)
from twisted_store.core.reasons import NO_REASONS
from twisted_store.core.redundancy import UNREADABLE
from twisted_store.core.scheme import Scheme

NODES = tuple(NodeId(f"{number:016x}") for number in range(12))
CHUNK_BYTES = 100


def group(
    placement: Placement, auto: bool = True, objects: int = 3, placement_id: int = 1
) -> Group:
    """Some objects there."""
    return Group(placement_id, placement, auto, objects, CHUNK_BYTES)


def standing(
    nodes: int = 9,
    lost: tuple[int, ...] = (),
    draining: tuple[int, ...] = (),
    busy: tuple[int, ...] = (),
    goal: Scheme = Scheme.PARITY_2,
) -> Standing:
    """So many nodes, by their numbers; the ``busy`` ones take nothing."""
    there = frozenset(range(nodes)) - set(lost)
    return Standing(
        present=frozenset(NODES[number] for number in there),
        draining=frozenset(NODES[number] for number in draining),
        takers=frozenset(NODES[number] for number in there - {*draining, *busy}),
        goal=goal,
    )


def placed(scheme: Scheme, holes: tuple[int, ...] = (), nodes: int | None = None) -> Placement:
    """Chunks on the first nodes, but for some holes."""
    full = placement_of(scheme, NODES[: nodes or scheme.nodes])
    return tuple(None if index in holes else node_id for index, node_id in enumerate(full))


def only_work(found: Backlog) -> Work:
    """The one piece of work that can be done."""
    [work] = found.runnable
    assert (found.blocked, found.unreadable) == ((), 0)
    return work


@pytest.mark.parametrize("scheme", list(Scheme))
@pytest.mark.parametrize("auto", [True, False])
def test_what_is_complete_needs_nothing(scheme: Scheme, auto: bool) -> None:
    """More redundancy than the goal says is kept as it is."""
    goal = Scheme.PLAIN if auto else Scheme.PARITY_2
    assert survey([group(placed(scheme), auto)], standing(goal=goal)) == Backlog()


@pytest.mark.parametrize(
    ("placement", "state", "cause", "indexes", "survived"),
    [
        (placed(Scheme.PARITY_2), standing(lost=(3,)), Cause.LOST, (3,), 1),
        (placed(Scheme.PARITY_2, holes=(5,)), standing(), Cause.HOLE, (5,), 1),
        (placed(Scheme.PARITY_2), standing(draining=(0,)), Cause.DRAIN, (0,), 2),
        (placed(Scheme.PARITY_1), standing(), Cause.UPGRADE, (6,), 1),
        (placed(Scheme.PLAIN), standing(), Cause.UPGRADE, (5, 6), 0),
        (placed(Scheme.PLAIN), standing(goal=Scheme.PARITY_1), Cause.UPGRADE, (5,), 0),
        # Of several causes it is the most urgent one.
        (placed(Scheme.PARITY_2, holes=(6,)), standing(lost=(0,)), Cause.LOST, (0, 6), 0),
        (placed(Scheme.PARITY_1, holes=(0,)), standing(), Cause.HOLE, (0, 6), 0),
        (placed(Scheme.PARITY_1), standing(lost=(1,)), Cause.LOST, (1, 6), 0),
        (placed(Scheme.PARITY_2, holes=(1,)), standing(draining=(4,)), Cause.HOLE, (1, 4), 1),
        (placed(Scheme.PARITY_1), standing(draining=(4,)), Cause.UPGRADE, (6, 4), 1),
    ],
)
def test_p7_what_is_to_be_made_has_a_cause(
    placement: Placement,
    state: Standing,
    cause: Cause,
    indexes: tuple[int, ...],
    survived: int,
) -> None:
    """With the chunks that are concerned, and how safe the objects are until then."""
    work = only_work(survey([group(placement)], state))
    assert (work.cause, work.indexes, work.survived) == (cause, indexes, survived)
    assert work.size_bytes == CHUNK_BYTES * len(indexes)


def test_what_is_gone_is_a_hole_in_what_is_to_be_done() -> None:
    """As wide as it is to become; a chunk that only leaves stays where it is meanwhile."""
    state = standing(lost=(3,), draining=(1,))
    work = only_work(survey([group(placed(Scheme.PARITY_1))], state))
    assert work.placement == (NODES[0], NODES[1], NODES[2], None, NODES[4], NODES[5], None)
    assert work.indexes == (3, 6, 1)


def test_the_scheme_of_an_upload_that_asked_for_one_stays() -> None:
    """All of its chunks, and no more, whatever others have."""
    assert survey([group(placed(Scheme.PLAIN), auto=False)], standing()) == Backlog()
    asked = group(placed(Scheme.PARITY_3, holes=(7,)), auto=False)
    assert only_work(survey([asked], standing(goal=Scheme.PARITY_1))).indexes == (7,)


@pytest.mark.parametrize(
    ("lost", "goal", "indexes"),
    [
        ((5,), Scheme.PARITY_1, None),
        ((0,), Scheme.PARITY_1, None),
        ((0, 6), Scheme.PLAIN, None),
        ((0, 6), Scheme.PARITY_1, (0,)),
    ],
)
def test_the_goal_shrinks_with_the_nodes(
    lost: tuple[int, ...], goal: Scheme, indexes: tuple[int, ...] | None
) -> None:
    """With fewer nodes than chunks those that are there suffice; data is made before parity."""
    state = standing(nodes=8, lost=lost, goal=goal)
    found = survey([group(placed(Scheme.PARITY_2))], state)
    assert [work.indexes for work in found.runnable] == ([] if indexes is None else [indexes])
    assert (found.blocked, found.unreadable) == ((), 0)


def test_the_least_safe_objects_come_first_and_then_the_most_urgent_cause() -> None:
    """The order within those is that of the placements, always the same."""
    groups = [
        group(placed(Scheme.PARITY_2), auto=False, placement_id=1),  # node 0 is drained
        group(placed(Scheme.PARITY_1), placement_id=2),  # survives 1, upgrade
        group(placed(Scheme.PARITY_2, holes=(2,)), auto=False, placement_id=3),  # survives 1
        group(placed(Scheme.PARITY_2, holes=(2, 3)), placement_id=4),  # survives 0, a hole
        group((NODES[10], *NODES[1:6]), placement_id=5),  # survives 0, node 10 is lost
        group((NODES[10], *NODES[1:7]), auto=False, placement_id=7),  # survives 1, lost
        group((NODES[10], *NODES[2:8]), auto=False, placement_id=6),  # the same
    ]
    found = survey(groups, standing(draining=(0,)))
    assert [work.group.placement_id for work in found.runnable] == [5, 4, 6, 7, 3, 2, 1]
    assert [work.cause for work in found.runnable] == [
        Cause.LOST,
        Cause.HOLE,
        Cause.LOST,
        Cause.LOST,
        Cause.HOLE,
        Cause.UPGRADE,
        Cause.DRAIN,
    ]


def test_what_there_are_nodes_for_is_done_and_the_rest_is_not() -> None:
    """Two chunks are gone, and there is one spare node: the more important one is made."""
    state = standing(nodes=8, lost=(5, 0), goal=Scheme.PARITY_2)
    work = only_work(survey([group(placed(Scheme.PARITY_2))], state))
    assert (work.indexes, work.cause, work.survived) == ((0,), Cause.LOST, 0)
    assert work.placement == placed(Scheme.PARITY_2, holes=(0, 5))


def test_what_needs_a_spare_node_is_blocked() -> None:
    """As many nodes as chunks: nobody else can take one. All of it is told."""
    state = standing(nodes=7, lost=(5, 6))
    found = survey([group(placed(Scheme.PARITY_2))], state)
    assert found.runnable == ()
    assert [work.indexes for work in found.blocked] == [(5, 6)]
    assert found.waiting == {Cause.LOST: Amount(3, 2 * CHUNK_BYTES)}
    assert found.queued == {}


def test_spare_nodes_that_take_nothing_do_not_help() -> None:
    """They are suspect or full: the work waits for them."""
    state = standing(nodes=9, lost=(6,), busy=(7, 8))
    assert len(survey([group(placed(Scheme.PARITY_2))], state).blocked) == 1


def test_objects_that_are_beyond_repair_are_counted() -> None:
    """They are no work, until a node comes back."""
    broken = group(placed(Scheme.PARITY_1), objects=4)
    sound = group(placed(Scheme.PARITY_2), objects=5, placement_id=2)
    found = survey([broken, sound], standing(lost=(0, 1)))
    assert (found.unreadable, len(found.runnable)) == (4, 1)
    assert found.queued == {Cause.LOST: Amount(5, 2 * CHUNK_BYTES)}


def test_copies_go_to_nodes_with_room_for_a_second_one() -> None:
    """A lost node of five takes two chunks with it, and another one takes both."""
    placement = placed(Scheme.COPIES)
    state = standing(nodes=6, lost=(0,))
    work = only_work(survey([group(placement, auto=False)], state))
    assert (work.indexes, work.survived, work.cause) == ((0, 9), 0, Cause.LOST)
    blocked = survey([group(placement, auto=False)], standing(nodes=5, lost=(0,)))
    assert [work.indexes for work in blocked.blocked] == [(0, 9)]


def test_copies_of_which_both_are_gone_are_unreadable() -> None:
    """Of two neighbours that are lost one held both copies of a chunk with the other."""
    asked = group(placed(Scheme.COPIES), auto=False)
    assert survey([asked], standing(lost=(0, 1))).unreadable == asked.objects
    left = only_work(survey([asked], standing(draining=(0,))))
    assert (left.indexes, left.cause, left.survived) == ((0, 9), Cause.DRAIN, 1)


def test_a_node_that_is_drained_and_lost_is_lost() -> None:
    """What it held is made of others."""
    work = only_work(survey([group(placed(Scheme.PARITY_2))], standing(lost=(2,), draining=(2,))))
    assert (work.cause, work.indexes) == (Cause.LOST, (2,))


def test_amounts_are_summed_up_by_cause() -> None:
    """Objects, and bytes of the chunks to be made."""
    groups = [
        group(placed(Scheme.PARITY_1), objects=2, placement_id=1),
        group(placed(Scheme.PLAIN), objects=5, placement_id=2),
        group(placed(Scheme.PARITY_2, holes=(0,)), objects=1, placement_id=3),
    ]
    assert survey(groups, standing()).queued == {
        Cause.UPGRADE: Amount(7, 3 * CHUNK_BYTES),
        Cause.HOLE: Amount(1, CHUNK_BYTES),
    }


MANIFEST = Manifest(object_id(1, 1, 1), "a", 1003, 1 << 20, Scheme.PARITY_2, "", 0, "", ())


def plan_of(old: Placement, left: Placement, *steps: Step) -> Plan:
    """A move of an object of 1003 bytes."""
    subject = MovableObject(MANIFEST, old, 1, NO_REASONS, frozenset())
    return Plan(subject, MANIFEST, left, steps, Cause.LOST)


def test_a_move_leads_to_all_chunks_but_those_that_nobody_replaces() -> None:
    """A lost node that is not replaced keeps its chunk in the row: it may come back with it."""
    old = placed(Scheme.PARITY_1)
    left = (*NODES[:2], None, None, *NODES[4:6], None)
    plan = plan_of(old, left, Step(2, NODES[7], None), Step(6, NODES[8], None))
    assert plan.goal == (NODES[0], NODES[1], NODES[7], NODES[3], NODES[4], NODES[5], NODES[8])
    assert plan.made == (None, None, NODES[7], None, None, None, NODES[8])
    assert plan.size_bytes == 201 + 201


def test_a_chunk_that_leaves_a_node_is_made_on_another() -> None:
    """Its bytes are those of its own length: the last chunks of the object are shorter."""
    old = placed(Scheme.PARITY_2)
    plan = plan_of(old, old, Step(4, NODES[8], NODES[4]))
    assert plan.goal == (*NODES[:4], NODES[8], *NODES[5:7])
    assert plan.made == (None, None, None, None, NODES[8], None, None)
    assert plan.size_bytes == 200


@given(
    scheme=st.sampled_from(list(Scheme)),
    auto=st.booleans(),
    nodes=st.integers(5, 12),
    holes=st.sets(st.integers(0, 9), max_size=4),
    lost=st.sets(st.integers(0, 11), max_size=3),
    draining=st.sets(st.integers(0, 11), max_size=2),
)
def test_p7_work_that_is_done_leaves_the_objects_complete(
    scheme: Scheme, auto: bool, nodes: int, holes: set[int], lost: set[int], draining: set[int]
) -> None:
    """With nodes that take everything: nothing is asked for twice, nor more than the goal says."""
    auto = auto and scheme in (Scheme.PLAIN, Scheme.PARITY_1, Scheme.PARITY_2)
    state = standing(nodes=nodes, lost=(*lost,), draining=(*draining,))
    extra = [NodeId(f"{number:016x}") for number in range(100, 110)]
    state = replace(state, takers=state.takers | {*extra}, present=state.present | {*extra})
    found = survey([group(placed(scheme, (*holes,)), auto)], state)
    assert not found.blocked
    if not found.runnable:
        return
    work = only_work(found)
    assert work.survived != UNREADABLE
    placement, spare = work.placement, iter(extra)
    assert len(set(work.indexes)) == len(work.indexes)
    for index in work.indexes:
        placement = (*placement[:index], next(spare), *placement[index + 1 :])
    assert survey([group(placement, auto)], state) == Backlog()
    goal = state.goal.width if auto else scheme.width
    assert Counter(node is None for node in placement)[False] >= goal
