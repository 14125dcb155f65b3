"""A request body that is fed piece by piece, with a bounded queue."""

import json
from collections import deque
from collections.abc import Callable, Iterable

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IConsumer
from twisted.web.iweb import IBodyProducer
from zope.interface import implementer

from twisted_store.core.checksums import Buffer


def _nothing() -> None:
    """The default for a callback."""


@implementer(IBodyProducer)
class QueuedBody:
    """
    Sends what it is given, in order, as fast as the connection takes it.

    ``length`` in bytes, or `UNKNOWN_LENGTH`. ``on_progress`` is called whenever the connection took
    some of what was queued or all of it, and when it stops taking anything.
    """

    def __init__(self, length: int | str, on_progress: Callable[[], None] = _nothing) -> None:
        self.length = length
        self.queued_bytes = 0
        self.ended = False
        self._on_progress = on_progress
        self._queue: deque[bytes] = deque()
        self._consumer: IConsumer | None = None
        self._paused = False
        self._stopped = False
        self._finished: Deferred[None] = Deferred()

    @property
    def owes(self) -> bool:
        """Whether the peer has not taken, or not answered, all that it was given."""
        return self.ended or self.queued_bytes > 0

    def send(self, buffers: Iterable[Buffer]) -> None:
        """Queue ``buffers`` as one piece; dropped when the connection is gone."""
        if self._stopped:
            return
        # Joined here, Twisted's transport sends the piece as it is instead of joining it again.
        piece = b"".join(buffers)
        self._queue.append(piece)
        self.queued_bytes += len(piece)
        self._flush()

    def end(self) -> None:
        """Nothing follows."""
        self.ended = True
        self._flush()

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        """The connection is there."""
        self._consumer = consumer
        self._flush()
        return self._finished

    def pauseProducing(self) -> None:
        """The connection is full."""
        self._paused = True

    def resumeProducing(self) -> None:
        """The connection has room."""
        self._paused = False
        self._flush()

    def stopProducing(self) -> None:
        """The connection is gone, or the answer came early: nothing more is wanted."""
        self._stopped = True
        self._queue.clear()
        self.queued_bytes = 0
        self._on_progress()

    def _flush(self) -> None:
        consumer = self._consumer
        if consumer is None or self._stopped:
            return
        if self._queue and self._paused:
            return
        while self._queue and not self._paused:
            piece = self._queue.popleft()
            self.queued_bytes -= len(piece)
            consumer.write(piece)
        if self.ended and not self._queue and not self._finished.called:
            self._finished.callback(None)
        self._on_progress()


def json_body(value: object) -> QueuedBody | None:
    """A body of treq's own making would be driven by the global reactor."""
    if value is None:
        return None
    content = json.dumps(value).encode()
    body = QueuedBody(len(content))
    body.send([content])
    body.end()
    return body
