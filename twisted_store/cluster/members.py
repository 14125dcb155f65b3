"""The api's table of nodes: who is there, what may be given to whom, and why not."""

from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import replace
from random import Random
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from twisted_store.cluster.member import Member, MemberStatus
from twisted_store.core.fills import NodeFill, NodeFills
from twisted_store.core.ids import NodeId
from twisted_store.core.membership import (
    Membership,
    NodeHealth,
    ObservedTime,
    Verdict,
    many_fail,
    verdict,
)
from twisted_store.core.moves import Standing
from twisted_store.core.peer import Peer
from twisted_store.core.placement import Decision, Placer
from twisted_store.core.scheme import AUTO, Scheme, SchemeChoice, target_scheme
from twisted_store.errors import NodeFailedError, NodeNotFoundError, NoSpaceError, StoreError

TICK_SECONDS = 1.0
"""How often verdicts are looked over."""

log = Logger()


class Prober(Protocol):
    """Asks a node whether it can serve; the answer holds its ``node_id`` and ``instance``."""

    def probe(self, peer: Peer) -> Awaitable[dict[str, Any]]:
        """Raise a `StoreError` unless the node can."""


Remember = Callable[[Member], Awaitable[None]]
"""Makes a node that is new or has changed durable."""


class Members:
    """
    Nodes by id.

    A node is trusted after a probe, so one that cannot be reached at the URL it gives is told so
    and gets no chunks.
    """

    def __init__(
        self,
        known: Sequence[Member],
        prober: Prober,
        remember: Remember,
        monotonic: Callable[[], float],
        random: Random,
        suspect_after_seconds: float,
    ) -> None:
        self.fills = NodeFills()
        self._members = {member.peer.node_id: member for member in known}
        self._prober = prober
        self._remember = remember
        self._remembered = {member.peer.node_id: member.durable for member in known}
        self._monotonic = monotonic
        self._observed = ObservedTime(TICK_SECONDS, monotonic())
        self._placer = Placer(random)
        self.suspect_after_seconds = suspect_after_seconds
        self._probing: set[NodeId] = set()
        for member in known:
            self._refresh(member)

    @property
    def now_seconds(self) -> float:
        """The observed time."""
        return self._observed.seconds

    def target(self, choice: SchemeChoice) -> Scheme:
        """What the choice comes to with the nodes that there are, lost and draining ones apart."""
        staying = (not (each.lost or each.draining) for each in self._members.values())
        return target_scheme(choice, sum(staying))

    def standing(self) -> Standing:
        """What repair goes by."""
        members = self._members.items()
        return Standing(
            present=frozenset(node_id for node_id, member in members if not member.lost),
            draining=frozenset(node_id for node_id, member in members if member.draining),
            takers=self.takers(0),
            goal=self.target(AUTO),
        )

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
        known = [node_id for node_id in taken if node_id in self._members]
        return self._placer.replacement(self.fills, chunk_bytes, known)

    def assign(self, node_id: NodeId, size_bytes: int) -> None:
        """So many bytes are on their way to the node; negative when they no longer are."""
        member = self._members.get(node_id)
        if member is not None:
            member.traffic.assigned_bytes += size_bytes
            self.fills.assign(node_id, size_bytes)

    def stored(self, node_id: NodeId, size_bytes: int) -> None:
        """The node stored so many bytes since its last heartbeat."""
        member = self._members.get(node_id)
        if member is not None:
            member.traffic.stored_bytes += size_bytes
            self.fills.assign(node_id, size_bytes)

    def failed(self, node_id: NodeId, failure: StoreError) -> None:
        """The node failed on the data path: no chunks for it until a probe finds it well."""
        member = self._members.get(node_id)
        if member is None:
            return
        if isinstance(failure, NoSpaceError):
            member.traffic.stored_bytes = 0
            self.put(replace(member, reported_bytes=member.capacity_bytes))
            return
        health = member.health.failed(failure.message, self.now_seconds)
        self.put(replace(member, health=health))
        if not member.health.doubt:
            log.warn("node {node_id} is suspect: {reason}", node_id=node_id, reason=failure.message)
        Deferred.fromCoroutine(self.probe(node_id))

    def slow(self, node_id: NodeId) -> None:
        """The node kept a reader waiting: others are read first until it has answered a probe."""
        member = self._members.get(node_id)
        if member is not None:
            self.put(replace(member, health=member.health.stalled()))
            Deferred.fromCoroutine(self.probe(node_id))

    def prompt(self, node_id: NodeId) -> bool:
        """Whether an answer of the node can be expected soon."""
        member = self._members.get(node_id)
        return member is not None and member.health.prompt(
            self.now_seconds, self.suspect_after_seconds
        )

    def get(self, node_id: NodeId) -> Member | None:
        """The node, None when it is not known."""
        return self._members.get(node_id)

    def peer(self, node_id: NodeId) -> Peer:
        """Where to reach the node; raises `NodeFailedError` for one that never was heard of."""
        member = self._members.get(node_id)
        if member is None:
            raise NodeFailedError(f"Node {node_id} is not known to this api.")
        return member.peer

    def reachable(self, node_id: NodeId) -> Peer | None:
        """Where to reach the node if it is up, or back and being compared with the catalog."""
        member = self._members.get(node_id)
        if member is None or self.objection(member):
            return None
        return member.peer

    def is_gone(self, node_id: NodeId) -> bool:
        """
        Whether nobody waits for the node: all that it holds will be compared when it comes back.

        Not while that goes on: what was compared already is not looked at again.
        """
        member = self._members.get(node_id)
        if member is None:
            return True
        return self.verdict(member).membership is Membership.LOST and not member.merging

    def status(self) -> list[MemberStatus]:
        """All nodes, by id."""
        return [self._status(self._members[node_id]) for node_id in sorted(self._members)]

    def status_of(self, node_id: NodeId) -> MemberStatus:
        """One node; raises `NodeNotFoundError`."""
        if node_id not in self._members:
            raise NodeNotFoundError(f"There is no node {node_id}.")
        return self._status(self._members[node_id])

    def verdict(self, member: Member) -> Verdict:
        """What is thought of a node now."""
        return verdict(member.health, self.now_seconds, self.suspect_after_seconds, member.lost)

    def objection(self, member: Member) -> str:
        """Why no answer can be expected of a node, or none that is worth it; empty if it can."""
        return member.health.objection(self.now_seconds, self.suspect_after_seconds)

    def put(self, member: Member) -> None:
        """Take a new node, or what is new of a known one."""
        self._members[member.peer.node_id] = member
        self._refresh(member)

    async def save(self, member: Member) -> None:
        """
        The same, and make durable what is worth it.

        When that fails the node is neither lost nor drained more than it was before.
        """
        node_id = member.peer.node_id
        before = self._members.get(node_id)
        self.put(member)
        if self._remembered.get(node_id) == member.durable:
            return
        try:
            await self._remember(member)
        except StoreError:
            now = self._members.get(node_id)
            if before is not None and now is not None:
                self.put(replace(now, lost=before.lost, draining=before.draining))
            raise
        self._remembered[node_id] = member.durable

    def remove(self, node_id: NodeId) -> None:
        """Forget a node."""
        self._members.pop(node_id, None)
        self._remembered.pop(node_id, None)
        self.fills.remove(node_id)

    async def probe(self, node_id: NodeId) -> None:
        """Ask a node whether it can serve, unless it is being asked."""
        if node_id in self._probing:
            return
        self._probing.add(node_id)
        peer = self._members[node_id].peer
        failure: StoreError | None = None
        try:
            answer = await self._prober.probe(peer)
            if answer.get("node_id") != node_id:
                raise NodeFailedError(f"Another node answers at {peer.url}.")
        except StoreError as error:
            failure = error
        finally:
            self._probing.discard(node_id)
        member = self._members.get(node_id)
        if member is not None:
            self.put(replace(member, health=self._after_probe(member.health, failure)))

    def tick(self) -> None:
        """Look over all verdicts, as time has passed."""
        self._observed.tick(self._monotonic())
        for member in self._members.values():
            self._refresh(member)

    def _after_probe(self, health: NodeHealth, failure: StoreError | None) -> NodeHealth:
        if failure is not None:
            return health.failed(failure.message, self.now_seconds)
        others = [member.health for member in self._members.values()]
        return health.probed(self.now_seconds, many_fail(others, self.now_seconds))

    def _refresh(self, member: Member) -> None:
        found = self.verdict(member)
        reason = found.reason and f"{found.membership.value}: {found.reason}"
        if not reason and member.draining:
            reason = "it is being drained"
        self.fills.put(
            NodeFill(
                node_id=member.peer.node_id,
                zone=member.zone,
                capacity_bytes=member.capacity_bytes,
                used_bytes=member.used_bytes,
                usable=found.membership is Membership.UP and not member.draining,
                reason=reason,
            )
        )

    def _status(self, member: Member) -> MemberStatus:
        heard = member.health.heard_seconds
        silent_seconds = None if heard is None else self.now_seconds - heard
        return MemberStatus(member, self.verdict(member), silent_seconds)


def _share(chunk_bytes: int, scheme: Scheme) -> int:
    """What a node is given of an object with chunks of that size."""
    return chunk_bytes * scheme.width // scheme.nodes
