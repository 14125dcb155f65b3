"""One chunk that one node copies from another, as fast as its caller lets it."""

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure
from twisted.web.iweb import UNKNOWN_LENGTH

from twisted_store.core.ids import NodeId
from twisted_store.errors import NodeSlowError
from twisted_store.node_client.answers import node_failure
from twisted_store.node_client.body import QueuedBody
from twisted_store.node_client.chunk_put import Exchange
from twisted_store.node_client.watchdog import Watchdog

COPY_BYTES_PER_SECOND_MIN = 1024 * 1024
"""A node is given the time to copy what it was granted at this pace before it counts as stalled."""


class ChunkCopy:
    """
    Grants bytes of a chunk to the node that copies it, and knows when the node has stored it.

    What goes on between the two nodes is not seen here. So the node may take its time until all is
    granted; then it has ``stall_seconds``, and what all grants together take at
    `COPY_BYTES_PER_SECOND_MIN`, less what has passed of that since each was given.

    Call `finished` once or `abort`, or a failure is logged as one that nobody took.
    """

    def __init__(
        self,
        node_id: NodeId,
        chunk_bytes: int,
        exchange: Exchange,
        clock: IReactorTime,
        stall_seconds: float,
    ) -> None:
        self.node_id = node_id
        self._left_bytes = chunk_bytes
        self._clock = clock
        self._stall_seconds = stall_seconds
        self._due_seconds = 0.0
        self._watchdog: Watchdog | None = None
        self._body = QueuedBody(UNKNOWN_LENGTH)
        self._exchange = Deferred.fromCoroutine(self._run(exchange))
        self.grant(0)

    @property
    def ended(self) -> bool:
        """Whether the node has answered, so that further grants would be in vain."""
        return self._exchange.called

    def grant(self, size_bytes: int) -> None:
        """Let the node copy so many bytes more, at most what is left; after the end nothing."""
        if self._exchange.called:
            return
        granted_bytes = min(size_bytes, self._left_bytes)
        self._left_bytes -= granted_bytes
        allowed_seconds = granted_bytes / COPY_BYTES_PER_SECOND_MIN
        self._due_seconds = max(self._due_seconds, self._clock.seconds()) + allowed_seconds
        if granted_bytes:
            self._body.send([b"%d\n" % granted_bytes])
        if not self._left_bytes and not self._body.ended:
            self._watch()
            self._body.end()

    async def finished(self) -> None:
        """
        Returns when the node has stored the chunk; who cancels this breaks the copy off.

        Raises what the node answered: `NoSpaceError`, `ConflictError`, `ChunkNotFoundError` or a
        `CorruptionError` of the source's chunk; `NodeFailedError` when either node failed, and
        `NodeSlowError` when this one did not answer in time.
        """
        await self._exchange

    def abort(self) -> None:
        """Break off; the node keeps nothing of a chunk that is not whole."""
        self._exchange.addErrback(lambda _: None)
        self._exchange.cancel()

    async def _run(self, exchange: Exchange) -> None:
        try:
            await exchange(self._body)
        except Exception:
            if self._watchdog is not None and self._watchdog.stalled:
                raise NodeSlowError(f"Node {self.node_id} did not copy in time.") from None
            raise node_failure(self.node_id, Failure()) from None
        finally:
            if self._watchdog is not None:
                self._watchdog.rest()

    def _watch(self) -> None:
        seconds = self._stall_seconds + self._due_seconds - self._clock.seconds()
        self._watchdog = Watchdog(self._clock, seconds, self._exchange.cancel)
        self._watchdog.watch()
