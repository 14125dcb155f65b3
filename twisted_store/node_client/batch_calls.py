"""The queues to each node, and the request that a batch is sent with."""

from collections.abc import Callable
from urllib.parse import urlsplit

from twisted.internet.interfaces import IReactorTime
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent

from twisted_store.core.batch import BATCH_BYTES_MAX, MEDIA_TYPE
from twisted_store.core.durability import DURABILITY_HEADER, Durability
from twisted_store.core.ids import NodeId
from twisted_store.core.peer import INCARNATION_HEADER, NODE_ID_HEADER, SEQUENCE_HEADER, Peer
from twisted_store.node_client.answers import raise_unless, read_body
from twisted_store.node_client.batch_queue import NO_NUMBERS, BatchLimits, BatchQueue, Numbers
from twisted_store.node_client.body import QueuedBody

SINGLE_BATCHES_MAX = 64
"""Batches of a single operation under way at once to one node."""


class BatchCalls:
    """
    Knows the queues of each node: one for what changes chunks, by durability, one for reads.

    So reads do not wait behind a synchronous write. With ``operations_max`` 1 every operation goes
    alone, and many do at once.
    """

    def __init__(
        self,
        agent: IAgent,
        clock: IReactorTime,
        stall_seconds: float,
        headers: dict[str, str],
        operations_max: int,
    ) -> None:
        self._agent = agent
        self._headers = headers
        self._clock = clock
        self._stall_seconds = stall_seconds
        batches = SINGLE_BATCHES_MAX if operations_max == 1 else 1
        self._limits = BatchLimits(operations_max, batches)
        self._queues: dict[tuple[NodeId, Durability | None], tuple[str, BatchQueue]] = {}

    def writes(self, peer: Peer, durability: Durability) -> BatchQueue:
        """Where puts, marks and discards for the node wait."""
        return self._queue(peer, durability)

    def reads(self, peer: Peer) -> BatchQueue:
        """Where gets wait."""
        return self._queue(peer, None)

    def _queue(self, peer: Peer, durability: Durability | None) -> BatchQueue:
        key = (peer.node_id, durability)
        url, queue = self._queues.get(key) or ("", None)
        if queue is None or url != peer.url:
            send = _Send(self._agent, peer, self._fields(peer, durability))
            queue = BatchQueue(peer.node_id, send, self._limits, self._clock, self._stall_seconds)
            self._queues[key] = (peer.url, queue)
        return queue

    def _fields(self, peer: Peer, durability: Durability | None) -> dict[str, str]:
        fields = {**self._headers, NODE_ID_HEADER: peer.node_id, "Content-Type": MEDIA_TYPE}
        if durability is not None:
            fields[DURABILITY_HEADER] = str(durability)
        return fields


class _Send:
    """
    Sends batches to one node.

    By the agent that treq uses, too: half of what a request of treq costs is for what no node does,
    like cookies and redirects, and it is paid for every batch.
    """

    def __init__(self, agent: IAgent, peer: Peer, fields: dict[str, str]) -> None:
        self._agent = agent
        self._node_id = peer.node_id
        self._url = f"{peer.url}/chunks/batch".encode()
        # With the host in them the agent takes them as they are.
        every = {"Host": urlsplit(peer.url).netloc, **fields}
        self._headers = Headers({name: [value] for name, value in every.items()})

    async def __call__(
        self, batch: bytes, numbers: Numbers, progressed: Callable[[], None]
    ) -> bytes:
        """Give the body of the answer."""
        headers = self._headers
        if numbers != NO_NUMBERS:
            headers = headers.copy()
            for name, number in zip((INCARNATION_HEADER, SEQUENCE_HEADER), numbers, strict=True):
                headers.setRawHeaders(name, [str(number)])
        body = QueuedBody(len(batch), progressed)
        body.send([batch])
        body.end()
        response = await self._agent.request(b"POST", self._url, headers, body)
        await raise_unless(response, self._node_id, 200)
        return await read_body(response, BATCH_BYTES_MAX, progressed)
