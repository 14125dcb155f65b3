"""What would be missed without a node: before it is stopped, and before it is forgotten."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from twisted_store.api.explain_view import counted
from twisted_store.cluster.member import MemberStatus
from twisted_store.core.ids import NodeId
from twisted_store.core.layout import only
from twisted_store.core.membership import Membership
from twisted_store.core.moves import Group, Standing, survey
from twisted_store.core.redundancy import losses_survived
from twisted_store.core.scheme import scheme_of
from twisted_store.core.striping import DATA_CHUNKS

Json = dict[str, Any]


def objections_to_stop(
    node_id: NodeId, groups: Iterable[Group], statuses: Sequence[MemberStatus]
) -> list[Json]:
    """Why the node should not be stopped now, even for a while; none if it can be."""
    up = {
        status.member.peer.node_id
        for status in statuses
        if status.verdict.membership is Membership.UP
    }
    reasons = []
    lost = _unreadable_objects(groups, up, up - {node_id})
    if lost:
        message = f"{counted(lost, 'file')} could not be read without node {node_id}."
        reasons.append({"code": "files_unreadable", "message": message})
    takers = [
        status
        for status in statuses
        if status.member.peer.node_id in up
        and status.member.peer.node_id != node_id
        and not status.member.draining
        and status.member.used_bytes < status.member.capacity_bytes
    ]
    if len(takers) < DATA_CHUNKS:
        message = (
            f"A file needs {DATA_CHUNKS} nodes, and only {len(takers)} others can take chunks."
        )
        reasons.append({"code": "too_few_nodes", "message": message})
    return reasons


def reasons_to_keep(
    status: MemberStatus, groups: Sequence[Group], standing: Standing, gone: bool
) -> list[str]:
    """
    Why the node must not be forgotten, in sentences; none if it can be.

    ``gone`` is that an operator knows that it will not come back.
    """
    node_id = status.member.peer.node_id
    if status.verdict.membership is Membership.UP:
        return [f"Node {node_id} still runs: stop it first."]
    own = [group for group in groups if node_id in group.placement]
    if not status.member.lost and not gone:
        objects = sum(group.objects for group in own)
        needed = f"{counted(objects, 'file')} still need chunks on node {node_id}: drain it."
        return [needed] if objects else []
    backlog = survey(own, replace(standing, present=standing.present - {node_id}))
    reasons = []
    if backlog.unreadable:
        files = counted(backlog.unreadable, "file")
        reasons.append(f"{files} can only be read when node {node_id} is back.")
    repairing = sum(work.group.objects for work in backlog.runnable)
    if repairing and not gone:
        files = counted(repairing, "file")
        reasons.append(f"{files} with chunks on node {node_id} are to be repaired first.")
    return reasons


def _unreadable_objects(
    groups: Iterable[Group], now: Iterable[NodeId], then: Iterable[NodeId]
) -> int:
    """How many objects could be read with the nodes of ``now`` and not with those of ``then``."""
    now, then = frozenset(now), frozenset(then)
    return sum(
        group.objects for group in groups if _is_readable(group, now) > _is_readable(group, then)
    )


def _is_readable(group: Group, nodes: frozenset[NodeId]) -> bool:
    return losses_survived(scheme_of(group.placement), only(group.placement, nodes)) >= 0
