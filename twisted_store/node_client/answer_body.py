"""The body of a node's answer, read no faster than its reader asks."""

from typing import Any, Self

from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone

from twisted_store.core.ids import NodeId
from twisted_store.errors import NodeFailedError, NodeSlowError
from twisted_store.node_client.watchdog import Watchdog
from twisted_store.streams import ByteStream

READ_AHEAD_BYTES = 1024 * 1024
"""What is read ahead from one node before it has to wait for the reader."""


class AnswerBody(Protocol):
    """
    Iterates over the pieces of a node's answer as they come; the protocol that receives it.

    Raises `NodeFailedError` when the node breaks off, and `NodeSlowError` when it sends nothing for
    ``stall_seconds`` while the reader waits, or lets the reader wait for ``patience_seconds``, if
    there is such a bound.
    """

    def __init__(
        self,
        node_id: NodeId,
        clock: IReactorTime,
        stall_seconds: float,
        patience_seconds: float | None = None,
    ) -> None:
        self.node_id = node_id
        self._patient = patience_seconds is None
        self._watchdog = Watchdog(clock, patience_seconds or stall_seconds, self._stalled)
        self._closed = False
        self._stream: ByteStream

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        self._watchdog.watch()
        try:
            return await anext(self._stream)
        finally:
            self._watchdog.rest()

    def close(self) -> None:
        """Hang up unless the answer was read to its end."""
        self._watchdog.rest()
        if not self._closed:
            self._closed = True
            self._stream.discard()
            transport: Any = self.transport
            transport.loseConnection()

    def connectionMade(self) -> None:
        """The headers are in; the body follows."""
        transport: Any = self.transport
        self._stream = ByteStream(transport, READ_AHEAD_BYTES, READ_AHEAD_BYTES // 2)

    def dataReceived(self, data: bytes) -> None:
        """Queue a piece of the body."""
        if self._patient:
            self._watchdog.progress()
        self._stream.put(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The body ended, as it should or not."""
        self._closed = True
        whole = reason.check(ResponseDone) is not None
        self._stream.end(None if whole else self._failure(reason.getErrorMessage()))

    def _stalled(self) -> None:
        slow = NodeSlowError(f"Node {self.node_id} did not send in time.")
        self._stream.end(Failure(slow))
        self.close()

    def _failure(self, reason: str) -> Failure:
        return Failure(NodeFailedError(f"Node {self.node_id} broke off: {reason}"))
