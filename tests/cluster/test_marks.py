"""Delivery of marks: nothing old is dead before its successor is safe, and nothing is forgotten."""

from collections.abc import Awaitable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import pytest
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.python.failure import Failure

from twisted_store.cluster.marks import DEAD_PER_ROUND, MarkDelivery
from twisted_store.core.ids import ChunkId, NodeId, ObjectId, Placement, object_id
from twisted_store.core.peer import Marks, Peer
from twisted_store.core.versions import DeadVersion, Version
from twisted_store.errors import CatalogRolledBackError, NodeFailedError

NODES = tuple(NodeId(f"{number:016x}") for number in range(10))
OLD_NODES, NEW_NODES = NODES[:5], NODES[5:]


@dataclass
class Outbox:
    """Rows in memory."""

    rows: list[DeadVersion] = field(default_factory=list)
    current: set[ObjectId] = field(default_factory=set)
    incarnation: int = 3
    synced_sequence: int = 1_000_000

    def dead_work(self, after_sequence: int, limit: int) -> Awaitable[Sequence[DeadVersion]]:
        """The rows after that sequence."""
        return succeed([row for row in self.rows if row.sequence > after_sequence][:limit])

    def find(self, object_ids: Iterable[ObjectId]) -> Awaitable[Mapping[ObjectId, object]]:
        """Those that were said to be current."""
        return succeed(dict.fromkeys(self.current.intersection(object_ids)))

    def dying(self, object_ids: Iterable[ObjectId]) -> Awaitable[frozenset[ObjectId]]:
        """Those that have a row."""
        return succeed(frozenset(row.version.object_id for row in self.rows) & set(object_ids))

    def dead_done(self, sequences: Iterable[int]) -> Awaitable[None]:
        """Forget rows."""
        done = set(sequences)
        self.rows = [row for row in self.rows if row.sequence not in done]
        return succeed(None)


@dataclass
class Nodes:
    """Takes marks, but not those of nodes that are down, nor of suspect ones at all."""

    told: list[tuple[NodeId, Marks]] = field(default_factory=list)
    failing: set[NodeId] = field(default_factory=set)
    suspect: set[NodeId] = field(default_factory=set)
    missing: set[ChunkId] = field(default_factory=set)
    refusing: set[NodeId] = field(default_factory=set)
    gone: set[NodeId] = field(default_factory=set)
    absent: list[tuple[NodeId, ChunkId]] = field(default_factory=list)

    def mark(self, peer: Peer, marks: Marks) -> Awaitable[frozenset[ChunkId]]:
        """Note what was said."""
        if peer.node_id in self.failing:
            raise NodeFailedError("down")
        if peer.node_id in self.refusing:
            raise CatalogRolledBackError("older than the chunks")
        self.told.append((peer.node_id, marks))
        return succeed(frozenset(self.missing.intersection(marks.confirm)))

    def reachable(self, node_id: NodeId) -> Peer | None:
        """Everybody who is not suspect."""
        return None if node_id in self.suspect else Peer(node_id, "")

    def is_gone(self, node_id: NodeId) -> bool:
        """Nobody waits for those that are gone."""
        return node_id in self.gone

    def note_absence(self, node_id: NodeId, chunk_id: ChunkId) -> None:
        """Keep it."""
        self.absent.append((node_id, chunk_id))

    def heard(self, kind: str) -> dict[NodeId, list[ChunkId]]:
        """What each node was told of that kind."""
        heard: dict[NodeId, list[ChunkId]] = {}
        for node_id, marks in self.told:
            heard.setdefault(node_id, []).extend(getattr(marks, kind))
        return {node_id: chunks for node_id, chunks in heard.items() if chunks}


def version(number: int, placement: Placement = OLD_NODES) -> Version:
    """The version of that number."""
    return Version(object_id(1, number, 0), placement)


OVERWRITE = DeadVersion(7, version(1, OLD_NODES), version(2, NEW_NODES))
DELETE = DeadVersion(8, version(3, OLD_NODES), None)


def deliver(outbox: Outbox, nodes: Nodes) -> float:
    """One round of a fresh delivery."""
    return run(MarkDelivery(outbox, nodes, nodes, nodes.note_absence))


def run(delivery: MarkDelivery) -> float:
    """One round; the delay it asks for."""
    delays: list[float] = []
    Deferred.fromCoroutine(delivery.run_round()).addCallback(delays.append)
    return delays[0]


def test_a_new_object_is_confirmed_on_all_its_nodes_once() -> None:
    """With the chunk that each of them holds."""
    outbox, nodes = Outbox(), Nodes()
    delivery = MarkDelivery(outbox, nodes, nodes, nodes.note_absence)
    delivery.committed(5, version(1))
    run(delivery)
    run(delivery)
    assert nodes.heard("confirm") == {
        node_id: [ChunkId(version(1).object_id, index)] for index, node_id in enumerate(OLD_NODES)
    }


@pytest.mark.parametrize(("away", "dies"), [(0, True), (1, True), (2, False)])
def test_p2_nodes_that_are_away_do_not_keep_what_is_safe_to_lose(away: int, dies: bool) -> None:
    """A successor with six of seven chunks confirmed survives a loss, one with five does not."""
    successor = version(2, NODES[:7])
    row = DeadVersion(7, version(1, NODES[3:8]), successor)
    outbox, nodes = Outbox([row], current={successor.object_id}), Nodes()
    nodes.suspect = set(NODES[:away])
    deliver(outbox, nodes)
    assert bool(nodes.heard("dead")) == dies
    assert bool(outbox.rows) != dies


def test_an_overwritten_version_dies_after_its_successor_is_confirmed() -> None:
    """And its row goes when all its nodes know."""
    outbox, nodes = Outbox([OVERWRITE, DELETE]), Nodes()
    deliver(outbox, nodes)
    order = [(bool(marks.confirm), bool(marks.dead)) for _, marks in nodes.told]
    assert order == sorted(order, reverse=True)
    assert set(nodes.heard("confirm")) == set(NEW_NODES)
    assert set(nodes.heard("dead")) == set(OLD_NODES)
    assert outbox.rows == []


@pytest.mark.parametrize("trouble", ["failing", "suspect"])
def test_p2_nothing_dies_while_a_node_of_the_successor_is_away(trouble: str) -> None:
    """Its chunk may not be safe yet; deletes go on meanwhile."""
    outbox, nodes = Outbox([OVERWRITE, DELETE], {version(2).object_id}), Nodes()
    getattr(nodes, trouble).add(NEW_NODES[2])
    deliver(outbox, nodes)
    assert outbox.rows == [OVERWRITE]
    dead = {chunk.object_id for chunks in nodes.heard("dead").values() for chunk in chunks}
    assert dead == {DELETE.version.object_id}


def test_p2_nothing_dies_while_a_chunk_of_the_successor_is_not_safe() -> None:
    """A node that could not sync it says so, and is asked again."""
    outbox, nodes = Outbox([OVERWRITE], {version(2).object_id}), Nodes()
    nodes.missing.add(ChunkId(version(2).object_id, 3))
    deliver(outbox, nodes)
    assert (outbox.rows, nodes.heard("dead")) == ([OVERWRITE], {})
    nodes.missing.clear()
    deliver(outbox, nodes)
    assert outbox.rows == []


def test_a_successor_that_has_ended_itself_holds_nothing_up() -> None:
    """Its chunks may be gone already, so nobody can confirm them any more."""
    outbox, nodes = Outbox([OVERWRITE]), Nodes()
    nodes.missing.add(ChunkId(version(2).object_id, 3))
    deliver(outbox, nodes)
    assert outbox.rows == []


def test_a_row_stays_until_the_last_of_its_nodes_knows() -> None:
    """The others are told again, which changes nothing for them."""
    outbox, nodes = Outbox([DELETE]), Nodes()
    nodes.failing.add(OLD_NODES[0])
    deliver(outbox, nodes)
    assert outbox.rows == [DELETE]
    nodes.failing.clear()
    deliver(outbox, nodes)
    assert outbox.rows == []
    assert set(nodes.heard("dead")) == set(OLD_NODES)


def test_nodes_hear_of_no_commit_that_a_power_loss_may_undo() -> None:
    """A confirm waits until its commit is synced."""
    outbox, nodes = Outbox(synced_sequence=4), Nodes()
    delivery = MarkDelivery(outbox, nodes, nodes, nodes.note_absence)
    delivery.committed(5, version(1))
    run(delivery)
    assert nodes.told == []
    outbox.synced_sequence = 5
    run(delivery)
    assert len(nodes.heard("confirm")) == 5
    assert {marks.sequence for _, marks in nodes.told} == {5}


def test_rows_that_are_stuck_do_not_keep_others_back() -> None:
    """More of them than a round takes."""
    stuck = [DeadVersion(n, version(n, (NODES[0],)), None) for n in range(1, DEAD_PER_ROUND + 1)]
    free = DeadVersion(DEAD_PER_ROUND + 1, version(9999, (NODES[1],)), None)
    outbox, nodes = Outbox([*stuck, free]), Nodes(suspect={NODES[0]})
    delivery = MarkDelivery(outbox, nodes, nodes, nodes.note_absence)
    run(delivery)
    run(delivery)
    assert free not in outbox.rows
    nodes.suspect.clear()
    run(delivery)
    assert outbox.rows == []


def test_a_node_that_has_seen_a_later_catalog_is_kept_in_mind() -> None:
    """Until it takes marks again; one that is merely down changes nothing of it."""
    outbox, nodes = Outbox([DELETE]), Nodes(refusing={OLD_NODES[0]})
    delivery = MarkDelivery(outbox, nodes, nodes, nodes.note_absence)
    for failing in (set[NodeId](), {OLD_NODES[0]}):
        nodes.failing = failing
        run(delivery)
        assert delivery.refusals == {OLD_NODES[0]: "older than the chunks"}
    nodes.failing, nodes.refusing = set(), set()
    run(delivery)
    assert (delivery.refusals, outbox.rows) == ({}, [])


def test_a_hole_needs_no_word() -> None:
    """There is no node to tell."""
    outbox, nodes = Outbox([DeadVersion(1, version(1, (NODES[0], None)), None)]), Nodes()
    deliver(outbox, nodes)
    assert outbox.rows == []


@pytest.mark.parametrize("row", [OVERWRITE, DELETE])
def test_nodes_that_are_gone_keep_no_rows(row: DeadVersion) -> None:
    """What they hold is compared when they come back; a node that is only away keeps its rows."""
    outbox, nodes = Outbox([row]), Nodes(suspect={OLD_NODES[0]})
    deliver(outbox, nodes)
    assert outbox.rows == [row]
    nodes.gone = {OLD_NODES[0]}
    deliver(outbox, nodes)
    assert outbox.rows == []
    assert set(nodes.heard("dead")) == set(OLD_NODES[1:])


def test_a_node_that_is_gone_does_not_excuse_others() -> None:
    """Each of them has to know."""
    outbox, nodes = Outbox([DELETE]), Nodes(suspect={OLD_NODES[0]}, gone={OLD_NODES[0]})
    nodes.failing = {OLD_NODES[3]}
    deliver(outbox, nodes)
    assert outbox.rows == [DELETE]


def test_p2_a_successor_on_nodes_that_are_gone_is_not_safe_by_that() -> None:
    """It has to be confirmed by so many that it survives a loss."""
    row = DeadVersion(7, version(1, OLD_NODES), version(2, NODES[3:9]))
    outbox, nodes = Outbox([row], {version(2).object_id}), Nodes(suspect={NODES[8]})
    nodes.gone = {NODES[8]}
    deliver(outbox, nodes)
    assert (outbox.rows, nodes.heard("dead")) == ([row], {})


def test_what_a_move_left_behind_dies_when_what_it_made_is_safe() -> None:
    """Its successor is the same version on other nodes; other chunks of it stay."""
    moved = version(1, (NODES[5], *NODES[1:5], *NODES[6:8]))
    row = DeadVersion(7, version(1, (NODES[0], *[None] * 6)), moved)
    outbox, nodes = Outbox([row], {moved.object_id}), Nodes()
    nodes.missing = {ChunkId(moved.object_id, index) for index in (0, 6)}
    deliver(outbox, nodes)
    assert (outbox.rows, nodes.heard("dead")) == ([row], {})
    nodes.missing = set()
    deliver(outbox, nodes)
    assert nodes.heard("dead") == {NODES[0]: [ChunkId(moved.object_id, 0)]}
    assert outbox.rows == []


def test_a_chunk_that_cannot_be_confirmed_is_told_of() -> None:
    """With its node: somebody will look for it; those that can are not."""
    outbox, nodes = Outbox(), Nodes()
    nodes.missing = {ChunkId(version(1).object_id, 3)}
    delivery = MarkDelivery(outbox, nodes, nodes, nodes.note_absence)
    delivery.committed(5, version(1))
    run(delivery)
    assert nodes.absent == [(OLD_NODES[3], ChunkId(version(1).object_id, 3))]


class SilentNodes(Nodes):
    """Take marks and never answer."""

    def mark(self, peer: Peer, marks: Marks) -> Awaitable[frozenset[ChunkId]]:
        """Say nothing."""
        return Deferred()


def test_a_round_that_is_cancelled_ends_as_such() -> None:
    """A role that stops has not failed, which its log would say otherwise."""
    nodes = SilentNodes()
    running = Deferred.fromCoroutine(
        MarkDelivery(Outbox([DELETE]), nodes, nodes, nodes.note_absence).run_round()
    )
    failures: list[Failure] = []
    running.addErrback(failures.append)
    running.cancel()
    assert [failure.type for failure in failures] == [CancelledError]
