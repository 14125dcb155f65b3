"""
The node's heartbeat: registration and sign of life are one idempotent call to the api.

The answer holds the verdict on the node. Two answers end the process, as no retry can mend them:
the node belongs to another cluster, or another process answers for its id.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from twisted.logger import Logger

from twisted_store.core.ids import ClusterId, NodeId
from twisted_store.errors import DuplicateNodeError, ForeignClusterError, StoreError

RETRY_SECONDS_FIRST = 0.1
"""Delay after the first heartbeat without an answer; it doubles up to the ordinary interval."""

WIRE_FORMAT = 3
"""The version of what api and nodes say to each other."""

log = Logger()


@dataclass(frozen=True, slots=True)
class NodeReport:
    """
    What a heartbeat says; sent as a JSON object with these names.

    ``instance`` is drawn at each start, ``cluster_id`` None before the first contact;
    ``zone_named`` tells whether the operator named the zone, ``quarantined_chunks`` how many
    damaged chunks are set aside.
    """

    node_id: NodeId
    url: str
    zone: str
    zone_named: bool
    capacity_bytes: int
    used_bytes: int
    free_bytes: int
    instance: str
    version: str
    wire_format: int
    chunk_format: int
    cluster_id: ClusterId | None
    oldest_disk_call_seconds: float
    last_sync_ok: bool
    quarantined_chunks: int


@dataclass(frozen=True, slots=True)
class HeartbeatAnswer:
    """
    What the api answers; it expects the next heartbeat within ``interval_seconds``.

    ``reason`` is empty for a node that is up.
    """

    cluster_id: ClusterId
    incarnation: int
    membership: str
    reason: str
    interval_seconds: float


class ApiClient(Protocol):
    """Brings heartbeats to the api."""

    async def heartbeat(self, report: NodeReport) -> HeartbeatAnswer:
        """Raise the `StoreError` that the api answers, `UnavailableError` when it does not."""


class Heartbeat:
    """
    Reports to the api every ``interval_seconds``, or as often as the api asks when that is more.

    ``adopt`` makes a cluster's id durable and raises `ForeignClusterError` when the node has
    another one; ``refused`` is called with a message when this node must not run.
    """

    def __init__(
        self,
        client: ApiClient,
        report: Callable[[], NodeReport],
        adopt: Callable[[ClusterId], Awaitable[None]],
        refused: Callable[[str], None],
        interval_seconds: float,
    ) -> None:
        self._client = client
        self._report = report
        self._adopt = adopt
        self._refused = refused
        self._interval_seconds = interval_seconds
        self._retry_seconds = RETRY_SECONDS_FIRST
        self._problem = ""
        self._standing = ""

    async def beat(self) -> float:
        """Report once; the seconds until the next time."""
        try:
            answer = await self._client.heartbeat(self._report())
            await self._adopt(answer.cluster_id)
        except (ForeignClusterError, DuplicateNodeError) as refusal:
            self._refused(refusal.message)
            return self._interval_seconds
        except StoreError as error:
            return self._missed(error.message)
        return self._heard(answer)

    def _missed(self, problem: str) -> float:
        if problem != self._problem:
            log.warn("no verdict from the api, trying on: {problem}", problem=problem)
        self._problem = problem
        delay_seconds = min(self._retry_seconds, self._interval_seconds)
        self._retry_seconds = 2 * delay_seconds
        return delay_seconds

    def _heard(self, answer: HeartbeatAnswer) -> float:
        standing = f"{answer.membership}: {answer.reason}" if answer.reason else answer.membership
        if self._problem or standing != self._standing:
            log.info(
                "cluster {cluster_id} says this node is {standing}",
                cluster_id=answer.cluster_id,
                standing=standing,
            )
        self._standing, self._problem = standing, ""
        self._retry_seconds = RETRY_SECONDS_FIRST
        return min(self._interval_seconds, answer.interval_seconds)
