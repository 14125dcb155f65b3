"""A range of one chunk on its way from one node, verified."""

from collections import deque

from twisted_store.core.frames import FrameDecoder, VerifiedBlocks
from twisted_store.errors import NodeFailedError
from twisted_store.node_client.answer_body import AnswerBody


class ChunkSource:
    """
    Gives the verified bytes of a node's answer in order.

    Raises `ChecksumError` or `FormatError` on damage, and what ``body`` raises.
    """

    complete = False

    def __init__(self, body: AnswerBody, decoder: FrameDecoder, skip_bytes: int) -> None:
        self._body = body
        self._decoder = decoder
        self._skip_bytes = skip_bytes
        self._verified: deque[memoryview] = deque()

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
        self._body.close()

    async def _receive(self) -> None:
        try:
            piece = await anext(self._body)
        except StopAsyncIteration:
            raise NodeFailedError(f"Node {self._body.node_id} sent too few bytes.") from None
        for event in self._decoder.feed(piece):
            if isinstance(event, VerifiedBlocks):
                for buffer in event.buffers:
                    self._take(buffer)

    def _take(self, buffer: memoryview) -> None:
        skipped = min(self._skip_bytes, len(buffer))
        self._skip_bytes -= skipped
        if skipped < len(buffer):
            self._verified.append(buffer[skipped:])
