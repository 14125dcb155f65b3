"""Where the chunks of a file are, or would go, and why, as values for JSON."""

from collections.abc import Mapping
from typing import Any

from twisted_store.catalog.entries import Explained
from twisted_store.cluster.member import MemberStatus
from twisted_store.cluster.members import Members
from twisted_store.core.ids import NodeId, Placement
from twisted_store.core.layout import only, placement_of
from twisted_store.core.membership import Membership
from twisted_store.core.placement import Decision
from twisted_store.core.redundancy import losses_survived
from twisted_store.core.scheme import Scheme
from twisted_store.core.striping import DATA_CHUNKS

Json = dict[str, Any]


def redundancy_view(scheme: Scheme, placement: Placement) -> Json:
    """What is there of the chunks that the scheme wants, and what that survives."""
    return {
        "scheme": scheme,
        "chunks_wanted": scheme.width,
        "chunks_present": sum(node_id is not None for node_id in placement),
        "losses_survived": losses_survived(scheme, placement),
    }


def explain_view(explained: Explained, members: Members) -> Json:
    """Where the chunks of a file are, and why."""
    manifest = explained.entry.manifest
    placement = only(explained.entry.placement, members.standing().present)
    statuses = {status.member.peer.node_id: status for status in members.status()}
    up = {
        node_id
        for node_id, status in statuses.items()
        if status.verdict.membership is Membership.UP
    }
    reachable = tuple(node_id if node_id in up else None for node_id in placement)
    return {
        "name": manifest.name,
        "object_id": manifest.object_id,
        "size": manifest.size_bytes,
        "unit_bytes": manifest.unit_bytes,
        **redundancy_view(manifest.scheme, placement),
        "chunks_reachable": sum(node_id is not None for node_id in reachable),
        "losses_survived_now": losses_survived(manifest.scheme, reachable),
        "note": _note(manifest.scheme, placement, statuses),
        "chunks": [
            {
                "index": index,
                "kind": kind_of(manifest.scheme, index),
                "bytes": manifest.chunk_bytes(index),
                **_place(node_id, statuses, explained),
            }
            for index, node_id in enumerate(explained.entry.placement)
        ],
        "skipped": [
            {"node_id": reason.node_id, "fill": reason.fill, "reason": reason.text}
            for reason in explained.reasons.considered
            if reason.node_id not in explained.entry.placement
        ],
        "changes": list(explained.reasons.changes),
    }


def dry_run_view(size_bytes: int, scheme: Scheme, decision: Decision, members: Members) -> Json:
    """Where the chunks of a new file would go, and why; nothing is stored."""
    placement = placement_of(scheme, decision.nodes)
    statuses = {status.member.peer.node_id: status for status in members.status()}
    return {
        "size": size_bytes,
        **redundancy_view(scheme, placement),
        "note": _note(scheme, placement, statuses),
        "nodes": [
            {
                "node_id": candidate.node_id,
                "zone": candidate.zone,
                "chunks": [
                    i for i, node_id in enumerate(placement) if node_id == candidate.node_id
                ],
                "fill_before": candidate.fill_before,
                "fill_after": candidate.fill_after,
                "reason": candidate.reason,
            }
            for candidate in decision.candidates(members.fills)
        ],
    }


def counted(number: int, noun: str) -> str:
    """``2 nodes``, ``1 node``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def kind_of(scheme: Scheme, index: int) -> str:
    """What a chunk is."""
    if index < DATA_CHUNKS:
        return "data"
    return "copy" if scheme is Scheme.COPIES else "parity"


def _place(
    node_id: NodeId | None, statuses: Mapping[NodeId, MemberStatus], explained: Explained
) -> Json:
    if node_id is None:
        return {"hole": True}
    status = statuses.get(node_id)
    return {
        "hole": False,
        "node_id": node_id,
        "url": status.member.peer.url if status else "",
        "zone": status.member.zone if status else "",
        "membership": status.verdict.membership.value if status else "unknown",
        "reason": explained.reasons.text_of(node_id),
    }


def _note(scheme: Scheme, placement: Placement, statuses: Mapping[NodeId, MemberStatus]) -> str:
    """That nodes may be lost, but not a whole zone, where it is so."""
    zones = {node_id: status.member.zone for node_id, status in statuses.items()}
    survived = losses_survived(scheme, placement)
    if survived > 0 and not all(
        losses_survived(scheme, _without(placement, zone, zones)) >= 0
        for zone in {zones.get(node_id) for node_id in placement if node_id is not None}
    ):
        return f"It survives the loss of any {counted(survived, 'node')}, not of a host."
    return ""


def _without(placement: Placement, zone: str | None, zones: Mapping[NodeId, str]) -> Placement:
    return tuple(
        None if node_id is None or zones.get(node_id) == zone else node_id for node_id in placement
    )
