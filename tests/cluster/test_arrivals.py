"""Nodes that come back: what they hold is compared with the catalog before they are up."""

from dataclasses import replace

from twisted.internet.defer import Deferred

from tests.cluster.test_members import SUSPECT_AFTER, World, report, result
from twisted_store.core.membership import FAILURES_FREE, Membership, Verdict
from twisted_store.core.scheme import Scheme
from twisted_store.errors import NodeFailedError

NODE = report(1).node_id
COMPARING = "what it holds is being compared with the catalog"


def lost_node(world: World) -> None:
    """Node 1 was there and is lost."""
    world.hear(1)
    member = world.members.status_of(NODE).member
    world.members.put(replace(member, lost=True))
    world.pass_time(int(SUSPECT_AFTER) + 1)
    assert world.members.status_of(NODE).verdict.membership is Membership.LOST


def test_p7_a_lost_node_is_up_after_what_it_holds_was_compared() -> None:
    """Until then it can be told what is dead, and gets no new chunks."""
    world = World(comparing=Deferred())
    lost_node(world)
    assert world.hear(1) == Verdict(Membership.SUSPECT, COMPARING)
    assert world.hear(1) == Verdict(Membership.SUSPECT, COMPARING)
    assert world.merged == [NODE]
    assert world.members.reachable(NODE) is not None
    assert not world.members.is_gone(NODE)
    assert NODE not in world.members.takers(0)
    assert NODE not in world.members.standing().present
    world.comparing.callback(None)
    assert world.members.status_of(NODE).verdict == Verdict(Membership.UP)
    assert NODE in world.members.standing().present
    assert not world.remembered[-1].lost
    assert world.hear(1).membership is Membership.UP
    assert world.merged == [NODE]


def test_p7_a_comparison_that_fails_is_made_again_at_a_later_heartbeat() -> None:
    """The node stays suspect meanwhile."""
    world = World(comparing=Deferred())
    lost_node(world)
    world.hear(1)
    world.comparing.errback(NodeFailedError("It rained."))
    assert world.members.status_of(NODE).verdict == Verdict(Membership.SUSPECT, COMPARING)
    world.comparing = Deferred()
    world.hear(1)
    assert world.merged == [NODE, NODE]
    world.comparing.callback(None)
    assert world.members.status_of(NODE).verdict.membership is Membership.UP


def test_p7_a_node_that_leaves_while_it_is_compared_is_compared_once_more() -> None:
    """Marks are kept for it until that has ended: what was compared is not looked at again."""
    world = World(comparing=Deferred())
    lost_node(world)
    world.hear(1)
    world.pass_time(int(SUSPECT_AFTER) + 1)
    assert world.members.status_of(NODE).verdict.membership is Membership.LOST
    assert not world.members.is_gone(NODE)
    world.comparing.callback(None)
    assert world.members.status_of(NODE).verdict.membership is Membership.LOST
    assert world.members.is_gone(NODE)
    world.hear(1)
    assert world.merged == [NODE, NODE]


def test_a_node_that_is_taken_back_but_not_durably_is_taken_back_later() -> None:
    """With its next heartbeat; nothing of it is a failure that somebody has to look into."""
    world = World(comparing=Deferred())
    lost_node(world)
    world.hear(1)
    world.refusing = True
    world.comparing.callback(None)
    world.refusing = False
    assert world.hear(1).membership is Membership.UP
    assert not world.remembered[-1].lost


def test_p7_a_node_that_nobody_knows_is_compared_if_it_holds_something() -> None:
    """Its catalog was restored from a copy, or it was forgotten too early."""
    world = World(comparing=Deferred())
    assert world.hear(1, used_bytes=100) == Verdict(Membership.SUSPECT, COMPARING)
    assert (world.merged, world.remembered[-1].lost) == ([NODE], True)
    world.comparing.callback(None)
    assert world.members.status_of(NODE).verdict.membership is Membership.UP
    assert world.hear(2).membership is Membership.UP
    assert world.merged == [NODE]


def test_a_known_node_is_not_compared_however_full_it_comes_back() -> None:
    """Nobody gave up on it."""
    world = World()
    world.hear(1)
    world.hear(1, used_bytes=100, instance="second")
    assert world.merged == []


def test_a_node_that_cannot_be_reached_is_not_compared() -> None:
    """Nothing could be asked of it."""
    world = World()
    verdict = result(Deferred.fromCoroutine(world.arrivals.heard(replace(report(1), used_bytes=1))))
    assert verdict.membership is Membership.LOST
    assert "refused" in verdict.reason
    assert world.merged == []


def test_stopping_ends_what_is_compared() -> None:
    """Nothing is taken back by it."""
    world = World(comparing=Deferred())
    lost_node(world)
    world.hear(1)
    assert result(Deferred.fromCoroutine(world.arrivals.stop())) is None
    assert world.members.status_of(NODE).member.lost


def flap(world: World, times: int) -> None:
    """Let calls to the node fail, and probes succeed."""
    for _ in range(times):
        world.members.failed(NODE, NodeFailedError("broken pipe"))


def test_a_node_that_fails_again_and_again_is_held_back() -> None:
    """Its heartbeats hear why; then it is trusted again."""
    world = World()
    world.hear(1)
    flap(world, FAILURES_FREE)
    assert world.hear(1).membership is Membership.UP
    flap(world, 1)
    assert world.hear(1) == Verdict(Membership.SUSPECT, "failed 4 times, held back for 15 s more")
    world.pass_time(15)
    assert world.hear(1).membership is Membership.UP


def test_a_restart_is_no_flap() -> None:
    """An operator has done something: what was before does not count any more."""
    world = World()
    world.hear(1)
    flap(world, FAILURES_FREE + 3)
    assert world.hear(1).membership is Membership.SUSPECT
    assert world.hear(1, instance="second").membership is Membership.UP
    for number in range(20):
        world.pass_time(int(SUSPECT_AFTER) + 1)
        assert world.hear(1, instance=f"later{number}").membership is Membership.UP


def test_a_drained_node_stays_so_whatever_it_reports() -> None:
    """It takes nothing, and is no failure."""
    world = World()
    for number in range(7):
        world.hear(number)
    member = world.members.status_of(NODE).member
    result(Deferred.fromCoroutine(world.members.save(replace(member, draining=True))))
    assert world.hear(1, instance="second").membership is Membership.UP
    assert world.remembered[-1].draining
    assert NODE not in world.members.takers(0)
    assert world.members.standing().draining == {NODE}
    assert world.members.fills[NODE].objection(0) == "it is being drained"
    assert world.members.target("auto") is Scheme.PARITY_1


def test_a_node_that_is_forgotten_and_reports_is_a_new_one() -> None:
    """Made durable once more."""
    world = World()
    world.hear(1)
    world.members.remove(NODE)
    world.members.remove(NODE)
    assert (world.members.get(NODE), world.members.is_gone(NODE)) == (None, True)
    world.hear(1)
    assert [member.peer.node_id for member in world.remembered] == [NODE, NODE]


def test_a_node_may_be_forgotten_while_it_is_probed_or_compared() -> None:
    """It does not come back by that."""
    world = World(comparing=Deferred())
    lost_node(world)
    world.hear(1)
    world.members.remove(NODE)
    world.comparing.callback(None)
    assert world.members.status() == []
