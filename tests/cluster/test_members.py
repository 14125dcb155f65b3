"""The table of nodes: trusted after a probe, suspect at once, counted as bytes are given."""

from collections.abc import Awaitable
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any, TypeVar

import pytest
from twisted.internet.defer import Deferred, succeed

from twisted_store.cluster.arrivals import Arrivals
from twisted_store.cluster.heartbeat import NodeReport
from twisted_store.cluster.losses import LossWatch
from twisted_store.cluster.member import Member
from twisted_store.cluster.members import Members
from twisted_store.core.ids import ClusterId, NodeId
from twisted_store.core.membership import Membership, Verdict
from twisted_store.core.peer import Peer
from twisted_store.core.scheme import Scheme
from twisted_store.errors import (
    DuplicateNodeError,
    ForeignClusterError,
    NodeFailedError,
    NoSpaceError,
    OverloadedError,
    TooFewNodesError,
)

T = TypeVar("T")

CLUSTER = ClusterId("00000000000000cc")
SUSPECT_AFTER = 15.0
LOST_AFTER = 600.0
GIB = 2**30


@dataclass
class World:
    """Time, nodes that answer probes, and what was made durable."""

    now: float = 0.0
    answering: dict[str, dict[str, Any]] = field(default_factory=dict)
    remembered: list[Member] = field(default_factory=list)
    known: list[Member] = field(default_factory=list)
    refusing: bool = False
    merged: list[NodeId] = field(default_factory=list)
    comparing: "Deferred[None]" = field(default_factory=lambda: succeed(None))

    def __post_init__(self) -> None:
        self.members = Members(
            self.known, self, self.remember, lambda: self.now, Random(1), SUSPECT_AFTER
        )
        self.arrivals = Arrivals(self.members, CLUSTER, self, self.merge)
        self.losses = LossWatch(self.members, LOST_AFTER)

    def probe(self, peer: Peer) -> Awaitable[dict[str, Any]]:
        """Answer for the nodes that are there."""
        if peer.url not in self.answering:
            raise NodeFailedError("Connection refused")
        return succeed(self.answering[peer.url])

    async def merge(self, peer: Peer) -> None:
        """Compare what a node holds, when the test says so."""
        self.merged.append(peer.node_id)
        await self.comparing

    def remember(self, member: Member) -> Awaitable[None]:
        """Keep it."""
        if self.refusing:
            raise OverloadedError("too many writes wait")
        self.remembered.append(member)
        return succeed(None)

    def hear(self, number: int, **changes: Any) -> Verdict:
        """A heartbeat of a node that answers probes."""
        sent = replace(report(number), **changes)
        self.answering[sent.url] = {"node_id": sent.node_id, "instance": sent.instance}
        return result(Deferred.fromCoroutine(self.arrivals.heard(sent)))

    def pass_time(self, seconds: int) -> None:
        """Tick through it."""
        for _ in range(seconds):
            self.now += 1
            result(Deferred.fromCoroutine(self.losses.look()))


def report(number: int) -> NodeReport:
    """What node ``number`` says of itself."""
    return NodeReport(
        node_id=NodeId(f"{number:016x}"),
        url=f"http://node{number}",
        zone=f"zone{number}",
        zone_named=True,
        capacity_bytes=GIB,
        used_bytes=0,
        free_bytes=GIB,
        instance=f"first{number}",
        version="1",
        wire_format=3,
        chunk_format=1,
        cluster_id=None,
        oldest_disk_call_seconds=0.0,
        last_sync_ok=True,
        quarantined_chunks=0,
    )


def result(deferred: "Deferred[T]") -> T:
    """What it has fired with."""
    results: list[T] = []
    deferred.addCallback(results.append)
    deferred.addErrback(lambda failure: failure.raiseException())
    if not results:
        deferred.addErrback(lambda failure: None)
        raise AssertionError("it has not fired")
    return results[0]


def failure_of(deferred: "Deferred[T]") -> Exception:
    """What it has failed with."""
    failures: list[Any] = []
    deferred.addErrback(failures.append)
    error: Exception = failures[0].value
    return error


def test_p8_a_node_is_used_by_the_next_put_after_it_registers() -> None:
    """No restart, no layout command."""
    world = World()
    for number in range(4):
        assert world.hear(number).membership is Membership.UP
    with pytest.raises(TooFewNodesError):
        world.members.place(1, Scheme.PLAIN)
    world.hear(4)
    assert len(set(world.members.place(1, Scheme.PLAIN).nodes)) == 5


def test_a_node_that_cannot_be_reached_is_told_so() -> None:
    """The classic wrong --advertise."""
    world = World()
    verdict = result(Deferred.fromCoroutine(world.arrivals.heard(report(1))))
    assert verdict.membership is Membership.SUSPECT
    assert "refused" in verdict.reason


def test_a_node_at_the_address_of_another_is_not_trusted() -> None:
    """The one that answers the probe must be the one that registers."""
    world = World(answering={"http://node1": {"node_id": "somebody else"}})
    verdict = result(Deferred.fromCoroutine(world.arrivals.heard(report(1))))
    assert "Another node" in verdict.reason


def test_silence_makes_suspect_and_a_heartbeat_brings_back() -> None:
    """After a probe, as ever after a doubt."""
    world = World()
    world.hear(1)
    world.pass_time(int(SUSPECT_AFTER) + 1)
    assert world.members.reachable(report(1).node_id) is None
    assert world.hear(1).membership is Membership.UP
    assert world.members.reachable(report(1).node_id) is not None


def test_a_suspended_observer_blames_nobody() -> None:
    """One late tick is no silence of the nodes."""
    world = World()
    world.hear(1)
    world.now += 3600
    world.pass_time(1)
    assert world.members.reachable(report(1).node_id) is not None


def test_a_failure_on_the_data_path_makes_suspect_at_once() -> None:
    """Until a probe succeeds, here with the next heartbeat."""
    world = World()
    world.hear(1)
    del world.answering["http://node1"]
    world.members.failed(report(1).node_id, NodeFailedError("broken pipe"))
    assert world.members.reachable(report(1).node_id) is None
    assert world.hear(1).membership is Membership.UP


def test_a_failure_of_a_node_that_answers_is_forgiven_at_once() -> None:
    """One lost connection does not take a node out for seconds."""
    world = World()
    world.hear(1)
    world.members.failed(report(1).node_id, NodeFailedError("broken pipe"))
    assert world.members.reachable(report(1).node_id) is not None


def test_p6_a_slow_node_is_read_last_until_it_answers_a_probe() -> None:
    """It keeps its place among those that take chunks."""
    world = World()
    world.hear(1)
    node_id = report(1).node_id
    assert world.members.prompt(node_id)
    del world.answering["http://node1"]
    world.members.slow(node_id)
    assert not world.members.prompt(node_id)
    world.hear(1)
    assert world.members.prompt(node_id)
    world.members.slow(node_id)  # it answers the probe at once
    assert world.members.prompt(node_id)
    assert not world.members.prompt(report(2).node_id)


def test_p1_takers_are_those_with_room_that_are_up() -> None:
    """For a chunk of that size."""
    world = World()
    for number in range(3):
        world.hear(number, capacity_bytes=1000, used_bytes=300 * number)
    assert len(world.members.takers(300)) == 3
    assert world.members.takers(500) == {report(0).node_id, report(1).node_id}
    world.pass_time(60)
    assert world.members.takers(0) == frozenset()


def test_a_full_node_is_well_but_takes_nothing() -> None:
    """Until its heartbeat says that there is room."""
    world = World()
    for number in range(5):
        world.hear(number)
    world.members.failed(report(0).node_id, NoSpaceError("full"))
    assert world.members.reachable(report(0).node_id) is not None
    with pytest.raises(TooFewNodesError):
        world.members.place(1, Scheme.PLAIN)
    world.hear(0)
    world.members.place(1, Scheme.PLAIN)


def test_bytes_count_from_their_assignment_on() -> None:
    """On their way, stored, and then reported: never twice, never not at all."""
    world = World()
    world.hear(1)
    node_id = report(1).node_id

    def used() -> int:
        return world.members.fills[node_id].used_bytes

    world.members.assign(node_id, 100)
    assert used() == 100
    world.members.assign(node_id, -100)
    world.members.stored(node_id, 90)
    assert used() == 90
    world.hear(1, used_bytes=95)
    assert used() == 95


def test_a_node_of_another_cluster_is_refused() -> None:
    """It must not run here."""
    foreign = replace(report(1), cluster_id=ClusterId("00000000000000dd"))
    error = failure_of(Deferred.fromCoroutine(World().arrivals.heard(foreign)))
    assert isinstance(error, ForeignClusterError)


def test_a_second_process_with_the_same_data_is_refused() -> None:
    """A copied data directory, while the first one runs."""
    world = World()
    world.hear(1)
    copy = replace(report(1), url="http://copy", instance="second")
    error = failure_of(Deferred.fromCoroutine(world.arrivals.heard(copy)))
    assert isinstance(error, DuplicateNodeError)


def test_a_restarted_node_may_come_with_another_address() -> None:
    """Its old one answers no more, or answers for somebody else."""
    world = World()
    world.hear(1)
    del world.answering["http://node1"]
    assert world.hear(1, url="http://moved", instance="second").membership is Membership.UP
    assert world.members.peer(report(1).node_id).url == "http://moved"


def test_a_node_that_moves_is_probed_at_its_new_address() -> None:
    """A heartbeat says where it wants to be reached, not that it can be."""
    world = World()
    world.hear(1)
    moved = replace(report(1), url="http://nowhere")
    verdict = result(Deferred.fromCoroutine(world.arrivals.heard(moved)))
    assert verdict.membership is Membership.SUSPECT


def test_only_what_changed_is_made_durable() -> None:
    """A heartbeat is not a write."""
    world = World()
    for _ in range(3):
        world.hear(1)
    world.hear(1, used_bytes=7)
    world.hear(1, zone="elsewhere")
    assert [member.zone for member in world.remembered] == ["zone1", "elsewhere"]


def test_a_node_known_from_before_is_read_but_not_written_until_it_is_heard_of() -> None:
    """After a restart of the api its fill is unknown, where it listens is not."""
    peer = Peer(report(1).node_id, "http://node1")
    world = World(known=[Member(peer, "zone1", GIB)])
    assert world.members.peer(peer.node_id) == peer
    assert world.members.reachable(peer.node_id) is None
    world.hear(1)
    assert world.members.reachable(peer.node_id) == peer


def test_what_could_not_be_made_durable_is_tried_again() -> None:
    """With the next heartbeat, although that says nothing new."""
    world = World()
    world.refusing = True
    error = failure_of(Deferred.fromCoroutine(world.arrivals.heard(report(1))))
    assert isinstance(error, OverloadedError)
    world.refusing = False
    world.hear(1)
    assert [member.zone for member in world.remembered] == ["zone1"]
