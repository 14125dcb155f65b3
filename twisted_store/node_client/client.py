"""Calls to nodes, of the api and of other nodes."""

from collections.abc import Coroutine, Sequence
from itertools import chain
from typing import Any, TypeVar

from treq.client import HTTPClient
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.web.client import Agent, HTTPConnectionPool
from twisted.web.http_headers import Headers
from twisted.web.iweb import UNKNOWN_LENGTH, IAgentEndpointFactory, IResponse

from twisted_store.core.batch import (
    BATCH_CHUNKS_MAX,
    CONFIRM,
    DEAD,
    DISCARD,
    GET,
    IDS_MAX,
    pack_ids,
    unpack_ids,
)
from twisted_store.core.checksums import BLOCK_BYTES
from twisted_store.core.durability import DURABILITY_HEADER, STRICT, Durability
from twisted_store.core.frames import MEDIA_TYPE, FrameDecoder, framed_bytes
from twisted_store.core.ids import PACKED_BYTES, ChunkId
from twisted_store.core.peer import (
    NODE_ID_HEADER,
    SOURCE_NODE_HEADER,
    SOURCE_URL_HEADER,
    Marks,
    Peer,
)
from twisted_store.core.whole_chunk import decode_whole
from twisted_store.errors import BadRequestError, FormatError, NodeFailedError, NodeSlowError
from twisted_store.node_client.answer_body import AnswerBody
from twisted_store.node_client.answers import node_failure, raise_unless, read_json
from twisted_store.node_client.batch_calls import BatchCalls
from twisted_store.node_client.body import QueuedBody, json_body
from twisted_store.node_client.chunk_copy import ChunkCopy
from twisted_store.node_client.chunk_list import ChunkList
from twisted_store.node_client.chunk_put import ChunkPut, Exchange
from twisted_store.node_client.chunk_source import ChunkSource
from twisted_store.node_client.fanout import all_done
from twisted_store.node_client.small_chunk import SMALL_BYTES_MAX, SmallPut, SmallSource
from twisted_store.node_client.transfers import IncomingChunk, OutgoingChunk
from twisted_store.node_client.watchdog import Watchdog

T = TypeVar("T")

IDLE_CONNECTIONS_PER_NODE = 64
"""Connections to one node kept for the next call."""

IDLE_SECONDS = 30
"""How long they are kept: less than a node keeps its side open."""


class NodeClient:
    """
    Speaks to nodes over kept connections; every call has a deadline on progress.

    ``clock`` is an `IReactorTime`; treq's types ask for more than it uses. At most
    ``batch_chunks_max`` small chunks go in one batch; marks and discards are as durable as
    ``durability`` says.
    """

    def __init__(
        self,
        clock: Any,
        endpoints: IAgentEndpointFactory,
        stall_seconds: float,
        headers: dict[str, str],
        batch_chunks_max: int = BATCH_CHUNKS_MAX,
        durability: Durability = STRICT,
    ) -> None:
        self._clock = clock
        self._durability = durability
        self._stall_seconds = stall_seconds
        self._headers = headers
        self._pool = HTTPConnectionPool(clock, persistent=True)
        self._pool.maxPersistentPerHost = IDLE_CONNECTIONS_PER_NODE
        self._pool.cachedConnectionTimeout = IDLE_SECONDS
        agent = Agent.usingEndpointFactory(clock, endpoints, pool=self._pool)
        self._treq = HTTPClient(agent)
        self._batches = BatchCalls(agent, clock, stall_seconds, headers, batch_chunks_max)

    def put(
        self, peer: Peer, chunk_id: ChunkId, sizes: tuple[int, int] | None, durability: Durability
    ) -> OutgoingChunk:
        """Begin to store a chunk; ``sizes``: bytes of the chunk and of its manifest, if known."""
        if sizes is not None and sizes[0] <= SMALL_BYTES_MAX:
            return SmallPut(chunk_id, peer.node_id, self._batches.writes(peer, durability))
        headers = {DURABILITY_HEADER: str(durability)}
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
            DURABILITY_HEADER: str(durability),
        }
        exchange = self._storing(target, "POST", f"{target.chunk_url(chunk_id)}/copy", headers)
        return ChunkCopy(target.node_id, chunk_bytes, exchange, self._clock, self._stall_seconds)

    def get(
        self,
        peer: Peer,
        chunk_id: ChunkId,
        first: int,
        end: int,
        patience_seconds: float | None = None,
        chunk_bytes: int | None = None,
    ) -> "Deferred[IncomingChunk]":
        """
        The chunk's bytes from ``first`` up to, not including, ``end``; there must be some.

        ``chunk_bytes`` is the chunk's length, if known. Fires when the first bytes are here and
        right. With ``patience_seconds`` a reader waits for so long at most at any time, for
        whatever it waits; without, until the node makes no progress. `NodeSlowError` after that.
        """
        if chunk_bytes is None or chunk_bytes > SMALL_BYTES_MAX:
            return Deferred.fromCoroutine(self._get(peer, chunk_id, first, end, patience_seconds))

        def verified(payload: memoryview) -> IncomingChunk:
            return SmallSource(decode_whole(payload, chunk_id), peer.node_id, first, end)

        answer = self._batches.reads(peer).add(
            GET, chunk_id.packed, ids=1, size_bytes=chunk_bytes, patience_seconds=patience_seconds
        )
        return answer.addCallback(verified)

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
        queue = self._batches.writes(peer, self._durability)
        await queue.add(DISCARD, chunk_id.packed, ids=1, numbers=(incarnation, 0))

    async def mark(self, peer: Peer, marks: Marks) -> frozenset[ChunkId]:
        """
        Tell a node which chunks are confirmed and which are dead; durable when it returns.

        Gives those to be confirmed that the node does not hold safely.
        """
        confirms = self._tell(peer, marks, CONFIRM, marks.confirm)
        deads = self._tell(peer, marks, DEAD, marks.dead)
        missing = await all_done([*confirms, *deads])
        try:
            return frozenset(chain.from_iterable(map(unpack_ids, missing[: len(confirms)])))
        except FormatError as error:
            raise NodeFailedError(f"Node {peer.node_id} answered no chunk ids.") from error

    async def probe(self, peer: Peer) -> dict[str, Any]:
        """What the node says of its health; raises `NodeFailedError` unless it is ready."""
        return await self._call(peer, "GET", f"{peer.url}/health/ready", {}, None)

    async def close(self) -> None:
        """Close the idle connections."""
        await self._pool.closeCachedConnections()

    def _tell(
        self, peer: Peer, marks: Marks, kind: int, chunk_ids: Sequence[ChunkId]
    ) -> Sequence["Deferred[memoryview]"]:
        queue = self._batches.writes(peer, self._durability)
        numbers = (marks.incarnation, marks.sequence)
        told = []
        for start in range(0, len(chunk_ids), IDS_MAX):
            packed = pack_ids(chunk_ids[start : start + IDS_MAX])
            ids = len(packed) // PACKED_BYTES
            told.append(queue.add(kind, packed, ids=ids, size_bytes=len(packed), numbers=numbers))
        return told

    def _storing(self, peer: Peer, method: str, url: str, headers: dict[str, str]) -> Exchange:
        async def exchange(body: QueuedBody) -> None:
            response = await self._request(peer, method, url, headers, body)
            await raise_unless(response, peer.node_id, 201)
            await read_json(response)

        return exchange

    async def _get(
        self, peer: Peer, chunk_id: ChunkId, first: int, end: int, patience_seconds: float | None
    ) -> IncomingChunk:
        first_block = first // BLOCK_BYTES
        headers = {
            "Accept": MEDIA_TYPE,
            "Range": f"bytes={first_block * BLOCK_BYTES}-{end - 1}",
        }
        body = await self._open(peer, chunk_id, headers, 206, patience_seconds)
        source = ChunkSource(body, FrameDecoder(chunk_id, first_block), first % BLOCK_BYTES)
        try:
            await source.ready()
        except BaseException:
            source.close()
            raise
        return source

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
            response = await self._request(peer, method, url, headers, json_body(body))
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
    ) -> "Deferred[IResponse]":
        every = {**self._headers, NODE_ID_HEADER: peer.node_id, **headers}
        fields = Headers({name: [value] for name, value in every.items()})
        call: Any = self._treq.request(
            method,
            url,
            headers=fields,
            data=body,
            unbuffered=True,
            allow_redirects=False,
            reactor=self._clock,
        )
        response: Deferred[IResponse] = call
        return response

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
