"""One chunk on its way to one node."""

from collections.abc import Awaitable, Callable, Sequence

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from twisted_store.core.checksums import Buffer
from twisted_store.core.frames import FrameEncoder, manifest_frame
from twisted_store.core.ids import ChunkId, NodeId
from twisted_store.errors import NodeFailedError, StoreError
from twisted_store.node_client.answers import node_failure
from twisted_store.node_client.body import QueuedBody
from twisted_store.node_client.watchdog import Watchdog

QUEUE_BYTES = 512 * 1024
"""What waits for one node before the sender has to wait."""

Exchange = Callable[[QueuedBody], Awaitable[None]]
"""Sends the request with that body and returns when the node has acknowledged the chunk."""


class ChunkPut:
    """
    Takes a chunk's bytes in order, then its manifest, and knows when the node has stored them.

    Fails with `NodeFailedError` when the node does, or when it makes no progress for
    ``stall_seconds`` while bytes or an answer are owed; with `NoSpaceError` when it is full.
    """

    def __init__(
        self,
        chunk_id: ChunkId,
        node_id: NodeId,
        length: int | str,
        exchange: Exchange,
        clock: IReactorTime,
        stall_seconds: float,
    ) -> None:
        self.node_id = node_id
        self.failure: StoreError | None = None
        self._encoder = FrameEncoder(chunk_id)
        self._watchdog = Watchdog(clock, stall_seconds, self._stalled)
        self._waiter: Deferred[None] | None = None
        self._stored = False
        self._body = QueuedBody(length, self._progressed)
        self._exchange = Deferred.fromCoroutine(self._run(exchange))

    async def write(self, part: memoryview) -> None:
        """Send ``part``; waits while the queue is full."""
        for frame in self._encoder.feed(part):
            await self._send(frame)

    async def finish(self, encoded_manifest: bytes) -> None:
        """Send the rest and the manifest; returns when the node has stored the chunk."""
        for frame in self._encoder.end():
            await self._send(frame)
        self._body.send([manifest_frame(encoded_manifest)])
        # Only now: a connection that takes all at once owes nothing until the body has ended.
        self._watchdog.watch()
        self._body.end()
        while not self._stored:
            await self._wait()

    def abort(self) -> None:
        """Break off; the node keeps nothing of a chunk that has no manifest."""
        self._fail(NodeFailedError("The upload was broken off."))
        self._exchange.cancel()

    async def _send(self, frame: Sequence[Buffer]) -> None:
        self._watchdog.watch()
        self._body.send(frame)
        while self._body.queued_bytes > QUEUE_BYTES or self.failure is not None:
            await self._wait()

    async def _wait(self) -> None:
        if self.failure is not None:
            raise self.failure
        self._waiter = Deferred(self._forget_waiter)
        await self._waiter

    async def _run(self, exchange: Exchange) -> None:
        self._watchdog.watch()
        try:
            await exchange(self._body)
            self._stored = True
        except Exception:
            failure = node_failure(self.node_id, Failure())
            if isinstance(failure, StoreError):
                self._fail(failure)
        self._watchdog.rest()
        self._wake()

    def _progressed(self) -> None:
        if self._body.owes:
            self._watchdog.progress()
        else:
            self._watchdog.rest()
        self._wake()

    def _stalled(self) -> None:
        self._fail(NodeFailedError(f"Node {self.node_id} made no progress in time."))
        self._exchange.cancel()

    def _fail(self, failure: StoreError) -> None:
        if self.failure is None and not self._stored:
            self.failure = failure
        self._wake()

    def _forget_waiter(self, _: object) -> None:
        self._waiter = None

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None:
            waiter.callback(None)
