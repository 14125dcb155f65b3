"""The chunks of one upload on their way to their nodes."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from twisted_store.api.chunk_upload import ChunkUpload
from twisted_store.cluster.members import Members
from twisted_store.core.durability import Durability
from twisted_store.core.ids import ChunkId, NodeId, ObjectId, Placement
from twisted_store.errors import StoreError
from twisted_store.node_client.chunk_put import ChunkPut
from twisted_store.node_client.client import NodeClient
from twisted_store.node_client.fanout import all_of

log = Logger()


class ChunkSizes(NamedTuple):
    """What is known of a chunk before its first byte."""

    chunk_bytes: int
    manifest_bytes: int


@dataclass(frozen=True, slots=True)
class Transfers:
    """What every transfer needs."""

    members: Members
    client: NodeClient
    durability: Durability

    def begin(self, object_id: ObjectId, sizes: Sequence[ChunkSizes] | None) -> "Transfer":
        """
        Choose nodes and call them; raises `TooFewNodesError`.

        ``sizes`` are those of each chunk, None while the length is unknown.
        """
        return Transfer(self, object_id, sizes)


class Transfer:
    """
    Sends parts of chunks to as many nodes at once.

    Chunks count as assigned to their nodes until `end`.
    """

    def __init__(
        self, shared: Transfers, object_id: ObjectId, sizes: Sequence[ChunkSizes] | None
    ) -> None:
        self._shared = shared
        self._object_id = object_id
        self._sizes = sizes
        self._assigned: list[tuple[NodeId, int]] = []
        nodes = shared.members.place(self._chunk_bytes(0)).nodes
        self._tried = set(nodes)
        self._chunks = [self._begin(index, node_id) for index, node_id in enumerate(nodes)]

    @property
    def placement(self) -> Placement:
        """Where the chunks are."""
        return tuple(chunk.node_id for chunk in self._chunks)

    async def send(self, parts: Iterable[tuple[int, memoryview]]) -> None:
        """Send ``parts`` on; waits while a node is behind."""
        for index, part in parts:
            await self._chunks[index].write(part)

    async def finish(self, encoded_manifest: bytes) -> None:
        """Returns when all nodes have stored their chunks, as the durability mode says."""
        await all_of(chunk.finish(encoded_manifest) for chunk in self._chunks)

    def discard(self, incarnation: int) -> None:
        """Break off, and remove what was stored already; what cannot be reached is swept later."""
        for index, chunk in enumerate(self._chunks):
            chunk.abort()
            Deferred.fromCoroutine(self._discard(index, chunk.node_id, incarnation))

    def end(self, stored_bytes: Sequence[int]) -> None:
        """Count what is stored now, bytes by chunk; nothing after a failure."""
        for node_id, size_bytes in self._assigned:
            self._shared.members.assign(node_id, -size_bytes)
        for chunk, size_bytes in zip(self._chunks, stored_bytes, strict=False):
            self._shared.members.stored(chunk.node_id, size_bytes)

    def _begin(self, index: int, node_id: NodeId) -> ChunkUpload:
        members = self._shared.members
        sizes = None if self._sizes is None else self._sizes[index]
        chunk_bytes = self._chunk_bytes(index)

        def open_put(node_id: NodeId) -> ChunkPut:
            members.assign(node_id, chunk_bytes)
            self._assigned.append((node_id, chunk_bytes))
            return self._shared.client.put(
                members.peer(node_id),
                ChunkId(self._object_id, index),
                sizes,
                self._shared.durability,
            )

        def replace() -> NodeId:
            chosen = members.replacement(chunk_bytes, self._tried)
            self._tried.add(chosen)
            return chosen

        return ChunkUpload(node_id, open_put, members.failed, replace)

    def _chunk_bytes(self, index: int) -> int:
        return 0 if self._sizes is None else self._sizes[index].chunk_bytes

    async def _discard(self, index: int, node_id: NodeId, incarnation: int) -> None:
        chunk_id = ChunkId(self._object_id, index)
        peer = self._shared.members.peer(node_id)
        try:
            await self._shared.client.discard(peer, chunk_id, incarnation)
        except StoreError as error:
            log.info(
                "chunk {chunk_id} is left to the sweep of node {node_id}: {reason}",
                chunk_id=str(chunk_id),
                node_id=node_id,
                reason=error.message,
            )
