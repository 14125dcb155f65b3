"""Clients on thin lines: slow is not stalled, neither here nor on the way to the nodes."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol
from twisted.web.http_headers import Headers

from tests.simulation.calls import Calls, content_of
from twisted_store.node_client.body import QueuedBody
from twisted_store.simulation.cluster import SimulatedCluster

CONTENT = content_of(11 * 2**20)
"""Two stripes and a part of a third."""

PIECE_BYTES = 128 * 1024
PIECE_SECONDS = 3.0


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[SimulatedCluster]:
    """Six nodes."""
    with SimulatedCluster(tmp_path, seed=2, nodes=6) as running:
        yield running


def test_an_upload_may_take_minutes(cluster: SimulatedCluster) -> None:
    """While a node's turn is far away its connection is idle for longer than any timeout."""
    calls = Calls(cluster)
    body = QueuedBody(len(CONTENT))
    upload = calls.begin("PUT", "/files/a", body=body)
    for start in range(0, len(CONTENT), PIECE_BYTES):
        body.send([CONTENT[start : start + PIECE_BYTES]])
        cluster.clock.run_for(PIECE_SECONDS)
    body.end()
    assert calls.wait(upload).status == 201
    assert calls.get("a").body == CONTENT


class SlowReader(Protocol):
    """Takes a piece, rests, takes the next."""

    def __init__(self, clock: Any) -> None:
        self.received = bytearray()
        self.ended: Deferred[None] = Deferred()
        self._clock = clock
        self._rested_bytes = 0

    def dataReceived(self, data: bytes) -> None:
        """Rest after each piece."""
        self.received += data
        if len(self.received) - self._rested_bytes >= PIECE_BYTES:
            self._rested_bytes = len(self.received)
            transport: Any = self.transport
            transport.pauseProducing()
            self._clock.callLater(PIECE_SECONDS, transport.resumeProducing)

    def connectionLost(self, reason: Any = None) -> None:
        """The body has ended."""
        self.ended.callback(None)


def test_a_download_may_take_minutes(cluster: SimulatedCluster) -> None:
    """Nodes wait for a slow reader as long as the api does."""
    Calls(cluster).put("a", CONTENT)
    reader = SlowReader(cluster.clock)

    clock: Any = cluster.clock

    async def read() -> None:
        response = await cluster.client.request(
            "GET",
            f"{cluster.url}/files/a",
            headers=Headers(),
            reactor=clock,
            unbuffered=True,
        )
        response.deliverBody(reader)
        await reader.ended

    cluster.run(Deferred.fromCoroutine(read()), limit_seconds=1000)
    assert bytes(reader.received) == CONTENT
