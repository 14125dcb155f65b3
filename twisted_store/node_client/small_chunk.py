"""A chunk so small that it goes whole, with others in a batch."""

from twisted.internet.defer import Deferred

from twisted_store.core.batch import PUT
from twisted_store.core.checksums import BLOCK_BYTES
from twisted_store.core.ids import ChunkId, NodeId
from twisted_store.core.whole_chunk import WholeChunk, encode_whole
from twisted_store.errors import NodeFailedError
from twisted_store.node_client.batch_queue import BatchQueue

SMALL_BYTES_MAX = BLOCK_BYTES
"""Chunks up to this length go in batches."""


class SmallPut:
    """
    Gathers a chunk's bytes; with the manifest it leaves for its node, as a `ChunkPut` does.

    `finish` fails with what the node answered, and with `NodeFailedError`.
    """

    __slots__ = ("_chunk_id", "_parts", "_queue", "_stored", "node_id")

    def __init__(self, chunk_id: ChunkId, node_id: NodeId, queue: BatchQueue) -> None:
        self.node_id = node_id
        self._chunk_id = chunk_id
        self._queue = queue
        self._parts: list[memoryview] = []
        self._stored: Deferred[None] | None = None

    async def write(self, part: memoryview) -> None:
        """Keep ``part``."""
        self._parts.append(part)

    def finish(self, encoded_manifest: bytes) -> "Deferred[None]":
        """Fires when the node has stored the chunk."""
        whole = encode_whole(self._chunk_id, self._parts, encoded_manifest)
        sent = self._queue.add(PUT, whole, size_bytes=len(whole))
        self._stored = sent.addCallback(_nothing)
        return self._stored

    def abort(self) -> None:
        """Take it back; once its batch has left, only nobody waits for it any more."""
        self._parts.clear()
        if self._stored is not None:
            self._stored.cancel()


class SmallSource:
    """Gives the bytes of a whole chunk from ``first`` on, up to, not including, ``end``."""

    __slots__ = ("_left",)

    complete = True

    def __init__(self, chunk: WholeChunk, node_id: NodeId, first: int, end: int) -> None:
        if chunk.chunk_bytes < end:
            raise NodeFailedError(f"Node {node_id} sent too few bytes of chunk {chunk.chunk_id}.")
        # A copy, or a reader that is slow would keep the answer of the whole batch.
        self._left = memoryview(bytes(chunk.blocks[first:end]))

    async def read(self, bytes_max: int) -> list[memoryview]:
        """At least one byte, at most ``bytes_max``, of what comes next."""
        part, self._left = self._left[:bytes_max], self._left[bytes_max:]
        return [part]

    def close(self) -> None:
        """Nothing is under way."""


def _nothing(_: memoryview) -> None:
    """An acknowledgement says no more than that."""
