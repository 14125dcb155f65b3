"""Answers to GET and HEAD of a file."""

from dataclasses import dataclass

from twisted.internet.interfaces import IReactorTime

from twisted_store.api.budget import MemoryBudget
from twisted_store.api.download import Download, Downloads, memory_bytes
from twisted_store.api.file_headers import describing_headers, field_value
from twisted_store.api.gathering import GATHERED_BYTES_MIN
from twisted_store.catalog.entries import Entry
from twisted_store.core.conditions import Conditions
from twisted_store.core.manifest import Manifest
from twisted_store.errors import ChunkNotFoundError, NodeFailedError
from twisted_store.web.conditional import parse_conditions
from twisted_store.web.ranges import Range, parse_range
from twisted_store.web.request import StreamingRequest
from twisted_store.web.writer import ResponseWriter

NOT_MODIFIED_HEADERS = ("ETag", "Last-Modified", "Cache-Control", "Expires")
"""What a 304 says of the file (RFC 9110 section 15.4.5)."""

DEGRADED_HEADER = "X-Degraded"
"""The data chunks that an answer was begun without; the bytes are the same."""


@dataclass(frozen=True, slots=True)
class FileAnswers:
    """Sends files, or the ranges of them that are asked for, as fast as clients take them."""

    downloads: Downloads
    budget: MemoryBudget
    clock: IReactorTime
    client_timeout_seconds: float

    async def answer(self, request: StreamingRequest, name: str) -> None:
        """Send the file of that name, or what the conditions of the request make of it."""
        entry = await self.downloads.current(name)
        while True:
            try:
                return await self._answer_entry(request, entry)
            except ChunkNotFoundError as missing:
                entry = await self._successor(entry, missing)

    async def _successor(self, entry: Entry, missing: ChunkNotFoundError) -> Entry:
        """A chunk is gone: since its row was read the object was overwritten, or moved, or hurt."""
        current = await self.downloads.current(entry.manifest.name)
        if current.sequence == entry.sequence:
            raise NodeFailedError(missing.message) from missing
        return current

    async def _answer_entry(self, request: StreamingRequest, entry: Entry) -> None:
        manifest = entry.manifest
        conditions = parse_conditions(request.requestHeaders)
        headers = describing_headers(manifest)
        if conditions.check_read(manifest.etag, manifest.modified_seconds) == "not_modified":
            headers = {name: headers[name] for name in NOT_MODIFIED_HEADERS if name in headers}
            _set_head(request, 304, headers)
            return
        part = _asked_range(request, conditions, manifest)
        if part is not None:
            headers["Content-Range"] = part.content_range(manifest.size_bytes)
        whole = Range(0, manifest.size_bytes - 1)
        await self._send(request, entry, 200 if part is None else 206, headers, part or whole)

    async def _send(
        self,
        request: StreamingRequest,
        entry: Entry,
        status: int,
        headers: dict[str, str],
        part: Range,
    ) -> None:
        if request.method == b"HEAD" or not part.size_bytes:
            _set_head(request, status, headers | {"Content-Length": str(part.size_bytes)})
            return
        async with self.budget.reserve(memory_bytes(entry.manifest, part.size_bytes)):
            reader = await self.downloads.open(entry, part.first, part.last + 1)
            try:
                _set_head(request, status, headers)
                if reader.degraded:
                    request.setHeader(DEGRADED_HEADER, ", ".join(map(str, reader.degraded)))
                await self._copy(reader, request, part.size_bytes)
            finally:
                reader.close()

    async def _copy(self, reader: Download, request: StreamingRequest, size_bytes: int) -> None:
        writer = ResponseWriter(request, size_bytes, self.clock, self.client_timeout_seconds)
        held, held_bytes = [], 0
        while buffers := await reader.read():
            held += buffers
            held_bytes += sum(map(len, buffers))
            if held_bytes >= GATHERED_BYTES_MIN:
                await writer.write(held)
                held, held_bytes = [], 0
        await writer.write(held)
        writer.finish()


def _asked_range(
    request: StreamingRequest, conditions: Conditions, manifest: Manifest
) -> Range | None:
    # A range means something for GET only (RFC 9110 section 14.2).
    if request.method != b"GET":
        return None
    if not conditions.range_applies(manifest.etag, manifest.modified_seconds):
        return None
    return parse_range(field_value(request.requestHeaders, "Range"), manifest.size_bytes)


def _set_head(request: StreamingRequest, status: int, headers: dict[str, str]) -> None:
    request.setResponseCode(status)
    for name, value in headers.items():
        request.setHeader(name, value)
