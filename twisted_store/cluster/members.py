"""The api's table of nodes: who is there, what may be given to whom, and why not."""

from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from twisted_store.cluster.heartbeat import NodeReport
from twisted_store.core.fills import NodeFill, NodeFills
from twisted_store.core.ids import ClusterId, NodeId
from twisted_store.core.membership import Membership, NodeHealth, ObservedTime, Verdict, verdict
from twisted_store.core.peer import Peer
from twisted_store.core.placement import Decision, Placer
from twisted_store.core.scheme import Scheme, SchemeChoice, target_scheme
from twisted_store.errors import (
    DuplicateNodeError,
    ForeignClusterError,
    NodeFailedError,
    NoSpaceError,
    StoreError,
)

TICK_SECONDS = 1.0
"""How often verdicts are looked over."""

log = Logger()


class Prober(Protocol):
    """Asks a node whether it can serve; the answer holds its ``node_id`` and ``instance``."""

    def probe(self, peer: Peer) -> Awaitable[dict[str, Any]]:
        """Raise a `StoreError` unless the node can."""


@dataclass(frozen=True, slots=True)
class Member:
    """
    One node as the api knows it.

    ``instance`` is that of its running process, empty until it was heard of in this life of the
    api. ``reported_bytes`` is what it said it uses, ``stored_bytes`` what it was given since, and
    ``assigned_bytes`` what is on its way.
    """

    peer: Peer
    zone: str
    capacity_bytes: int
    instance: str = ""
    version: str = ""
    reported_bytes: int = 0
    stored_bytes: int = 0
    assigned_bytes: int = 0
    health: NodeHealth = NodeHealth()

    @property
    def used_bytes(self) -> int:
        """What counts as used when a chunk is placed."""
        return self.reported_bytes + self.stored_bytes + self.assigned_bytes


@dataclass(frozen=True, slots=True)
class MemberStatus:
    """A member and the verdict on it; ``silent_seconds`` is None before its first heartbeat."""

    member: Member
    verdict: Verdict
    silent_seconds: float | None


class Members:
    """
    Nodes by id.

    ``remember`` makes a node that is new or has changed durable. A node is trusted after a probe,
    so one that cannot be reached at the URL it gives is told so and gets no chunks.
    """

    def __init__(
        self,
        cluster_id: ClusterId,
        known: Sequence[Member],
        prober: Prober,
        remember: Callable[[Member], Awaitable[None]],
        monotonic: Callable[[], float],
        random: Random,
        suspect_after_seconds: float,
    ) -> None:
        self.fills = NodeFills()
        self._cluster_id = cluster_id
        self._members = {member.peer.node_id: member for member in known}
        self._prober = prober
        self._remember = remember
        self._remembered = {member.peer.node_id: _identity(member) for member in known}
        self._monotonic = monotonic
        self._observed = ObservedTime(TICK_SECONDS, monotonic())
        self._placer = Placer(random)
        self._suspect_after_seconds = suspect_after_seconds
        self._probing: set[NodeId] = set()
        for member in known:
            self._refresh(member)

    async def heard(self, report: NodeReport) -> Verdict:
        """
        Take a heartbeat and give the verdict; a doubt about the node is settled by a probe first.

        Raises `ForeignClusterError` and `DuplicateNodeError` for a node that must not run.
        """
        if report.cluster_id not in (None, self._cluster_id):
            raise ForeignClusterError(
                f"This node's data belongs to cluster {report.cluster_id}, the api is that of "
                f"cluster {self._cluster_id}. Give the node another --api or another --data."
            )
        await self._check_single(report)
        known = self._members.get(report.node_id)
        member = self._updated(known, report)
        self._put(member)
        if self._remembered.get(report.node_id) != _identity(member):
            await self._remember(member)
            self._remembered[report.node_id] = _identity(member)
        if member.health.doubt:
            await self._probe(report.node_id)
        return self._verdict(self._members[report.node_id])

    def target(self, choice: SchemeChoice) -> Scheme:
        """What the choice comes to with the nodes that are known."""
        return target_scheme(choice, len(self._members))

    def place(self, chunk_bytes: int, scheme: Scheme) -> Decision:
        """Nodes for the chunks of a new object; raises `TooFewNodesError`."""
        return self._placer.choose(self.fills, _share(chunk_bytes, scheme), scheme.nodes)

    def preview(self, chunk_bytes: int, scheme: Scheme) -> Decision:
        """Nodes that `place` would give now; raises `TooFewNodesError`."""
        return self._placer.preview(self.fills, _share(chunk_bytes, scheme), scheme.nodes)

    def takers(self, chunk_bytes: int) -> frozenset[NodeId]:
        """The nodes that can take a chunk of that size now."""
        fills = self.fills.values()
        return frozenset(fill.node_id for fill in fills if not fill.objection(chunk_bytes))

    def replacement(self, chunk_bytes: int, taken: Collection[NodeId]) -> NodeId:
        """A node for one chunk besides those ``taken``; raises `TooFewNodesError`."""
        return self._placer.replacement(self.fills, chunk_bytes, taken)

    def assign(self, node_id: NodeId, size_bytes: int) -> None:
        """So many bytes are on their way to the node; negative when they no longer are."""
        member = self._members[node_id]
        self._put(replace(member, assigned_bytes=member.assigned_bytes + size_bytes))

    def stored(self, node_id: NodeId, size_bytes: int) -> None:
        """The node stored so many bytes since its last heartbeat."""
        member = self._members[node_id]
        self._put(replace(member, stored_bytes=member.stored_bytes + size_bytes))

    def failed(self, node_id: NodeId, failure: StoreError) -> None:
        """The node failed on the data path: no chunks for it until a probe finds it well."""
        member = self._members[node_id]
        if isinstance(failure, NoSpaceError):
            self._put(replace(member, reported_bytes=member.capacity_bytes, stored_bytes=0))
            return
        self._put(replace(member, health=member.health.failed(failure.message)))
        if not member.health.doubt:
            log.warn("node {node_id} is suspect: {reason}", node_id=node_id, reason=failure.message)
        Deferred.fromCoroutine(self._probe(node_id))

    def slow(self, node_id: NodeId) -> None:
        """The node kept a reader waiting: others are read first until it has answered a probe."""
        member = self._members[node_id]
        self._put(replace(member, health=member.health.stalled()))
        Deferred.fromCoroutine(self._probe(node_id))

    def prompt(self, node_id: NodeId) -> bool:
        """Whether an answer of the node can be expected soon."""
        member = self._members.get(node_id)
        return member is not None and member.health.prompt(
            self._observed.seconds, self._suspect_after_seconds
        )

    def peer(self, node_id: NodeId) -> Peer:
        """Where to reach the node; raises `NodeFailedError` for one that never was heard of."""
        member = self._members.get(node_id)
        if member is None:
            raise NodeFailedError(f"Node {node_id} is not known to this api.")
        return member.peer

    def reachable(self, node_id: NodeId) -> Peer | None:
        """Where to reach the node if it is up."""
        fill = self.fills.get(node_id)
        return self.peer(node_id) if fill is not None and fill.usable else None

    def status(self) -> list[MemberStatus]:
        """All nodes, by id."""
        return [self._status(self._members[node_id]) for node_id in sorted(self._members)]

    async def tick(self) -> float:
        """Look over all verdicts, as time has passed; gives the seconds until the next time."""
        self._observed.tick(self._monotonic())
        for member in self._members.values():
            self._refresh(member)
        return TICK_SECONDS

    async def _check_single(self, report: NodeReport) -> None:
        known = self._members.get(report.node_id)
        if known is None or known.instance in ("", report.instance) or known.peer.url == report.url:
            return
        try:
            answer = await self._prober.probe(known.peer)
        except StoreError:
            return
        if answer.get("instance") == known.instance:
            raise DuplicateNodeError(
                f"Node {report.node_id} runs at {known.peer.url} already. Two processes cannot "
                "share a node's data, nor copies of it: start this one with an empty --data."
            )

    def _updated(self, known: Member | None, report: NodeReport) -> Member:
        health = NodeHealth()
        if known is not None and known.peer.url == report.url:
            health = known.health
        health = health.heard(
            self._observed.seconds,
            self._suspect_after_seconds,
            oldest_disk_call_seconds=report.oldest_disk_call_seconds,
            read_only=not report.last_sync_ok,
        )
        return Member(
            peer=Peer(report.node_id, report.url),
            zone=report.zone,
            capacity_bytes=report.capacity_bytes,
            instance=report.instance,
            version=report.version,
            reported_bytes=report.used_bytes,
            assigned_bytes=0 if known is None else known.assigned_bytes,
            health=health,
        )

    async def _probe(self, node_id: NodeId) -> None:
        if node_id in self._probing:
            return
        self._probing.add(node_id)
        peer = self._members[node_id].peer
        try:
            answer = await self._prober.probe(peer)
            if answer.get("node_id") != node_id:
                raise NodeFailedError(f"Another node answers at {peer.url}.")
        except StoreError as failure:
            health = self._members[node_id].health.failed(failure.message)
        else:
            health = self._members[node_id].health.probed()
        finally:
            self._probing.discard(node_id)
        self._put(replace(self._members[node_id], health=health))

    def _put(self, member: Member) -> None:
        self._members[member.peer.node_id] = member
        self._refresh(member)

    def _refresh(self, member: Member) -> None:
        found = self._verdict(member)
        self.fills.put(
            NodeFill(
                node_id=member.peer.node_id,
                zone=member.zone,
                capacity_bytes=member.capacity_bytes,
                used_bytes=member.used_bytes,
                usable=found.membership is Membership.UP,
                reason=found.reason and f"{found.membership.value}: {found.reason}",
            )
        )

    def _status(self, member: Member) -> MemberStatus:
        heard = member.health.heard_seconds
        silent_seconds = None if heard is None else self._observed.seconds - heard
        return MemberStatus(member, self._verdict(member), silent_seconds)

    def _verdict(self, member: Member) -> Verdict:
        return verdict(member.health, self._observed.seconds, self._suspect_after_seconds)


def _share(chunk_bytes: int, scheme: Scheme) -> int:
    """What a node is given of an object with chunks of that size."""
    return chunk_bytes * scheme.width // scheme.nodes


def _identity(member: Member) -> tuple[str, str]:
    """What of a node is worth a write when it changes."""
    return member.peer.url, member.zone
