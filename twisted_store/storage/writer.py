"""Writes one chunk: bytes gathered and written in few calls, footer, sync, then published."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from twisted_store.core.checksums import BLOCK_BYTES, Buffer, block_count
from twisted_store.core.chunk_file import encode_footer, encode_header, pack_checksums
from twisted_store.core.ids import ChunkId
from twisted_store.core.whole_chunk import WholeChunk, decode_whole
from twisted_store.errors import FormatError
from twisted_store.storage.calls import DiskCalls, uninterrupted
from twisted_store.storage.disk import DiskFile
from twisted_store.storage.draft import Draft
from twisted_store.storage.space import Allowance

WRITE_BYTES_MIN = 1024 * 1024
"""So much is gathered before a thread is asked to write; smaller chunks take one call in all."""

GATHERED_BYTES_MAX = 1536 * 1024
"""Beyond this, `ChunkWriter.append` waits for the write under way."""


@dataclass(frozen=True, slots=True)
class StoredChunk:
    """A chunk that is written: its bytes, and those of its file."""

    chunk_id: ChunkId
    chunk_bytes: int
    file_bytes: int


@dataclass(frozen=True, slots=True)
class SmallChunks:
    """Where chunks go of which all is in memory, and that have fewer than ``chunk_bytes_max``."""

    chunk_bytes_max: int
    put: Callable[[WholeChunk], Awaitable[None]]


class ChunkWriter:
    """
    Takes the blocks of one chunk in order, then its manifest.

    One task uses it: calls of `append` one at a time, then `finish` or `abort`. What fails leaves
    no file; a failed write is raised by the next call. It holds at most twice `GATHERED_BYTES_MAX`,
    and what one `append` brings.
    """

    def __init__(
        self,
        chunk_id: ChunkId,
        draft: Draft,
        calls: DiskCalls,
        allowance: Allowance,
        *,
        sync: Callable[[DiskFile], None] | None,
        publish: Callable[[StoredChunk], Awaitable[None]],
        small: SmallChunks,
        closed: Callable[[], None],
    ) -> None:
        self._chunk_id = chunk_id
        self._draft = draft
        self._calls = calls
        self._allowance = allowance
        self._sync = sync
        self._publish = publish
        self._small = small
        self._on_closed = closed
        self._chunk_bytes = 0
        self._checksums = bytearray()
        self._gathered: list[Buffer] = []
        self._gathered_bytes = 0
        self._writing = False
        self._waiter: Deferred[None] | None = None
        self._failure: Failure | None = None
        self._ending = False
        self._ended: Deferred[None] = Deferred()

    async def append(self, buffers: Sequence[Buffer], checksums: Sequence[int]) -> None:
        """Take whole blocks, verified, with the checksum of each; only the last may be short."""
        self._raise_failure()
        added_bytes = sum(map(len, buffers))
        if self._chunk_bytes % BLOCK_BYTES or len(checksums) != block_count(added_bytes):
            raise FormatError(f"Chunk {self._chunk_id} came in other pieces than whole blocks.")
        self._allowance.cover(self._chunk_bytes + added_bytes)
        self._chunk_bytes += added_bytes
        self._checksums += pack_checksums(checksums)
        self._gathered += buffers
        self._gathered_bytes += added_bytes
        self._write_behind()
        while self._gathered_bytes >= GATHERED_BYTES_MAX:
            await self._write_returned()
            self._raise_failure()

    async def finish(self, manifest: bytes) -> StoredChunk:
        """
        Write the footer and acknowledge as the durability says.

        Once begun this runs to its end, whether the caller waits or not.
        """
        self._raise_failure()
        self._ending = True
        return await uninterrupted(Deferred.fromCoroutine(self._finish(manifest)))

    async def abort(self) -> None:
        """
        Remove everything. After a failed write nothing is left to do.

        A `finish` that has begun is waited for; its chunk is left to who asks about old ones.
        """
        if not self._ending:
            self._ending = True
            Deferred.fromCoroutine(self._abort())
        await uninterrupted(self._ended)

    def _write_behind(self) -> None:
        """Unless a write is under way, start one when enough has been gathered."""
        if self._writing or self._ending or self._gathered_bytes < WRITE_BYTES_MIN:
            return
        self._writing = True
        write = partial(self._draft.write, self._take_gathered())
        self._calls.run(write).addBoth(self._written)

    def _written(self, result: int | Failure) -> None:
        self._writing = False
        if isinstance(result, Failure):
            self._fail(result)
        else:
            self._allowance.spend(result)
            self._write_behind()
        waiter, self._waiter = self._waiter, None
        if waiter is not None:
            waiter.callback(None)

    async def _write_returned(self) -> None:
        """Wait for the write under way, if there is one."""
        if self._writing:
            self._waiter = Deferred()
            await self._waiter

    async def _finish(self, manifest: bytes) -> StoredChunk:
        try:
            await self._write_returned()
            self._raise_failure()
            footer = encode_footer(self._chunk_id, self._chunk_bytes, self._checksums, manifest)
            rest = [*self._take_gathered(), *footer]
            if self._draft.file_bytes or self._chunk_bytes >= self._small.chunk_bytes_max:
                stored = await self._finish_file(rest)
            else:
                stored = await self._finish_small(rest)
        except Exception:
            await self._abort()
            raise
        self._close(kept=True)
        return stored

    async def _finish_file(self, rest: Sequence[Buffer]) -> StoredChunk:
        written_bytes = await self._calls.run(partial(self._draft.complete, rest, self._sync))
        self._allowance.spend(written_bytes)
        stored = StoredChunk(self._chunk_id, self._chunk_bytes, self._draft.file_bytes)
        await self._publish(stored)
        return stored

    async def _finish_small(self, rest: Sequence[Buffer]) -> StoredChunk:
        content = b"".join([encode_header(self._chunk_id), *rest])
        await self._small.put(decode_whole(content, self._chunk_id))
        return StoredChunk(self._chunk_id, self._chunk_bytes, len(content))

    async def _abort(self) -> None:
        await self._write_returned()
        if not self._ended.called:
            await self._calls.run(self._draft.drop)
            self._close(kept=False)

    def _take_gathered(self) -> list[Buffer]:
        taken, self._gathered, self._gathered_bytes = self._gathered, [], 0
        return taken

    def _fail(self, failure: Failure) -> None:
        self._failure = failure
        self._take_gathered()
        self._close(kept=False)

    def _close(self, *, kept: bool) -> None:
        self._allowance.close(kept=kept)
        self._on_closed()
        self._ended.callback(None)

    def _raise_failure(self) -> None:
        if self._failure is not None:
            self._failure.raiseException()
