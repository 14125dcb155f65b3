"""Whole chunks on their way into the store: all at once, or each by a writer of its own."""

from collections.abc import Awaitable, Callable, Sequence

from twisted.internet.defer import Deferred, gatherResults

from twisted_store.core.checksums import Buffer
from twisted_store.core.chunk_file import unpack_checksums
from twisted_store.core.durability import Durability
from twisted_store.core.ids import ChunkId
from twisted_store.core.whole_chunk import WholeChunk
from twisted_store.errors import ConflictError, StoreError
from twisted_store.storage.space import Space
from twisted_store.storage.writer import ChunkWriter

Found = list[Buffer | StoreError]
"""For each chunk the bytes of its file, or why they cannot be had."""

Outcomes = list[StoreError | None]
"""For each chunk None, or why it is not stored."""

Put = Callable[[Sequence[WholeChunk]], Awaitable[Outcomes]]

Begin = Callable[[ChunkId, int | None, Durability], ChunkWriter]


async def put_at_once(
    put: Put, space: Space, writing: set[ChunkId], chunks: Sequence[WholeChunk]
) -> Outcomes:
    """Store chunks in one call, with room kept for all; none of which anybody else is writing."""
    ours = [chunk for chunk in chunks if chunk.chunk_id not in writing]
    ids = [chunk.chunk_id for chunk in ours]
    stored: Outcomes
    try:
        with space.promised(sum(len(chunk.content) for chunk in ours)):
            writing.update(ids)
            try:
                stored = await put(ours)
            finally:
                writing.difference_update(ids)
    except StoreError as error:
        stored = [error] * len(ours)
    outcomes = dict(zip(ids, stored, strict=True))
    return [
        outcomes[chunk.chunk_id] if chunk.chunk_id in outcomes else being_written(chunk.chunk_id)
        for chunk in chunks
    ]


def being_written(chunk_id: ChunkId) -> ConflictError:
    """Why a chunk cannot be written now."""
    return ConflictError(f"Chunk {chunk_id} is being written by another request.")


async def put_each(begin: Begin, chunks: Sequence[WholeChunk], durability: Durability) -> Outcomes:
    """Write each chunk with a writer of its own; for each None, or why it is not stored."""
    puts = [Deferred.fromCoroutine(_put(begin, chunk, durability)) for chunk in chunks]
    return await gatherResults(puts)


async def _put(begin: Begin, chunk: WholeChunk, durability: Durability) -> StoreError | None:
    try:
        writer = begin(chunk.chunk_id, chunk.chunk_bytes, durability)
        try:
            if chunk.chunk_bytes:
                await writer.append([chunk.blocks], unpack_checksums(chunk.checksums))
            await writer.finish(chunk.manifest)
        except Exception:
            await writer.abort()
            raise
    except StoreError as error:
        return error
    return None
