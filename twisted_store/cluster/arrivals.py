"""Heartbeats as the api takes them: nodes join, come back, and prove that they can be reached."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial

from twisted.logger import Logger

from twisted_store.cluster.heartbeat import NodeReport
from twisted_store.cluster.member import Member, Traffic
from twisted_store.cluster.members import Members, Prober
from twisted_store.cluster.tasks import Tasks
from twisted_store.core.ids import ClusterId, NodeId
from twisted_store.core.membership import NodeHealth, Verdict
from twisted_store.core.peer import Peer
from twisted_store.errors import DuplicateNodeError, ForeignClusterError, StoreError

log = Logger()

Merge = Callable[[Peer], Awaitable[None]]
"""Compares what a node holds with the catalog; raises a `StoreError` when it cannot be done."""


class Arrivals:
    """
    Takes the reports of nodes into the table of members.

    What a node holds that was lost, or that comes with chunks from nobody knows where, is compared
    with the catalog before it is up.
    """

    def __init__(
        self, members: Members, cluster_id: ClusterId, prober: Prober, merge: Merge
    ) -> None:
        self._members = members
        self._cluster_id = cluster_id
        self._prober = prober
        self._merge = merge
        self._merging = Tasks[NodeId]()

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
        member = self._updated(self._members.get(report.node_id), report)
        await self._members.save(member)
        if member.health.doubt:
            await self._members.probe(report.node_id)
        member = self._members.get(report.node_id) or member
        if member.lost and not self._members.objection(member):
            self._merging.start(report.node_id, partial(self._take_back, member.peer))
        return self._members.verdict(self._members.get(report.node_id) or member)

    async def stop(self) -> None:
        """Compare no more."""
        await self._merging.stop()

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
        members = self._members
        health = NodeHealth(doubted_seconds=members.now_seconds)
        if known is not None and known.peer.url == report.url:
            health = known.health
            if known.instance != report.instance:  # a restart is no failure
                health = replace(health, failed_times=0, held_until_seconds=0.0)
        health = health.heard(
            members.now_seconds,
            members.suspect_after_seconds,
            oldest_disk_call_seconds=report.oldest_disk_call_seconds,
            read_only=not report.last_sync_ok,
        )
        traffic = Traffic() if known is None else known.traffic
        traffic.stored_bytes = 0  # the report counts them
        return Member(
            peer=Peer(report.node_id, report.url),
            zone=report.zone,
            zone_named=report.zone_named,
            capacity_bytes=report.capacity_bytes,
            instance=report.instance,
            version=report.version,
            reported_bytes=report.used_bytes,
            traffic=traffic,
            quarantined_chunks=report.quarantined_chunks,
            lost=report.used_bytes > 0 if known is None else known.lost,
            merging=known is not None and known.merging,
            draining=known is not None and known.draining,
            health=health,
        )

    async def _take_back(self, peer: Peer) -> None:
        """Let a node that was lost be one of all again, with what of it is needed."""
        log.info("node {node_id} is back, what it holds is compared", node_id=peer.node_id)
        self._set_merging(peer.node_id, True)
        try:
            await self._merge(peer)
            member = self._members.get(peer.node_id)
            if member is None or self._members.objection(member):
                return
            await self._members.save(replace(member, lost=False))
        except StoreError as error:
            log.warn(
                "node {node_id} cannot be taken back yet: {reason}",
                node_id=peer.node_id,
                reason=error.message,
            )
            return
        finally:
            self._set_merging(peer.node_id, False)
        log.info("node {node_id} is taken back", node_id=peer.node_id)

    def _set_merging(self, node_id: NodeId, merging: bool) -> None:
        member = self._members.get(node_id)
        if member is not None:
            self._members.put(replace(member, merging=merging))
