"""Moves: the most urgent first, some at a time, each on its own; and nothing left behind."""

import pytest
from twisted.internet.defer import Deferred

from tests.cluster.moving import NODES, MovingWorld, id_of
from twisted_store.cluster.jobs import Job
from twisted_store.cluster.mover import LOOK_SECONDS, MOVES_MAX
from twisted_store.cluster.setbacks import RETRY_SECONDS_FIRST
from twisted_store.core.ids import Placement
from twisted_store.core.moves import Amount, Cause
from twisted_store.core.reasons import Reason
from twisted_store.core.versions import Version

FULL: Placement = NODES[:7]
NARROW: Placement = NODES[:6]


def hole(*indexes: int) -> Placement:
    """Seven chunks, some of them nowhere."""
    return tuple(None if index in indexes else node for index, node in enumerate(FULL))


def result(step: "Deferred[float]") -> float | None:
    """What a step has ended with, None if it goes on."""
    delays: list[float] = []
    step.addCallback(delays.append)
    return delays[0] if delays else None


def pause(world: MovingWorld, job: Job, paused: bool) -> None:
    """What an operator asks."""
    done: list[None] = []
    Deferred.fromCoroutine(world.jobs.pause(job, paused)).addCallback(done.append)
    assert done


def test_nothing_to_do_is_looked_at_again_later() -> None:
    """What is complete is left alone."""
    world = MovingWorld()
    world.rows.add(1, FULL)
    assert result(world.run()) == LOOK_SECONDS
    assert (world.maker.made, world.rows.moves) == ([], [])


def test_p7_a_move_makes_chunks_commits_and_tells_of_it() -> None:
    """Its chunks are held and counted as assigned until then, and its nodes know why."""
    world = MovingWorld()
    world.rows.add(1, hole(2))
    step = world.run()
    [plan] = world.maker.made
    [made] = plan.steps
    assert (made.index, made.source, plan.cause) == (2, None, Cause.HOLE)
    assert made.target in (NODES[2], *NODES[7:9])
    assert world.holds.held == [id_of(1)]
    target = world.members.status_of(made.target)
    assert target.member.traffic.assigned_bytes == 10
    world.maker.finish()
    assert world.idle()
    goal = (*FULL[:2], made.target, *FULL[3:])
    assert world.rows.placements() == {"1": goal}
    just_made = tuple(made.target if index == 2 else None for index in range(7))
    assert world.committed == [(2, Version(id_of(1), just_made))]
    target = world.members.status_of(made.target)
    assert (target.member.traffic.assigned_bytes, target.member.traffic.stored_bytes) == (0, 10)
    assert world.jobs.moved[Cause.HOLE] == Amount(1, 10)
    reasons = world.rows.objects[id_of(1)].reasons
    assert reasons.considered == (Reason(made.target, 0.0, "took chunk 2: it was on no node"),)
    assert result(step) == 0.0
    assert result(world.run()) == LOOK_SECONDS


def test_a_chunk_of_a_drained_node_is_copied_from_it() -> None:
    """While it is there; and the node is empty afterwards."""
    world = MovingWorld()
    world.change(3, draining=True)
    world.rows.add(1, FULL)
    world.run_until_idle()
    [plan] = world.maker.made
    assert [(step.index, step.source) for step in plan.steps] == [(3, NODES[3])]
    assert NODES[3] not in world.rows.placements()["1"]
    [reason] = world.rows.objects[id_of(1)].reasons.considered
    assert reason.text == f"took chunk 3: node {NODES[3]} was drained"


def test_an_object_becomes_as_wide_as_others_are() -> None:
    """And its manifest says so."""
    world = MovingWorld()
    world.rows.add(1, NODES[:5])
    world.run_until_idle()
    found = world.rows.objects[id_of(1)]
    assert len(set(found.placement) - {None}) == 7
    assert found.manifest.scheme == "5+2"
    assert {reason.text for reason in found.reasons.considered} == {
        "took chunk 5: there are more nodes now",
        "took chunk 6: there are more nodes now",
    }


def test_what_lost_nodes_held_is_made_anew() -> None:
    """Of all objects, on nodes that are there."""
    world = MovingWorld()
    for number in range(5):
        world.rows.add(number, FULL)
    world.change(0, lost=True)
    world.run_until_idle()
    assert all(NODES[0] not in placement for placement in world.rows.placements().values())
    assert world.jobs.moved[Cause.LOST].objects == 5
    assert world.idle()


def test_so_many_are_moved_at_the_same_time() -> None:
    """As one ends the next one begins."""
    world = MovingWorld()
    for number in range(3 * MOVES_MAX):
        world.rows.add(number, hole(0))
    world.run()
    assert world.moving() == [str(number) for number in range(MOVES_MAX)]
    world.maker.finish("3", "5")
    assert len(world.moving()) == MOVES_MAX
    assert world.moving()[-2:] == [str(MOVES_MAX), str(MOVES_MAX + 1)]


def test_the_most_urgent_is_moved_first() -> None:
    """Whatever was committed first."""
    world = MovingWorld()
    world.rows.add(1, NARROW)
    world.rows.add(2, hole(1))
    world.rows.add(3, hole(1, 2))
    world.run_until_idle()
    assert world.maker.names() == ["3", "2", "1"]


def test_what_becomes_urgent_meanwhile_goes_before_the_rest() -> None:
    """Those under way are not broken off; those that wait are."""
    world = MovingWorld()
    for number in range(2 * MOVES_MAX):
        world.rows.add(number, NARROW)
    step = world.run()
    world.rows.add(99, hole(1, 2))
    world.clock.advance(LOOK_SECONDS)
    assert result(step) == 0.0
    world.run()
    assert "99" not in world.moving()
    world.maker.finish("0")
    assert world.moving()[-1] == "99"
    world.maker.finish("1")
    assert world.moving()[-1] == str(MOVES_MAX)


def test_an_object_that_cannot_be_moved_stops_no_other() -> None:
    """It is tried again later, and named meanwhile."""
    world = MovingWorld()
    for number in range(4):
        world.rows.add(number, hole(0))
    world.maker.failing = {"1"}
    world.run_until_idle()
    assert sorted(world.rows.moves) == ["0", "2", "3"]
    assert world.maker.names().count("1") == 1
    assert world.jobs.failures == 1
    [setback] = world.setbacks.of(list(Cause))
    assert (setback.name, setback.reason, setback.times) == ("1", "It rained.", 1)
    assert world.idle()
    world.clock.advance(RETRY_SECONDS_FIRST)
    world.maker.failing.clear()
    world.run_until_idle()
    assert "1" in world.rows.moves
    assert world.setbacks.of(list(Cause)) == []


def test_a_commit_that_fails_is_tried_again_as_a_whole() -> None:
    """What was made is nobody's, and nothing is held."""
    world = MovingWorld()
    world.rows.add(1, hole(0))
    world.rows.failing = True
    world.run_until_idle()
    assert (world.committed, world.idle(), len(world.setbacks)) == ([], True, 1)
    world.rows.failing = False
    world.clock.advance(RETRY_SECONDS_FIRST)
    world.run_until_idle()
    assert world.rows.moves == ["1"]


def test_a_move_that_was_overtaken_commits_nothing() -> None:
    """That is no failure."""
    world = MovingWorld()
    world.rows.add(1, hole(0))
    world.run()
    world.rows.overtaken = {"1"}
    world.maker.finish()
    assert (world.committed, world.rows.moves) == ([], [])
    assert (world.jobs.failures, len(world.setbacks), world.idle()) == (0, 0, True)
    assert world.jobs.moved[Cause.HOLE] == Amount()
    assert all(not status.member.traffic.stored_bytes for status in world.members.status())


@pytest.mark.parametrize("job", list(Job))
def test_a_job_that_is_paused_begins_no_moves(job: Job) -> None:
    """Those under way end; the other job goes on."""
    world = MovingWorld()
    for number in range(2):
        world.rows.add(number, hole(0))
    pause(world, job, True)
    world.run()
    assert len(world.moving()) == (0 if job is Job.REPAIR else 2)
    pause(world, job, False)
    world.run_until_idle() if job is Job.REPAIR else world.maker.finish()
    assert sorted(world.rows.moves) == ["0", "1"]


def test_p7_nothing_is_moved_while_it_is_in_doubt_who_is_lost() -> None:
    """The api may be the one that is cut off."""
    world = MovingWorld()
    world.rows.add(1, hole(0))
    world.losses.doubt = "5 of 9 nodes are silent at once"
    assert result(world.run()) == LOOK_SECONDS
    assert world.maker.made == []
    world.losses.doubt = ""
    world.run_until_idle()
    assert world.rows.moves == ["1"]


def test_stopping_in_the_middle_leaves_nothing() -> None:
    """Nothing is committed, held or begun any more."""
    world = MovingWorld()
    for number in range(2 * MOVES_MAX):
        world.rows.add(number, hole(0))
    world.run()
    stopped: list[None] = []
    Deferred.fromCoroutine(world.mover.stop()).addCallback(stopped.append)
    assert stopped == [None]
    assert (world.rows.moves, world.committed, world.idle()) == ([], [], True)
    assert len(world.maker.made) == MOVES_MAX
    assert (world.jobs.failures, len(world.setbacks)) == (0, 0)


def test_every_object_is_moved_once_however_many_there_are() -> None:
    """More than are planned at once, in several placements; chunks are dear."""
    world = MovingWorld()
    for number in range(200):
        world.rows.add(number, hole(number % 2))
    world.run_until_idle()
    assert len(world.maker.made) == len(world.rows.moves) == 200
    assert world.worklist.backlog.runnable == ()


def test_many_that_fail_at_once_stop_nothing() -> None:
    """A whole page of them, each at the first step."""
    world = MovingWorld()
    for number in range(300):
        world.rows.add(number, hole(0))
    world.maker.failing = {str(number) for number in range(299)}
    world.run_until_idle()
    assert (world.rows.moves, len(world.setbacks), world.idle()) == (
        ["299"],
        299,
        True,
    )


def test_nodes_that_filled_up_meanwhile_are_not_asked() -> None:
    """The plan is made when its turn comes; without a node it has to wait like a failure."""
    world = MovingWorld(nodes=8)
    for number in range(MOVES_MAX + 1):
        world.rows.add(number, hole(0))
    world.run()
    for number in (0, 7):
        world.change(number, reported_bytes=2**30)
    world.maker.finish("0")
    [setback] = world.setbacks.of(list(Cause))
    assert setback.name == str(MOVES_MAX)
    assert "No other node" in setback.reason


def test_nodes_become_even_and_then_it_rests() -> None:
    """By moves of objects on the fuller ones, until nothing helps any more."""
    world = MovingWorld(nodes=8)
    for number in range(8):
        world.change(number, capacity_bytes=10_000)
    for number in range(300):
        world.rows.add(number, NODES[:7], size_bytes=100)
    world.run_until_idle()
    held = [
        sum(placement.count(node_id) for placement in world.rows.placements().values())
        for node_id in NODES[:8]
    ]
    assert sum(held) == 2100
    assert max(held) - min(held) <= 8
    assert len(world.maker.made) <= 300 * 7 / 8
    assert world.worklist.balance is None
    assert {plan.cause for plan in world.maker.made} == {Cause.REBALANCE}
