"""The api declares nodes lost that were away for long, and none while it may be cut off itself."""

from collections.abc import Awaitable
from dataclasses import replace

import pytest
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from tests.cluster.test_members import LOST_AFTER, SUSPECT_AFTER, World, report
from twisted_store.cluster.member import Member
from twisted_store.core.ids import NodeId
from twisted_store.core.membership import Membership, NodeHealth
from twisted_store.errors import NodeFailedError, OverloadedError

QUIET_SECONDS = 10


def cluster(nodes: int = 7) -> World:
    """So many nodes that are up, each in a zone of its own."""
    world = World()
    for number in range(nodes):
        world.hear(number)
    return world


def live(world: World, seconds: float, silent: tuple[int, ...] = (), nodes: int = 7) -> None:
    """Let time pass, all but those reporting."""
    for _ in range(int(seconds) // QUIET_SECONDS):
        world.pass_time(QUIET_SECONDS)
        for number in range(nodes):
            if number not in silent:
                world.hear(number)


def lost(world: World) -> list[int]:
    """Those that are."""
    return [
        int(status.member.peer.node_id, 16)
        for status in world.members.status()
        if status.verdict.membership is Membership.LOST
    ]


def id_of(number: int) -> NodeId:
    """That of a node."""
    return report(number).node_id


def test_p7_a_node_that_is_silent_for_long_is_lost_and_stays_so_across_restarts() -> None:
    """It is no longer counted when the scheme of objects is chosen."""
    world = cluster()
    live(world, LOST_AFTER - QUIET_SECONDS, silent=(3,))
    assert lost(world) == []
    assert id_of(3) in world.members.standing().present
    live(world, 3 * QUIET_SECONDS, silent=(3,))
    assert lost(world) == [3]
    assert id_of(3) not in world.members.standing().present
    assert world.members.is_gone(id_of(3))
    assert not world.members.is_gone(id_of(2))
    assert world.members.target("auto").width == 6
    assert [member.lost for member in world.remembered if member.peer.node_id == id_of(3)] == [
        False,
        True,
    ]
    [kept] = [member for member in world.remembered if member.lost]
    again = World(known=[replace(kept, health=NodeHealth())])
    assert lost(again) == [3]


def test_p7_too_many_silent_nodes_put_it_in_doubt_until_they_are_back() -> None:
    """Then those that are still away are lost, one after the other or all at once."""
    world = cluster()
    live(world, 2 * LOST_AFTER, silent=(0, 1, 2))
    assert (lost(world), world.losses.doubt) == ([], "3 of 7 nodes are silent at once")
    live(world, 2 * QUIET_SECONDS, silent=(1, 2))
    assert (lost(world), world.losses.doubt) == ([1, 2], "")


def test_p7_a_node_that_reports_and_cannot_be_reached_is_lost_as_well() -> None:
    """Nobody can read what it holds."""
    world = cluster()
    world.answering.pop("http://node2")
    world.members.failed(id_of(2), NodeFailedError("No route to host."))
    for _ in range(int(LOST_AFTER) // QUIET_SECONDS + 1):
        live(world, QUIET_SECONDS, silent=(2,))
        Deferred.fromCoroutine(world.arrivals.heard(report(2)))
    assert lost(world) == [2]


@pytest.mark.parametrize("seconds", [SUSPECT_AFTER, LOST_AFTER, 100 * LOST_AFTER])
def test_p7_an_api_that_stood_still_loses_nobody(seconds: float) -> None:
    """Its clock leaps, its observed time does not."""
    world = cluster()
    world.now += seconds
    world.pass_time(1)
    assert (lost(world), world.losses.doubt) == ([], "")


def test_p7_a_node_is_lost_only_when_that_is_durable() -> None:
    """Or after a restart nobody would compare what it holds; it is tried again at once."""
    world = cluster()
    live(world, LOST_AFTER, silent=(3,))
    world.refusing = True
    failures: list[Failure] = []
    for _ in range(5):
        world.now += 1
        Deferred.fromCoroutine(world.losses.look()).addErrback(failures.append)
        assert lost(world) == []
    assert {failure.type for failure in failures} == {OverloadedError}
    assert len(failures) > 1
    world.refusing = False
    world.pass_time(1)
    assert lost(world) == [3]
    assert world.remembered[-1].lost


class SlowWorld(World):
    """What is made durable takes until the test says so."""

    writing: "Deferred[None]"

    def remember(self, member: Member) -> Awaitable[None]:
        """Wait, if a node is lost."""
        return self.writing if member.lost else super().remember(member)


def test_a_node_that_is_back_while_another_loss_is_written_is_not_lost() -> None:
    """Its last heartbeat counts, not what was known before the write."""
    world = SlowWorld()
    world.writing = Deferred()
    for number in range(9):
        world.hear(number)
    live(world, LOST_AFTER, silent=(3, 4), nodes=9)
    world.now += 1
    looking = Deferred.fromCoroutine(world.losses.look())
    assert lost(world) == [3]
    world.hear(4)
    world.writing.callback(None)
    assert looking.called
    assert lost(world) == [3]
