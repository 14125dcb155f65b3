"""Answers to GET and HEAD of a chunk: its bytes, or a range of them, plain or in frames."""

from dataclasses import dataclass
from typing import Protocol

from twisted.internet.interfaces import IReactorTime

from twisted_store.core.checksums import BLOCK_BYTES, Buffer, block_count
from twisted_store.core.frames import MEDIA_TYPE, blocks_frame_head, manifest_frame
from twisted_store.core.ids import ChunkId
from twisted_store.node.read_ahead import Blocks, ReadAhead
from twisted_store.storage.reader import READ_BLOCKS_MAX, ChunkReader
from twisted_store.storage.store import ChunkStore
from twisted_store.web.ranges import Range, parse_range
from twisted_store.web.request import StreamingRequest
from twisted_store.web.writer import ResponseWriter

PLAIN_MEDIA_TYPE = "application/octet-stream"

_FRAME_OVERHEAD_BYTES = len(blocks_frame_head([], 0))
_CHECKSUM_BYTES = len(blocks_frame_head([0], 0)) - _FRAME_OVERHEAD_BYTES


@dataclass(frozen=True, slots=True)
class ChunkAnswers:
    """Sends chunks as fast as clients take them; one that takes nothing for long is dropped."""

    store: ChunkStore
    clock: IReactorTime
    client_timeout_seconds: float

    async def answer(self, request: StreamingRequest, chunk_id: ChunkId) -> None:
        """Send what the request asks for of the chunk."""
        reader = await self.store.open(chunk_id)
        try:
            await self._answer(request, reader)
        finally:
            reader.close()

    async def _answer(self, request: StreamingRequest, reader: ChunkReader) -> None:
        request.setHeader("Accept-Ranges", "bytes")
        # A range means something for GET only (RFC 9110 section 14.2).
        if request.method == b"HEAD":
            request.setHeader("Content-Type", PLAIN_MEDIA_TYPE)
            request.setHeader("Content-Length", str(reader.chunk_bytes))
            return
        asked = parse_range(request.getHeader("Range"), reader.chunk_bytes)
        form = (_Framed if _wants_frames(request) else _Plain)(reader, asked)
        if asked is not None:
            request.setResponseCode(206)
            request.setHeader("Content-Range", form.part.content_range(reader.chunk_bytes))
        request.setHeader("Content-Type", form.media_type)
        await self._copy(request, reader, form)

    async def _copy(self, request: StreamingRequest, reader: ChunkReader, form: "_Form") -> None:
        if not form.size_bytes:
            request.setHeader("Content-Length", "0")
            return
        end_block = block_count(form.part.last + 1)
        blocks_ahead = ReadAhead(reader, form.part.first // BLOCK_BYTES, end_block)
        try:
            writer = ResponseWriter(
                request, form.size_bytes, self.clock, self.client_timeout_seconds
            )
            while blocks := await blocks_ahead.next():
                await writer.write(form.encode(blocks))
            await writer.write(form.tail())
            writer.finish()
        finally:
            blocks_ahead.close()


class _Form(Protocol):
    """How a ``part`` of a chunk is sent, in ``size_bytes`` bytes."""

    media_type: str
    part: Range
    size_bytes: int

    def encode(self, blocks: Blocks) -> list[Buffer]:
        """What to send for the next blocks."""

    def tail(self) -> list[Buffer]:
        """What to send at the end."""


class _Plain:
    """Just the bytes."""

    media_type = PLAIN_MEDIA_TYPE

    def __init__(self, reader: ChunkReader, asked: Range | None) -> None:
        self.part = asked or Range(0, reader.chunk_bytes - 1)
        self.size_bytes = self.part.size_bytes
        self._skip_bytes = self.part.first % BLOCK_BYTES
        self._left_bytes = self.size_bytes

    def encode(self, blocks: Blocks) -> list[Buffer]:
        content = memoryview(blocks[0])[self._skip_bytes :][: self._left_bytes]
        self._skip_bytes = 0
        self._left_bytes -= len(content)
        return [content]

    def tail(self) -> list[Buffer]:
        return []


class _Framed:
    """Whole blocks with their checksums; a whole chunk ends with its manifest, as it came."""

    media_type = MEDIA_TYPE

    def __init__(self, reader: ChunkReader, asked: Range | None) -> None:
        whole = Range(0, reader.chunk_bytes - 1)
        self.part = whole if asked is None else _widened(asked, reader.chunk_bytes)
        self._tail = [manifest_frame(reader.manifest_bytes)] if asked is None else []
        blocks = block_count(self.part.size_bytes)
        frames = -(-blocks // READ_BLOCKS_MAX)
        heads = frames * _FRAME_OVERHEAD_BYTES + blocks * _CHECKSUM_BYTES
        self.size_bytes = heads + self.part.size_bytes + sum(map(len, self._tail))

    def encode(self, blocks: Blocks) -> list[Buffer]:
        content, checksums = blocks
        return [blocks_frame_head(checksums, len(content)), content]

    def tail(self) -> list[Buffer]:
        return list(self._tail)


def _widened(asked: Range, chunk_bytes: int) -> Range:
    """The range of whole blocks around the one that was asked for."""
    first = asked.first - asked.first % BLOCK_BYTES
    end = block_count(asked.last + 1) * BLOCK_BYTES
    return Range(first, min(end, chunk_bytes) - 1)


def _wants_frames(request: StreamingRequest) -> bool:
    lines = request.requestHeaders.getRawHeaders(b"Accept", [])
    types = [item.partition(b";")[0].strip() for line in lines for item in line.split(b",")]
    return MEDIA_TYPE.encode() in types
