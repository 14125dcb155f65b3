"""What the api tells of files and of the cluster, as values for JSON."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from twisted_store.catalog.entries import Entry, ListedObject, Page
from twisted_store.cluster.members import Members, MemberStatus
from twisted_store.core.evenness import spread, usable_bytes
from twisted_store.core.manifest import Manifest
from twisted_store.core.membership import Membership
from twisted_store.core.striping import DATA_CHUNKS, Striping

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


def explain_view(entry: Entry, members: Members) -> Json:
    """Where the chunks of a file are."""
    manifest = entry.manifest
    striping = Striping(manifest.size_bytes, manifest.unit_bytes)
    return {
        "name": manifest.name,
        "object_id": manifest.object_id,
        "size": manifest.size_bytes,
        "scheme": manifest.scheme,
        "unit_bytes": manifest.unit_bytes,
        "chunks": [
            {
                "index": index,
                "node_id": node_id,
                "url": members.peer(node_id).url,
                "bytes": striping.chunk_bytes(index),
            }
            for index, node_id in enumerate(entry.placement)
            if node_id is not None
        ],
    }


def nodes_view(members: Members) -> Json:
    """All nodes, how evenly they are filled, and how much they can take."""
    statuses = members.status()
    usable = usable_bytes([status.member.capacity_bytes for status in statuses])
    return {
        "nodes": [_node_view(status) for status in statuses],
        "spread": spread(members.fills.values()),
        "capacity_bytes": usable.raw_bytes,
        "usable_bytes": usable.usable_bytes,
        "usable_limit": usable.limit,
    }


def readiness_view(statuses: Sequence[MemberStatus]) -> Json:
    """Whether files can be stored, and what an operator should know."""
    reasons = [reason for status in statuses for reason in _node_reasons(status)]
    takers = sum(
        status.verdict.membership is Membership.UP and _fill(status) < 1 for status in statuses
    )
    if takers < DATA_CHUNKS:
        message = f"A file needs {DATA_CHUNKS} nodes with room, and {takers} are up: start more."
        reasons.append({"code": "too_few_nodes", "message": message})
    elif takers == DATA_CHUNKS:
        message = f"Only {DATA_CHUNKS} nodes with room are up: the next loss stops uploads."
        reasons.append({"code": "no_spare_node", "message": message})
    return {"ready": takers >= DATA_CHUNKS, "reasons": reasons}


def _node_reasons(status: MemberStatus) -> list[Json]:
    node_id, verdict = status.member.peer.node_id, status.verdict
    reasons = []
    if verdict.membership is not Membership.UP:
        message = f"Node {node_id} is suspect: {verdict.reason}."
        reasons.append({"code": "node_suspect", "message": message})
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


def _node_view(status: MemberStatus) -> Json:
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
        "heard_seconds_ago": status.silent_seconds,
    }


def _time(us: int) -> str:
    moment = datetime.fromtimestamp(us / 1_000_000, UTC)
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")
