"""Bytes from a push producer as a bounded asynchronous iterator."""

from collections import deque
from collections.abc import Callable
from typing import Any, Protocol, Self

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

READ_BYTES_MAX = 256 * 1024
"""What one call reads from a socket, and what may wait to be sent before a producer has to."""

SEND_BYTES_MAX = 1024 * 1024
"""What one call hands to a socket: any frame or answer that was joined, as a whole."""


def widen(transport: Any) -> None:
    """Let a TCP transport read and send more at a time than Twisted's 64 and 128 KiB."""
    transport.bufferSize = READ_BYTES_MAX
    transport.SEND_LIMIT = SEND_BYTES_MAX


BLOCK_OVERHEAD_BYTES = 128
"""What a queued piece costs besides its bytes, counted so that tiny pieces cannot fill memory."""


class Pausable(Protocol):
    """The two calls of a push producer that backpressure needs."""

    def pauseProducing(self) -> None:
        """Send no more until resumed."""

    def resumeProducing(self) -> None:
        """Send again."""


def _nothing() -> None:
    """The default for a callback."""


class ByteStream:
    """
    A queue of pieces between a producer that pushes and one reader that iterates.

    At ``high_bytes`` the producer is paused, at ``low_bytes`` resumed; what it had under way when
    paused is still taken. A reader that waits is woken once ``low_bytes`` are there, or the end is:
    waking it costs more than most pieces do. ``on_read`` is called whenever the reader asks for a
    piece.
    """

    def __init__(
        self,
        producer: Pausable,
        high_bytes: int,
        low_bytes: int,
        on_read: Callable[[], None] = _nothing,
    ) -> None:
        self._producer = producer
        self._high_bytes = high_bytes
        self._low_bytes = low_bytes
        self._wake_bytes = low_bytes
        self._on_read = on_read
        self.received_bytes = 0
        self._pieces: deque[bytes] = deque()
        self._queued_bytes = 0
        self._paused = False
        self._ended = False
        self._discarding = False
        self._failure: Failure | None = None
        self._waiter: Deferred[None] | None = None

    @property
    def paused(self) -> bool:
        """Whether the producer is paused by this stream."""
        return self._paused

    def wake_at_once(self) -> None:
        """From now on wake the reader for every piece: each means something by itself."""
        self._wake_bytes = 0

    def put(self, piece: bytes) -> None:
        """Take a piece from the producer."""
        self.received_bytes += len(piece)
        if self._discarding:
            return
        self._pieces.append(piece)
        self._queued_bytes += len(piece) + BLOCK_OVERHEAD_BYTES
        if self._queued_bytes >= self._high_bytes and not self._paused:
            self._paused = True
            self._producer.pauseProducing()
        if self._queued_bytes >= self._wake_bytes:
            self._wake()

    def end(self, failure: Failure | None = None) -> None:
        """No piece follows; with ``failure`` the reader gets it after the pieces that came."""
        if not self._ended:
            self._ended, self._failure = True, failure
            self._wake()

    def resume(self) -> None:
        """Let the producer send again; not after the end, when it may serve somebody else."""
        if self._paused and not self._ended:
            self._paused = False
            self._producer.resumeProducing()

    def discard(self) -> None:
        """The reader wants no more: forget what is queued and whatever follows."""
        self._discarding = True
        self._pieces.clear()
        self._queued_bytes = 0
        self.resume()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        self._on_read()
        while not self._pieces:
            if self._failure is not None:
                self._failure.raiseException()
            if self._ended:
                raise StopAsyncIteration
            self._waiter = Deferred(self._forget_waiter)
            await self._waiter
        piece = self._pieces.popleft()
        self._queued_bytes -= len(piece) + BLOCK_OVERHEAD_BYTES
        if self._queued_bytes <= self._low_bytes:
            self.resume()
        return piece

    def _forget_waiter(self, _: object) -> None:
        self._waiter = None

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None:
            waiter.callback(None)
