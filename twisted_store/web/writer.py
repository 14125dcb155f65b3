"""The body of an answer, sent no faster than the client takes it."""

# mypy: allow-untyped-calls

from collections.abc import Iterable
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer, IReactorTime
from twisted.python.failure import Failure
from zope.interface import implementer

from twisted_store.errors import CorruptionError, SlowClientError

if TYPE_CHECKING:
    from twisted_store.web.request import StreamingRequest


@implementer(IPushProducer)
class ResponseWriter:
    """
    Sends exactly ``size_bytes`` as the body of an answer whose status and headers are set.

    What one `write` was given and what the socket holds is under way at most. A client that takes
    nothing for ``timeout_seconds`` is dropped.
    """

    def __init__(
        self,
        request: "StreamingRequest",
        size_bytes: int,
        clock: IReactorTime,
        timeout_seconds: float,
    ) -> None:
        assert not request.startedWriting
        request.setHeader("Content-Length", str(size_bytes))
        request.writer = self
        self._request = request
        self._size_bytes = size_bytes
        self._clock = clock
        self._timeout_seconds = timeout_seconds
        self._written_bytes = 0
        self._paused = False
        self._failure: Failure | None = None
        self._waiter: Deferred[None] | None = None

    async def write(self, buffers: Iterable[bytes | bytearray | memoryview]) -> None:
        """
        Send these bytes together, once the client's socket has room.

        Raises SlowClientError, or what ended the connection if the client is gone.
        """
        await self._room()
        # Joined here, Twisted's transport sends the run as it is instead of joining it again.
        run = b"".join(buffers)
        if not run:
            return
        if self._written_bytes == 0:
            self._request.registerProducer(self, True)
        self._written_bytes += len(run)
        if self._written_bytes > self._size_bytes:
            raise CorruptionError(f"The answer has more than its {self._size_bytes} bytes.")
        self._request.write(run)

    def finish(self) -> None:
        """End the answer; raises CorruptionError if bytes are missing."""
        if self._written_bytes < self._size_bytes:
            raise CorruptionError(
                f"The answer ended after {self._written_bytes} of {self._size_bytes} bytes."
            )
        if self._failure is None:
            self._request.unregisterProducer()
            self._request.finish()

    def client_gone(self, reason: Failure) -> None:
        """Called by the request when its connection is lost."""
        self._failure = self._failure or reason
        self._wake()

    # IPushProducer, called by the transport.

    def pauseProducing(self) -> None:
        """The socket is full."""
        self._paused = True

    def resumeProducing(self) -> None:
        """The socket is empty again."""
        self._paused = False
        self._wake()

    def stopProducing(self) -> None:
        """The request tells when the client is gone."""

    async def _room(self) -> None:
        if self._paused and self._failure is None:
            self._waiter = Deferred()
            stall = self._clock.callLater(self._timeout_seconds, self._drop)
            try:
                await self._waiter
            finally:
                self._waiter = None
                if stall.active():
                    stall.cancel()
        if self._failure is not None:
            self._failure.raiseException()

    def _drop(self) -> None:
        self._failure = Failure(SlowClientError("The client does not take the answer."))
        self._request.abort()
        self._wake()

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None:
            waiter.callback(None)
