"""Calls to nodes, of the api and of other nodes."""

import json
from collections.abc import Coroutine
from typing import Any, TypeVar

from treq.client import HTTPClient
from treq.response import _Response as Response
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.web.client import Agent, HTTPConnectionPool
from twisted.web.http_headers import Headers
from twisted.web.iweb import UNKNOWN_LENGTH, IAgentEndpointFactory

from twisted_store.core.checksums import BLOCK_BYTES
from twisted_store.core.durability import Durability
from twisted_store.core.frames import MEDIA_TYPE, FrameDecoder, framed_bytes
from twisted_store.core.ids import ChunkId
from twisted_store.core.peer import (
    NODE_ID_HEADER,
    SOURCE_NODE_HEADER,
    SOURCE_URL_HEADER,
    Marks,
    Peer,
)
from twisted_store.errors import BadRequestError, NodeFailedError, NodeSlowError
from twisted_store.node_client.answer_body import AnswerBody
from twisted_store.node_client.answers import node_failure, raise_unless, read_json
from twisted_store.node_client.body import QueuedBody
from twisted_store.node_client.chunk_copy import ChunkCopy
from twisted_store.node_client.chunk_list import ChunkList
from twisted_store.node_client.chunk_put import ChunkPut, Exchange
from twisted_store.node_client.chunk_source import ChunkSource
from twisted_store.node_client.watchdog import Watchdog

T = TypeVar("T")

IDLE_CONNECTIONS_PER_NODE = 64
"""Connections to one node kept for the next call."""

IDLE_SECONDS = 30
"""How long they are kept: less than a node keeps its side open."""


class NodeClient:
    """
    Speaks to nodes over kept connections; every call has a deadline on progress.

    ``clock`` is an `IReactorTime`; treq's types ask for more than it uses.
    """

    def __init__(
        self,
        clock: Any,
        endpoints: IAgentEndpointFactory,
        stall_seconds: float,
        headers: dict[str, str],
    ) -> None:
        self._clock = clock
        self._stall_seconds = stall_seconds
        self._headers = headers
        self._pool = HTTPConnectionPool(clock, persistent=True)
        self._pool.maxPersistentPerHost = IDLE_CONNECTIONS_PER_NODE
        self._pool.cachedConnectionTimeout = IDLE_SECONDS
        self._treq = HTTPClient(Agent.usingEndpointFactory(clock, endpoints, pool=self._pool))

    def put(
        self, peer: Peer, chunk_id: ChunkId, sizes: tuple[int, int] | None, durability: Durability
    ) -> ChunkPut:
        """Begin to store a chunk; ``sizes``: bytes of the chunk and of its manifest, if known."""
        headers = {"X-Durability": str(durability)}
        if sizes is not None:
            headers["X-Chunk-Bytes"] = str(sizes[0])
        exchange = self._storing(peer, "PUT", peer.chunk_url(chunk_id), headers)
        length = UNKNOWN_LENGTH if sizes is None else framed_bytes(*sizes)
        return ChunkPut(chunk_id, peer.node_id, length, exchange, self._clock, self._stall_seconds)

    def copy(
        self,
        target: Peer,
        chunk_id: ChunkId,
        source: Peer,
        chunk_bytes: int,
        durability: Durability,
    ) -> ChunkCopy:
        """Begin to let ``target`` copy a chunk from ``source``; nothing of it before a grant."""
        headers = {
            SOURCE_NODE_HEADER: source.node_id,
            SOURCE_URL_HEADER: source.url,
            "X-Chunk-Bytes": str(chunk_bytes),
            "X-Durability": str(durability),
        }
        exchange = self._storing(target, "POST", f"{target.chunk_url(chunk_id)}/copy", headers)
        return ChunkCopy(target.node_id, chunk_bytes, exchange, self._clock, self._stall_seconds)

    async def get(
        self,
        peer: Peer,
        chunk_id: ChunkId,
        first: int,
        end: int,
        patience_seconds: float | None = None,
    ) -> ChunkSource:
        """
        The chunk's bytes from ``first`` up to, not including, ``end``; there must be some.

        With ``patience_seconds`` a reader waits for so long at most at any time, for whatever it
        waits; without, until the node makes no progress. Raises `NodeSlowError` after that.
        """
        first_block = first // BLOCK_BYTES
        headers = {
            "Accept": MEDIA_TYPE,
            "Range": f"bytes={first_block * BLOCK_BYTES}-{end - 1}",
        }
        body = await self._open(peer, chunk_id, headers, 206, patience_seconds)
        return ChunkSource(body, FrameDecoder(chunk_id, first_block), first % BLOCK_BYTES)

    async def fetch(self, peer: Peer, chunk_id: ChunkId) -> AnswerBody:
        """The whole chunk in frames as they come, unverified, its manifest last."""
        return await self._open(peer, chunk_id, {"Accept": MEDIA_TYPE}, 200)

    async def holds(self, peer: Peer, chunk_id: ChunkId) -> bool:
        """Whether the node has the chunk, in any state; its bytes are not read."""

        async def exchange() -> bool:
            response = await self._request(peer, "HEAD", peer.chunk_url(chunk_id), {})
            await raise_unless(response, peer.node_id, 200, 404)
            return bool(response.code == 200)

        return await self._in_time(peer, exchange())

    async def list(self, peer: Peer, after: ChunkId | None, limit: int) -> ChunkList:
        """A page of at most ``limit`` chunks behind ``after``, in the node's own order."""
        start = "" if after is None else f"&after={after}"
        answer = await self._call(peer, "GET", f"{peer.url}/chunks?limit={limit}{start}", {}, None)
        try:
            return ChunkList.parse(answer)
        except (KeyError, TypeError, BadRequestError) as error:
            raise NodeFailedError(
                f"Node {peer.node_id} lists its chunks in a form that is not known here."
            ) from error

    async def discard(self, peer: Peer, chunk_id: ChunkId, incarnation: int) -> None:
        """Remove a chunk whose upload failed."""
        headers = {"X-Incarnation": str(incarnation)}
        await self._call(peer, "DELETE", peer.chunk_url(chunk_id), headers, None)

    async def mark(self, peer: Peer, marks: Marks) -> frozenset[ChunkId]:
        """
        Tell a node which chunks are confirmed and which are dead; durable when it returns.

        Gives those to be confirmed that the node does not hold safely.
        """
        body = {
            "incarnation": marks.incarnation,
            "sequence": marks.sequence,
            "confirm": [str(chunk_id) for chunk_id in marks.confirm],
            "dead": [str(chunk_id) for chunk_id in marks.dead],
        }
        answer = await self._call(peer, "POST", f"{peer.url}/chunks/marks", {}, body)
        try:
            return frozenset(ChunkId.parse(text) for text in answer["missing"]["confirm"])
        except (KeyError, TypeError, BadRequestError) as error:
            raise NodeFailedError(f"Node {peer.node_id} answered marks with {answer}.") from error

    async def probe(self, peer: Peer) -> dict[str, Any]:
        """What the node says of its health; raises `NodeFailedError` unless it is ready."""
        return await self._call(peer, "GET", f"{peer.url}/health/ready", {}, None)

    async def close(self) -> None:
        """Close the idle connections."""
        await self._pool.closeCachedConnections()

    def _storing(self, peer: Peer, method: str, url: str, headers: dict[str, str]) -> Exchange:
        async def exchange(body: QueuedBody) -> None:
            response = await self._request(peer, method, url, headers, body)
            await raise_unless(response, peer.node_id, 201)
            await read_json(response)

        return exchange

    async def _open(
        self,
        peer: Peer,
        chunk_id: ChunkId,
        headers: dict[str, str],
        status: int,
        patience_seconds: float | None = None,
    ) -> AnswerBody:
        body = AnswerBody(peer.node_id, self._clock, self._stall_seconds, patience_seconds)

        async def exchange() -> None:
            response = await self._request(peer, "GET", peer.chunk_url(chunk_id), headers)
            await raise_unless(response, peer.node_id, status)
            response.deliverBody(body)

        await self._in_time(peer, exchange(), patience_seconds)
        return body

    async def _call(
        self, peer: Peer, method: str, url: str, headers: dict[str, str], body: object
    ) -> dict[str, Any]:
        async def exchange() -> dict[str, Any]:
            response = await self._request(peer, method, url, headers, _json_body(body))
            await raise_unless(response, peer.node_id, 200, 204)
            return await read_json(response) if response.code == 200 else {}

        return await self._in_time(peer, exchange())

    def _request(
        self,
        peer: Peer,
        method: str,
        url: str,
        headers: dict[str, str],
        body: QueuedBody | None = None,
    ) -> "Deferred[Response]":
        every = {**self._headers, NODE_ID_HEADER: peer.node_id, **headers}
        fields = Headers({name: [value] for name, value in every.items()})
        return self._treq.request(
            method,
            url,
            headers=fields,
            data=body,
            unbuffered=True,
            allow_redirects=False,
            reactor=self._clock,
        )

    async def _in_time(
        self, peer: Peer, exchange: Coroutine[Any, Any, T], seconds: float | None = None
    ) -> T:
        running = Deferred.fromCoroutine(exchange)
        watchdog = Watchdog(self._clock, seconds or self._stall_seconds, running.cancel)
        watchdog.watch()
        try:
            return await running
        except Exception:
            if watchdog.stalled:
                raise NodeSlowError(f"Node {peer.node_id} did not answer in time.") from None
            raise node_failure(peer.node_id, Failure()) from None
        finally:
            watchdog.rest()


def _json_body(value: object) -> QueuedBody | None:
    """A body of treq's own making would be driven by the global reactor."""
    if value is None:
        return None
    content = json.dumps(value).encode()
    body = QueuedBody(len(content))
    body.send([content])
    body.end()
    return body
