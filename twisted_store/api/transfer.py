"""The chunks of one upload on their way to their nodes."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from twisted_store.api.chunk_upload import NODE_ERRORS, ChunkUpload
from twisted_store.api.metrics import Metrics
from twisted_store.cluster.members import Members
from twisted_store.core.durability import Durability
from twisted_store.core.encoding import Code, Part
from twisted_store.core.galois import Combine
from twisted_store.core.ids import ChunkId, NodeId, ObjectId, Placement
from twisted_store.core.layout import closed_nodes, holders, placement_of
from twisted_store.core.reasons import Reasons
from twisted_store.core.redundancy import losses_survived, losses_to_survive
from twisted_store.core.scheme import Scheme, SchemeChoice, SchemeRules
from twisted_store.errors import StoreError, TooFewNodesError
from twisted_store.node_client.client import NodeClient
from twisted_store.node_client.fanout import all_done
from twisted_store.node_client.transfers import OutgoingChunk

LEAVES_HOLE = (*NODE_ERRORS, TooFewNodesError)
"""What makes a chunk a hole, if the object can do without it."""

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
    metrics: Metrics
    combine: Combine
    rules: SchemeRules
    durability: Durability

    def choice_for(self, name: str, choice: SchemeChoice | None) -> SchemeChoice:
        """What counts for a new object of that name, whose upload asks for ``choice``."""
        return choice or self.rules.choice(name)

    def scheme_for(self, choice: SchemeChoice) -> Scheme:
        """What the choice comes to with the nodes that there are."""
        return self.members.target(choice)

    def code(self, scheme: Scheme) -> Code:
        """What encodes objects of that scheme."""
        return Code(scheme, self.combine)

    def begin(
        self, object_id: ObjectId, scheme: Scheme, sizes: Sequence[ChunkSizes] | None
    ) -> "Transfer":
        """
        Choose nodes and call them; raises `TooFewNodesError`.

        ``sizes`` are those of each chunk, None while the length is unknown.
        """
        return Transfer(self, object_id, scheme, sizes)


class Transfer:
    """
    Sends parts of chunks to as many nodes at once.

    A chunk whose node fails, and that no other node can take any more, becomes a hole, unless the
    object could then not be acknowledged: what the node raised is raised then. Chunks count as
    assigned to their nodes until `end`.
    """

    def __init__(
        self,
        shared: Transfers,
        object_id: ObjectId,
        scheme: Scheme,
        sizes: Sequence[ChunkSizes] | None,
    ) -> None:
        self._shared = shared
        self._object_id = object_id
        self._scheme = scheme
        self._sizes = sizes
        self._assigned: list[tuple[NodeId, int]] = []
        self._failed: set[NodeId] = set()
        self._changes: list[str] = []
        self._decision = shared.members.place(self._chunk_bytes(0), scheme)
        self._chunks = [
            None if node_id is None else self._begin(index, node_id)
            for index, node_id in enumerate(placement_of(scheme, self._decision.nodes))
        ]

    @property
    def placement(self) -> Placement:
        """Where the chunks are."""
        return tuple(None if chunk is None else chunk.node_id for chunk in self._chunks)

    @property
    def reasons(self) -> Reasons:
        """Why they are there."""
        return self._decision.reasons.changed(self._changes)

    async def send(self, parts: Iterable[Part]) -> None:
        """Send ``parts`` on; waits while a node is behind."""
        for index, part in parts:
            chunk = self._chunks[index]
            if chunk is not None:
                try:
                    await chunk.write(part)
                except LEAVES_HOLE as failure:
                    self._leave_hole(index, failure)

    async def finish(self, encoded_manifest: bytes) -> None:
        """Returns when all nodes have stored their chunks, as the durability mode says."""
        await all_done(
            [
                chunk.finish(encoded_manifest).addErrback(self._not_finished, index)
                for index, chunk in enumerate(self._chunks)
                if chunk is not None
            ]
        )

    def discard(self, incarnation: int) -> None:
        """Break off, and remove what was stored already; what cannot be reached is swept later."""
        for index, chunk in enumerate(self._chunks):
            if chunk is not None:
                chunk.abort()
                Deferred.fromCoroutine(self._discard(index, chunk.node_id, incarnation))

    def end(self, stored_bytes: Sequence[int]) -> None:
        """Count what is stored now, bytes by chunk; nothing after a failure."""
        for node_id, size_bytes in self._assigned:
            self._shared.members.assign(node_id, -size_bytes)
        for holder, size_bytes in zip(self.placement, stored_bytes, strict=False):
            if holder is not None:
                self._shared.members.stored(holder, size_bytes)

    def _begin(self, index: int, node_id: NodeId) -> ChunkUpload:
        members = self._shared.members
        sizes = None if self._sizes is None else self._sizes[index]
        chunk_bytes = self._chunk_bytes(index)

        def open_put(node_id: NodeId) -> OutgoingChunk:
            members.assign(node_id, chunk_bytes)
            self._assigned.append((node_id, chunk_bytes))
            return self._shared.client.put(
                members.peer(node_id),
                ChunkId(self._object_id, index),
                sizes,
                self._shared.durability,
            )

        def report(node_id: NodeId, failure: StoreError) -> None:
            self._failed.add(node_id)
            members.failed(node_id, failure)

        def replace(failure: StoreError) -> NodeId:
            chosen = members.replacement(chunk_bytes, self._closed_to(index))
            self._shared.metrics.chunks_moved.inc()
            self._changes.append(f"Chunk {index} went to node {chosen}. {failure.message}")
            return chosen

        return ChunkUpload(node_id, open_put, report, replace)

    def _closed_to(self, index: int) -> frozenset[NodeId]:
        """The nodes that cannot take that chunk: those that failed, or hold others already."""
        return closed_nodes(self.placement, index) | self._failed

    def _not_finished(self, failure: Failure, index: int) -> None:
        failure.trap(*LEAVES_HOLE)
        assert isinstance(failure.value, StoreError)
        self._leave_hole(index, failure.value)

    def _leave_hole(self, index: int, failure: StoreError) -> None:
        chunk = self._chunks[index]
        assert chunk is not None
        chunk.abort()
        self._chunks[index] = None
        self._changes.append(f"Chunk {index} became a hole. {failure.message}")
        if losses_survived(self._scheme, self.placement) < self._losses_to_survive():
            raise failure
        self._shared.metrics.holes.inc()

    def _losses_to_survive(self) -> int:
        others = self._shared.members.takers(self._chunk_bytes(0)) - self._failed
        return losses_to_survive(self._scheme, len(holders(self.placement) | others))

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
