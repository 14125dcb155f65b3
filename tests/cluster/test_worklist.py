"""What is to be moved next: looked up each time, so many at once, and nothing left out."""

import pytest
from twisted.internet.defer import Deferred

from tests.cluster.moving import GIB, NODES, MovingWorld, id_of
from twisted_store.cluster.worklist import PAGE_OBJECTS, PAGES_MAX, PROPOSALS_MAX, Proposal
from twisted_store.core.ids import ObjectId, Placement
from twisted_store.core.moves import Cause, Plan

FULL: Placement = NODES[:7]
CAPACITY_BYTES = 100_000


def hole(index: int) -> Placement:
    """Seven chunks but for one."""
    return (*FULL[:index], None, *FULL[index + 1 :])


def found(call: "Deferred[list[Proposal]]") -> list[Proposal]:
    """What a search has ended with."""
    results: list[list[Proposal]] = []
    call.addCallback(results.append)
    return results[0]


def repairs(world: MovingWorld, busy: frozenset[ObjectId] = frozenset()) -> list[Proposal]:
    """Those that are proposed."""
    return found(Deferred.fromCoroutine(world.worklist.repairs(busy)))


def shifts(world: MovingWorld, busy: frozenset[ObjectId] = frozenset()) -> list[Proposal]:
    """Those that make nodes more even."""
    return found(Deferred.fromCoroutine(world.worklist.shifts(busy)))


def balances(world: MovingWorld) -> bool:
    """Whether there is something to be made more even."""
    return world.worklist.balance is not None


def names(proposals: list[Proposal]) -> list[str]:
    """The objects, each once."""
    named = [each.subject.manifest.name for each in proposals]
    assert len(set(named)) == len(named)
    return named


def plan_of(proposal: Proposal) -> Plan:
    """What is to be done."""
    plan = proposal.plan()
    assert plan is not None
    return plan


def uneven(world: MovingWorld, objects: int = 60, first: int = 0, size_bytes: int = 5000) -> None:
    """Objects on the first seven nodes alone, which are small."""
    for number in range(world.nodes):
        world.change(number, capacity_bytes=CAPACITY_BYTES)
    for number in range(first, first + objects):
        world.rows.add(number, FULL, size_bytes=size_bytes)


def test_before_it_looks_there_is_nothing_to_do() -> None:
    """And afterwards what there is."""
    world = MovingWorld()
    world.rows.add(1, hole(0))
    assert (repairs(world), shifts(world)) == ([], [])
    world.look()
    assert names(repairs(world)) == ["1"]
    assert world.worklist.backlog.queued[Cause.HOLE].objects == 1


def test_so_many_are_planned_at_once_and_then_the_next_ones() -> None:
    """Once around: those that were passed over come again after the last one."""
    world = MovingWorld()
    for number in range(PROPOSALS_MAX + 10):
        world.rows.add(number, hole(0))
    world.look()
    assert names(repairs(world)) == [str(number) for number in range(PROPOSALS_MAX)]
    assert names(repairs(world)) == [
        str(number)
        for number in (*range(PROPOSALS_MAX, PROPOSALS_MAX + 10), *range(PROPOSALS_MAX - 10))
    ]


@pytest.mark.parametrize("start", [1, 10, 63])
def test_a_search_that_began_in_the_middle_meets_every_object_once(start: int) -> None:
    """All others are busy, and have been committed anew or not."""
    world = MovingWorld()
    for number in range(PROPOSALS_MAX + start):
        world.rows.add(number, hole(0))
    world.look()
    first = names(repairs(world))
    busy = frozenset(id_of(int(name)) for name in first[start:])
    assert len(names(repairs(world, busy))) == min(2 * start, PROPOSALS_MAX)


def test_objects_that_are_busy_or_have_to_wait_are_passed_over() -> None:
    """Others behind them have their turn."""
    world = MovingWorld()
    for number in range(2 * PAGE_OBJECTS + 5):
        world.rows.add(number, hole(0))
    for number in range(2 * PAGE_OBJECTS):
        world.setbacks.add(id_of(number), str(number), Cause.LOST, "It rained.")
    world.look()
    busy = frozenset({id_of(2 * PAGE_OBJECTS + 1)})
    assert names(repairs(world, busy)) == ["128", "130", "131", "132"]


def test_many_that_have_to_wait_do_not_take_all_the_time() -> None:
    """The search ends after some pages, and goes on from there the next time."""
    world = MovingWorld()
    waiting = PAGE_OBJECTS * (PAGES_MAX + 1)
    for number in range(waiting + 1):
        world.rows.add(number, hole(0))
        if number < waiting:
            world.setbacks.add(id_of(number), str(number), Cause.LOST, "It rained.")
    world.look()
    assert names(repairs(world)) == []
    assert world.rows.pages == PAGES_MAX
    assert names(repairs(world)) == [str(waiting)]


def test_a_plan_is_made_at_the_last_moment() -> None:
    """By the nodes that there are then; none if there is none."""
    world = MovingWorld(nodes=8)
    world.rows.add(1, (*NODES[:5], None, None))
    world.look()
    [proposal] = repairs(world)
    assert [step.index for step in plan_of(proposal).steps] == [5, 6]
    world.change(5, reported_bytes=GIB)
    world.change(6, reported_bytes=GIB)
    [step] = plan_of(proposal).steps
    assert (step.index, step.target, step.source) == (5, NODES[7], None)
    world.change(7, draining=True)
    assert proposal.plan() is None


def test_no_chunk_goes_to_a_node_that_has_to_let_go_of_the_object_first() -> None:
    """Nor to one that holds another chunk of it."""
    world = MovingWorld(nodes=9)
    world.rows.add(1, hole(0), leaving=[NODES[0], NODES[7]])
    world.look()
    [step] = plan_of(repairs(world)[0]).steps
    assert step.target == NODES[8]
    world.change(8, reported_bytes=GIB)
    assert repairs(world)[0].plan() is None


def test_each_copy_goes_to_another_node() -> None:
    """Both chunks of a node that is drained, which must not meet their copies."""
    world = MovingWorld(nodes=6)
    world.rows.auto = False
    world.change(0, draining=True)
    world.rows.add(1, (*NODES[:5], *NODES[1:5], NODES[0]))
    world.look()
    goal = plan_of(repairs(world)[0]).goal
    assert NODES[0] not in goal
    assert all(goal[index] != goal[index + 5] for index in range(5))


def test_nodes_that_are_even_enough_are_left_alone() -> None:
    """Or those of which there are too few to choose."""
    world = MovingWorld(nodes=8)
    world.rows.add(1, FULL)
    world.look()
    assert not balances(world)
    few = MovingWorld(nodes=5)
    few.rows.auto = False
    few.change(0, capacity_bytes=1000)
    few.rows.add(1, NODES[:5], size_bytes=4000)
    few.worklist.asked_to_balance = True
    few.look()
    assert (few.worklist.balance, few.worklist.asked_to_balance) == (None, False)


def test_p8_a_new_node_is_filled_although_nobody_writes() -> None:
    """Placements do not change by its coming."""
    world = MovingWorld(nodes=7)
    uneven(world)
    world.look()
    assert not balances(world)
    world.join(7, capacity_bytes=CAPACITY_BYTES)
    world.look()
    assert names(shifts(world))


def test_p8_nodes_that_come_up_after_the_api_are_evened_out() -> None:
    """At its first look none of them has been heard of."""
    world = MovingWorld(nodes=8)
    uneven(world)
    world.clock.advance(60.0)
    for _ in range(60):
        world.members.tick()
        world.clock.advance(1.0)
    world.look()
    assert (world.members.takers(0), world.worklist.balance) == (frozenset(), None)
    for number in range(8):
        world.join(number, capacity_bytes=CAPACITY_BYTES)
    world.look()
    assert names(shifts(world))


def test_what_cannot_be_made_more_even_rests_until_something_changes() -> None:
    """A few bytes of a large object: not looked for again and again."""
    world = MovingWorld(nodes=8)
    uneven(world)
    world.look()
    assert balances(world)
    world.worklist.give_up_balance()
    world.look()
    assert not balances(world)
    uneven(world, 1, first=1000)
    world.look()
    assert balances(world)
    world.worklist.give_up_balance()
    world.worklist.asked_to_balance = True
    world.look()
    assert balances(world)


def test_what_is_asked_for_is_done_below_the_threshold() -> None:
    """Until nodes are as even as they can be; then it is over."""
    world = MovingWorld(nodes=8)
    uneven(world, 40, size_bytes=500)
    world.look()
    assert not balances(world)
    world.worklist.asked_to_balance = True
    world.look()
    assert len(names(shifts(world))) == 28
    world.rows.objects.clear()
    world.look()
    assert (world.worklist.balance, world.worklist.asked_to_balance) == (None, False)


def test_moves_under_way_are_counted_when_it_looks_again() -> None:
    """So no more are begun than are needed."""
    world = MovingWorld(nodes=8)
    uneven(world)
    world.look()
    proposals = shifts(world)
    total = len(names(proposals))
    assert total == 49
    plans = [plan_of(each) for each in proposals[:20]]
    done: list[None] = []
    Deferred.fromCoroutine(world.worklist.look(plans)).addCallback(done.append)
    busy = frozenset(plan.manifest.object_id for plan in plans)
    assert len(names(shifts(world, busy))) == total - 20
    assert all(plan.steps[0].target == NODES[7] for plan in plans)
