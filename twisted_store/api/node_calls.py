"""The calls that nodes make."""

from dataclasses import dataclass
from typing import Any

from twisted_store.api.ownership import Ownership
from twisted_store.cluster.heartbeat import WIRE_FORMAT, NodeReport
from twisted_store.cluster.members import Members
from twisted_store.core.ids import ChunkId, NodeId
from twisted_store.errors import BadRequestError
from twisted_store.web.answers import answer_json
from twisted_store.web.bodies import read_json_object
from twisted_store.web.request import StreamingRequest
from twisted_store.web.secret import require_secret

BODY_BYTES_MAX = 1024 * 1024
"""Largest body of a node's call."""

INTERVAL_SECONDS_MAX = 5.0
"""A node is heard of at least so often."""

_REPORT_KINDS = {
    "node_id": str,
    "url": str,
    "zone": str,
    "capacity_bytes": int,
    "used_bytes": int,
    "free_bytes": int,
    "instance": str,
    "version": str,
    "wire_format": int,
    "chunk_format": int,
    "cluster_id": str | None,
    "oldest_disk_call_seconds": int | float,
    "last_sync_ok": bool,
}


@dataclass(frozen=True, slots=True)
class NodeCalls:
    """Answers nodes that know the cluster's secret."""

    members: Members
    ownership: Ownership
    secret: str | None
    cluster_id: str
    incarnation: int
    suspect_after_seconds: float

    async def heartbeat(self, request: StreamingRequest, node_id: NodeId) -> None:
        """Take the report and answer with the verdict."""
        report = _report(await self._read(request))
        if report.node_id != node_id:
            raise BadRequestError("The node in the path is not the node that reports.")
        if report.wire_format != WIRE_FORMAT:
            raise BadRequestError(
                f"The node speaks format {report.wire_format}, this api {WIRE_FORMAT}: run the "
                "same version of both."
            )
        verdict = await self.members.heard(report)
        answer = {
            "cluster_id": self.cluster_id,
            "incarnation": self.incarnation,
            "membership": verdict.membership.value,
            "reason": verdict.reason,
            "interval_seconds": min(INTERVAL_SECONDS_MAX, self.suspect_after_seconds / 3),
        }
        answer_json(request, 200, answer)

    async def ask(self, request: StreamingRequest, node_id: NodeId) -> None:
        """Say which of the node's chunks are to be confirmed, and which dropped."""
        body = await self._read(request)
        texts = body.get("chunks")
        if not isinstance(texts, list):
            raise BadRequestError("The body has no list of chunks.")
        fates = await self.ownership.rule(node_id, [ChunkId.parse(str(text)) for text in texts])
        answer = {
            "confirm": [str(chunk_id) for chunk_id in fates.confirm],
            "drop": [str(chunk_id) for chunk_id in fates.drop],
        }
        answer_json(request, 200, answer)

    async def _read(self, request: StreamingRequest) -> dict[str, Any]:
        require_secret(request, self.secret)
        return await read_json_object(request, BODY_BYTES_MAX)


def _report(fields: dict[str, Any]) -> NodeReport:
    for name, kinds in _REPORT_KINDS.items():
        if not isinstance(fields.get(name), kinds):
            raise BadRequestError(f"Not a heartbeat: {name} is {fields.get(name)!r}.")
    return NodeReport(**{name: fields[name] for name in _REPORT_KINDS})
