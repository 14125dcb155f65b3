"""What the api tells of files and of the cluster, as values for JSON."""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from twisted_store.api.explain_view import counted
from twisted_store.catalog.entries import ListedObject, Page
from twisted_store.cluster.member import MemberStatus
from twisted_store.cluster.members import Members
from twisted_store.core.evenness import spread, usable_bytes
from twisted_store.core.ids import NodeId
from twisted_store.core.layout import only
from twisted_store.core.manifest import Manifest
from twisted_store.core.membership import Membership
from twisted_store.core.moves import Group
from twisted_store.core.redundancy import losses_survived
from twisted_store.core.scheme import Scheme, scheme_of
from twisted_store.core.striping import DATA_CHUNKS

Json = dict[str, Any]

FULL = 0.99
"""A node filled so far is reported: a large chunk may not fit any more."""


def file_view(manifest: Manifest) -> Json:
    """One file, as an upload answers with it."""
    return {
        "name": manifest.name,
        "size": manifest.size_bytes,
        "etag": manifest.etag,
        "content_type": manifest.content_type,
        "modified": _time(manifest.created_us),
    }


def page_view(page: Page) -> Json:
    """A page of a listing."""
    return {
        "files": [_listed_view(listed) for listed in page.files],
        "prefixes": list(page.prefixes),
        "next": page.next,
    }


def nodes_view(members: Members, target: Scheme) -> Json:
    """All nodes, how evenly they are filled, and how much they can take under that scheme."""
    statuses = members.status()
    width = max(DATA_CHUNKS, min(target.nodes, len(statuses)))
    usable = usable_bytes(
        [status.member.capacity_bytes for status in statuses],
        width,
        target.nodes / target.overhead,
    )
    return {
        "nodes": [node_view(status) for status in statuses],
        "target": target,
        "spread": spread(members.fills.values(), width),
        "capacity_bytes": usable.raw_bytes,
        "usable_bytes": usable.usable_bytes,
        "usable_limit": usable.limit,
    }


def losses_view(groups: Iterable[Group], present: Collection[NodeId]) -> Json:
    """How many objects survive how many losses; what others than ``present`` hold is gone."""
    objects = Counter[int]()
    for group in groups:
        left = only(group.placement, present)
        objects[losses_survived(scheme_of(left), left)] += group.objects
    return {"objects_by_losses_survived": {str(key): objects[key] for key in sorted(objects)}}


def readiness_view(statuses: Sequence[MemberStatus], target: Scheme) -> Json:
    """Whether files can be stored, and what an operator should know."""
    reasons = [reason for status in statuses for reason in _node_reasons(status)]
    takers = [
        status.member.zone
        for status in statuses
        if status.verdict.membership is Membership.UP
        and _fill(status) < 1
        and not status.member.draining
    ]
    reasons += _redundancy_reasons(takers, target)
    if len(takers) < DATA_CHUNKS:
        message = (
            f"A file needs {DATA_CHUNKS} nodes with room, and {len(takers)} are up: start more."
        )
        reasons.append({"code": "too_few_nodes", "message": message})
    elif len(takers) == DATA_CHUNKS:
        message = f"Only {DATA_CHUNKS} nodes with room are up: the next loss stops uploads."
        reasons.append({"code": "no_spare_node", "message": message})
    return {"ready": len(takers) >= DATA_CHUNKS, "reasons": reasons}


def _redundancy_reasons(zones: Sequence[str], target: Scheme) -> list[Json]:
    """What new files get less than they should, with nodes in these zones."""
    if DATA_CHUNKS <= len(zones) < target.nodes:
        survived = len(zones) - DATA_CHUNKS
        loss = f"the loss of any {counted(survived, 'node')}" if survived else "no loss"
        message = (
            f"New files get {len(zones)} chunks and survive {loss}: "
            f"{target} wants {target.nodes} nodes with room, {len(zones)} are up."
        )
        return [{"code": "redundancy_reduced", "message": message}]
    together = _together_min(zones, target.nodes)
    if 0 < target.losses < together:
        loss = counted(target.losses, "node")
        message = (
            f"New files survive the loss of any {loss}, not of a host: of the "
            f"{target.nodes} nodes of a file {together} at least are in one zone."
        )
        return [{"code": "host_not_survived", "message": message}]
    return []


def _together_min(zones: Sequence[str], wanted: int) -> int:
    """So many of the ``wanted`` nodes share a zone at least, 0 where there are not so many."""
    sizes = Counter(zones).values()
    for limit in range(1, wanted + 1):
        if sum(min(size, limit) for size in sizes) >= wanted:
            return limit
    return 0


def _node_reasons(status: MemberStatus) -> list[Json]:
    node_id, verdict = status.member.peer.node_id, status.verdict
    reasons = []
    if verdict.membership is not Membership.UP:
        membership = verdict.membership.value
        message = f"Node {node_id} is {membership}: {verdict.reason}."
        reasons.append({"code": f"node_{membership}", "message": message})
    if status.member.quarantined_chunks:
        message = f"Node {node_id} has set {status.member.quarantined_chunks} damaged chunks aside."
        reasons.append({"code": "chunks_quarantined", "message": message})
    if _fill(status) >= FULL:
        message = f"Node {node_id} is {_fill(status):.1%} full: start more nodes or delete files."
        reasons.append({"code": "node_full", "message": message})
    return reasons


def _fill(status: MemberStatus) -> float:
    member = status.member
    return member.used_bytes / member.capacity_bytes if member.capacity_bytes else 1.0


def _listed_view(listed: ListedObject) -> Json:
    return {
        "name": listed.name,
        "size": listed.size_bytes,
        "etag": listed.etag,
        "modified": _time(listed.created_us),
    }


def node_view(status: MemberStatus) -> Json:
    """One node."""
    member = status.member
    return {
        "node_id": member.peer.node_id,
        "url": member.peer.url,
        "zone": member.zone,
        "version": member.version,
        "capacity_bytes": member.capacity_bytes,
        "used_bytes": member.used_bytes,
        "fill": _fill(status),
        "membership": status.verdict.membership.value,
        "reason": status.verdict.reason,
        "draining": member.draining,
        "quarantined_chunks": member.quarantined_chunks,
        "heard_seconds_ago": status.silent_seconds,
    }


def _time(us: int) -> str:
    moment = datetime.fromtimestamp(us / 1_000_000, UTC)
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")
