"""One chunk, or a range of one, on its way from one node."""

from collections import deque
from typing import Any

from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone

from twisted_store.core.frames import FrameDecoder, VerifiedBlocks
from twisted_store.core.ids import NodeId
from twisted_store.errors import NodeFailedError, NodeSlowError
from twisted_store.node_client.watchdog import Watchdog
from twisted_store.streams import ByteStream

READ_AHEAD_BYTES = 1024 * 1024
"""What is read ahead from one node before it has to wait for the reader."""


class ChunkSource(Protocol):
    """
    Gives the verified bytes of a node's answer in order; the protocol that receives its body.

    Raises `ChecksumError` or `FormatError` on damage, `NodeFailedError` when the node breaks off,
    and `NodeSlowError` when it sends nothing for ``stall_seconds`` while the reader waits, or lets
    the reader wait for ``patience_seconds``, if there is such a bound.
    """

    def __init__(
        self,
        node_id: NodeId,
        decoder: FrameDecoder,
        skip_bytes: int,
        clock: IReactorTime,
        stall_seconds: float,
        patience_seconds: float | None = None,
    ) -> None:
        self.node_id = node_id
        self._decoder = decoder
        self._skip_bytes = skip_bytes
        self._patient = patience_seconds is None
        self._watchdog = Watchdog(clock, patience_seconds or stall_seconds, self._stalled)
        self._verified: deque[memoryview] = deque()
        self._closed = False
        self._stream: ByteStream

    async def ready(self) -> None:
        """Returns when verified bytes are here."""
        while not self._verified:
            await self._receive()

    async def read(self, bytes_max: int) -> list[memoryview]:
        """At least one byte, at most ``bytes_max``, of what comes next."""
        await self.ready()
        parts: list[memoryview] = []
        while self._verified and bytes_max:
            part = self._verified.popleft()
            if len(part) > bytes_max:
                self._verified.appendleft(part[bytes_max:])
                part = part[:bytes_max]
            parts.append(part)
            bytes_max -= len(part)
        return parts

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

    async def _receive(self) -> None:
        self._watchdog.watch()
        try:
            piece = await anext(self._stream)
        except StopAsyncIteration:
            raise NodeFailedError(f"Node {self.node_id} sent too few bytes.") from None
        finally:
            self._watchdog.rest()
        for event in self._decoder.feed(piece):
            if isinstance(event, VerifiedBlocks):
                for buffer in event.buffers:
                    self._take(buffer)

    def _take(self, buffer: memoryview) -> None:
        skipped = min(self._skip_bytes, len(buffer))
        self._skip_bytes -= skipped
        if skipped < len(buffer):
            self._verified.append(buffer[skipped:])

    def _stalled(self) -> None:
        slow = NodeSlowError(f"Node {self.node_id} did not send in time.")
        self._stream.end(Failure(slow))
        self.close()

    def _failure(self, reason: str) -> Failure:
        return Failure(NodeFailedError(f"Node {self.node_id} broke off: {reason}"))
