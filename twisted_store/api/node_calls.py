"""The calls that nodes make."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from twisted_store.api.damage import Damage
from twisted_store.api.ownership import Ownership
from twisted_store.cluster.arrivals import Arrivals
from twisted_store.cluster.heartbeat import WIRE_FORMAT, NodeReport
from twisted_store.core.ids import ChunkId, NodeId
from twisted_store.errors import BadRequestError
from twisted_store.options import base_url
from twisted_store.web.answers import answer_json
from twisted_store.web.bodies import read_json_object
from twisted_store.web.request import StreamingRequest
from twisted_store.web.secret import require_secret

BODY_BYTES_MAX = 1024 * 1024
"""Largest body of a node's call."""

INTERVAL_SECONDS_MAX = 5.0
"""A node is heard of at least so often."""

REPORT_TEXT_MAX = 256
"""Longest text in a report, in characters."""

_NUMBER_END = 2**63


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= REPORT_TEXT_MAX and value.isprintable()


def _is_url(value: Any) -> bool:
    try:
        return _is_text(value) and bool(base_url(value))
    except ValueError:
        return False


def _is_number(value: Any) -> bool:
    """Neither what Python only counts as a number, nor what the catalog could not keep."""
    return type(value) in (int, float) and 0 <= value < _NUMBER_END


def _is_whole(value: Any) -> bool:
    return type(value) is int and _is_number(value)


def _is_switch(value: Any) -> bool:
    return isinstance(value, bool)


_REPORT_FIELDS: dict[str, Callable[[Any], bool]] = {
    "node_id": _is_text,
    "url": _is_url,
    "zone": _is_text,
    "zone_named": _is_switch,
    "capacity_bytes": _is_whole,
    "used_bytes": _is_whole,
    "free_bytes": _is_whole,
    "instance": _is_text,
    "version": _is_text,
    "wire_format": _is_whole,
    "chunk_format": _is_whole,
    "cluster_id": lambda value: value is None or _is_text(value),
    "oldest_disk_call_seconds": _is_number,
    "last_sync_ok": _is_switch,
    "quarantined_chunks": _is_whole,
}


@dataclass(frozen=True, slots=True)
class NodeCalls:
    """Answers nodes that know the cluster's secret."""

    arrivals: Arrivals
    ownership: Ownership
    damage: Damage
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
        verdict = await self.arrivals.heard(report)
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
        fates = await self.ownership.rule(node_id, await self._read_chunk_ids(request))
        answer = {"confirm": _texts(fates.confirm), "drop": _texts(fates.drop)}
        answer_json(request, 200, answer)

    async def quarantined(self, request: StreamingRequest, node_id: NodeId) -> None:
        """Let chunks that the node has set aside be made anew; say which of them nobody needs."""
        drop = await self.damage.quarantined(node_id, await self._read_chunk_ids(request))
        answer_json(request, 200, {"drop": _texts(drop)})

    async def _read_chunk_ids(self, request: StreamingRequest) -> list[ChunkId]:
        texts = (await self._read(request)).get("chunks")
        if not isinstance(texts, list):
            raise BadRequestError("The body has no list of chunks.")
        return [ChunkId.parse(str(text)) for text in texts]

    async def _read(self, request: StreamingRequest) -> dict[str, Any]:
        require_secret(request, self.secret)
        return await read_json_object(request, BODY_BYTES_MAX)


def _report(fields: dict[str, Any]) -> NodeReport:
    for name, is_right in _REPORT_FIELDS.items():
        if not is_right(fields.get(name)):
            raise BadRequestError(f"Not a heartbeat: {name} is {fields.get(name)!r:.80}.")
    return NodeReport(**{name: fields[name] for name in _REPORT_FIELDS})


def _texts(chunk_ids: Iterable[ChunkId]) -> list[str]:
    return [str(chunk_id) for chunk_id in chunk_ids]
