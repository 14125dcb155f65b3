"""Heartbeats: when they go out, what their answers change, and which answers end the node."""

from collections.abc import Iterator
from random import Random

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent

from twisted_store.cluster.heartbeat import (
    RETRY_SECONDS_FIRST,
    Heartbeat,
    HeartbeatAnswer,
    NodeReport,
)
from twisted_store.cluster.loop import JITTER, Loop
from twisted_store.core.ids import ClusterId, NodeId
from twisted_store.errors import (
    DuplicateNodeError,
    ForeignClusterError,
    StoreError,
    UnauthorizedError,
    UnavailableError,
)

INTERVAL_SECONDS = 2.0
CLUSTER = ClusterId("c" * 16)
UP = HeartbeatAnswer(CLUSTER, 7, "up", "", 5.0)
REPORT = NodeReport(
    node_id=NodeId("a" * 16),
    url="http://127.0.0.1:8101",
    zone="here",
    zone_named=True,
    capacity_bytes=100,
    used_bytes=10,
    free_bytes=90,
    instance="1",
    version="0.1.0",
    wire_format=3,
    chunk_format=1,
    cluster_id=None,
    oldest_disk_call_seconds=0.0,
    last_sync_ok=True,
    quarantined_chunks=0,
)


class Api:
    """Answers with what the test sets and keeps what came."""

    def __init__(self) -> None:
        self.answer: HeartbeatAnswer | StoreError | Deferred[HeartbeatAnswer] = UP
        self.reports: list[NodeReport] = []

    async def heartbeat(self, report: NodeReport) -> HeartbeatAnswer:
        """Answer, raise or wait."""
        self.reports.append(report)
        if isinstance(self.answer, StoreError):
            raise self.answer
        if isinstance(self.answer, Deferred):
            return await self.answer
        return self.answer


class Node:
    """A node whose heartbeat runs on a clock; it belongs to `CLUSTER` once it adopted it."""

    def __init__(self) -> None:
        self.api = Api()
        self.clock = Clock()
        self.adopted: list[ClusterId] = []
        self.refusals: list[str] = []
        heartbeat = Heartbeat(
            self.api, lambda: REPORT, self.adopt, self.refusals.append, INTERVAL_SECONDS
        )
        self.loop = Loop(self.clock, Random(3), heartbeat.beat, INTERVAL_SECONDS)

    async def adopt(self, cluster_id: ClusterId) -> None:
        """Remember it."""
        if cluster_id != CLUSTER:
            raise ForeignClusterError("another cluster")
        self.adopted.append(cluster_id)

    def delay_seconds(self) -> float:
        """Until the next heartbeat."""
        [call] = self.clock.getDelayedCalls()
        return call.getTime() - self.clock.seconds()


@pytest.fixture
def node() -> Iterator[Node]:
    """A node, stopped when the test ends."""
    node = Node()
    yield node
    node.loop.stop()
    assert not node.clock.getDelayedCalls()


def about(seconds: float) -> object:
    """Equal to ``seconds`` up to the jitter."""
    return pytest.approx(seconds, rel=JITTER)


def test_a_node_registers_at_once_and_then_reports_at_its_interval(node: Node) -> None:
    """Registration is the first heartbeat."""
    node.loop.start()
    assert node.api.reports == [REPORT]
    assert node.adopted == [CLUSTER]
    assert node.delay_seconds() == about(INTERVAL_SECONDS)
    for _ in range(10):
        node.clock.advance(node.delay_seconds())
    assert len(node.api.reports) == 11


def test_the_api_may_ask_for_more_frequent_heartbeats(node: Node) -> None:
    """It knows after which silence it suspects a node."""
    node.api.answer = HeartbeatAnswer(CLUSTER, 7, "up", "", 0.5)
    node.loop.start()
    assert node.delay_seconds() == about(0.5)


def test_retries_are_quick_at_first_and_slow_down_to_the_interval(node: Node) -> None:
    """A cluster that is started at once is complete soon; an api that is away is not pestered."""
    node.api.answer = UnavailableError("nobody there")
    node.loop.start()
    delays = []
    for _ in range(7):
        delays.append(node.delay_seconds())
        node.clock.advance(delays[-1])
    assert delays == [about(min(RETRY_SECONDS_FIRST * 2**n, INTERVAL_SECONDS)) for n in range(7)]


def test_after_an_answer_the_next_retry_is_quick_again(node: Node) -> None:
    """Each time that the api goes away it may be back soon."""
    node.api.answer = UnavailableError("nobody there")
    node.loop.start()
    for _ in range(8):
        node.clock.advance(INTERVAL_SECONDS * (1 + JITTER))
    node.api.answer = UP
    node.clock.advance(INTERVAL_SECONDS * (1 + JITTER))
    node.api.answer = UnavailableError("nobody there")
    node.clock.advance(INTERVAL_SECONDS * (1 + JITTER))
    assert node.delay_seconds() == about(RETRY_SECONDS_FIRST)


@pytest.mark.parametrize(
    "refusal", [ForeignClusterError("not yours"), DuplicateNodeError("another process")]
)
def test_a_node_that_must_not_run_is_told_why(node: Node, refusal: StoreError) -> None:
    """The two answers that no retry mends."""
    node.api.answer = refusal
    node.loop.start()
    assert node.refusals == [refusal.message]
    assert not node.adopted


def test_an_api_of_another_cluster_is_not_followed(node: Node) -> None:
    """Even if that api would take the node."""
    node.api.answer = HeartbeatAnswer(ClusterId("d" * 16), 7, "up", "", 5.0)
    node.loop.start()
    assert node.refusals == ["another cluster"]


def test_a_wrong_secret_is_told_and_tried_on(node: Node) -> None:
    """The api may be the one whose secret is put right."""
    node.api.answer = UnauthorizedError("wrong secret")
    with capturedLogs() as events:
        node.loop.start()
        for _ in range(20):
            node.clock.advance(INTERVAL_SECONDS * (1 + JITTER))
    assert not node.refusals
    assert [formatEvent(event) for event in events] == [
        "no verdict from the api, trying on: wrong secret"
    ]


def test_changes_of_the_verdict_are_logged_once(node: Node) -> None:
    """Joined, suspected, trusted again: each with its reason."""
    with capturedLogs() as events:
        node.loop.start()
        for answer in (
            UP,
            HeartbeatAnswer(CLUSTER, 7, "suspect", "no heartbeat for 20 s", 5.0),
            HeartbeatAnswer(CLUSTER, 7, "suspect", "no heartbeat for 20 s", 5.0),
            UP,
            UnavailableError("nobody there"),
            UP,
        ):
            node.api.answer = answer
            node.clock.advance(INTERVAL_SECONDS * (1 + JITTER))
    joined = f"cluster {CLUSTER} says this node is up"
    assert [formatEvent(event) for event in events] == [
        joined,
        f"cluster {CLUSTER} says this node is suspect: no heartbeat for 20 s",
        joined,
        "no verdict from the api, trying on: nobody there",
        joined,
    ]


def test_stop_gives_up_a_heartbeat_under_way(node: Node) -> None:
    """A stopping node does not wait for an api that may never answer."""
    node.api.answer = Deferred()
    node.loop.start()
    assert node.loop.stop().called
    assert node.api.answer.called
