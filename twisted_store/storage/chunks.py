"""Needles and files as one: a chunk is one or the other."""

from collections.abc import Collection, Sequence
from functools import partial
from heapq import merge
from itertools import chain, islice

from twisted.internet.defer import Deferred, FirstError, gatherResults

from twisted_store.core.durability import Durability
from twisted_store.core.ids import ChunkId
from twisted_store.core.peer import Missing
from twisted_store.core.whole_chunk import WholeChunk
from twisted_store.errors import ChunkNotFoundError, StoreError, TooLargeError
from twisted_store.storage.calls import attempt
from twisted_store.storage.directory import ChunkPage, order
from twisted_store.storage.files import ChunkFiles
from twisted_store.storage.needles import Needles
from twisted_store.storage.reader import OpenChunk, open_content
from twisted_store.storage.volumes import OpenVolumes
from twisted_store.storage.whole import Found


class Chunks:
    """
    Each call goes to where the chunk is.

    One that is written as the other kind than before is forgotten as that; its bytes are the same.
    """

    def __init__(self, files: ChunkFiles, needles: Needles) -> None:
        self._files = files
        self._needles = needles

    @property
    def problem(self) -> str:
        """What is wrong with the disk, as far as it was tried; empty when it is well."""
        files = "" if self._files.syncs.last_ok else "The last sync failed."
        return self._needles.problem or files

    def open(self, chunk_id: ChunkId, *, alive_only: bool = False) -> OpenChunk:
        """
        Open a chunk, a dead one until it is reclaimed. Blocking.

        Raises `ChunkNotFoundError`, and `CorruptionError` when it is not what was written.
        """
        try:
            with self._needles.opened() as volumes:
                content = self._needles.read(chunk_id, volumes, alive_only=alive_only)
            return open_content(chunk_id, content)
        except ChunkNotFoundError:
            return self._files.open(chunk_id, alive_only=alive_only)

    def read_each(self, chunk_ids: Sequence[ChunkId], bytes_max: int) -> Found:
        """
        Of each chunk the bytes of its file, verified, or why not. Blocking.

        What would make it more than ``bytes_max`` in all is a `TooLargeError`.
        """
        found: Found = []
        with self._needles.opened() as volumes:
            for chunk_id in chunk_ids:
                outcome = attempt(partial(self._read, chunk_id, volumes, bytes_max))
                if isinstance(outcome, bytes):
                    bytes_max -= len(outcome)
                    found.append(outcome)
                elif isinstance(outcome.value, StoreError):
                    found.append(outcome.value)
                else:
                    outcome.raiseException()
        return found

    def page(self, after: ChunkId | None, limit: int) -> ChunkPage:
        """At most ``limit`` chunks, beginning behind ``after``. Blocking."""
        needles = self._needles.page(after, limit + 1)
        files = self._files.directory.page(after, limit)
        found = tuple(islice(merge(needles, files.chunks, key=order), limit))
        goes_on = files.next_after is not None or len(needles) + len(files.chunks) > limit
        return ChunkPage(found, found[-1].chunk_id if goes_on else None)

    async def put(
        self, chunks: Sequence[WholeChunk], durability: Durability
    ) -> list[StoreError | None]:
        """Store chunks as needles, provisionally; for each None, or why it is not stored."""
        outcomes = await self._needles.put(
            chunks, durability, self._files.directory.check_replaceable
        )
        for chunk, outcome in zip(chunks, outcomes, strict=True):
            if outcome is None:
                await self._files.forget(chunk.chunk_id)
        return outcomes

    async def publish(self, chunk_id: ChunkId, durability: Durability) -> None:
        """The file of a chunk is written: make it a provisional chunk."""
        if await self._files.publish(chunk_id, durability, self._needles.is_replaceable):
            await self._needles.forget(chunk_id)

    async def mark(
        self, confirm: Collection[ChunkId], dead: Collection[ChunkId], durability: Durability
    ) -> Missing:
        """Confirm and bury; those that could not be."""
        confirmed, buried = await self._needles.mark(confirm, dead, durability)
        confirm = [each for each in confirm if each not in confirmed]
        dead = [each for each in dead if each not in buried]
        if confirm or dead:
            confirmed, buried = await self._files.mark(confirm, dead, durability)
        return Missing(
            tuple(each for each in confirm if each not in confirmed),
            tuple(each for each in dead if each not in buried),
        )

    async def quarantine(self, chunk_id: ChunkId) -> bool:
        """Set a damaged chunk aside, durably; whether it was there, and alive."""
        calls = [self._needles.quarantine(chunk_id), self._files.quarantine(chunk_id)]
        # Both at once, so that nothing that is asked for later comes before.
        running: list[Deferred[object]] = [Deferred.fromCoroutine(call) for call in calls]
        try:
            return any(await gatherResults(running, consumeErrors=True))
        except FirstError as error:
            error.subFailure.raiseException()
            raise

    async def discard(self, chunk_id: ChunkId) -> None:
        """Remove a provisional chunk; `ConflictError` when it is confirmed."""
        await self._needles.discard(chunk_id)
        await self._files.discard(chunk_id)

    def is_older(self, chunk_id: ChunkId, seconds: float) -> bool:
        """Whether the chunk has been provisional for more than ``seconds``."""
        return self._needles.is_older(chunk_id, seconds) or self._files.is_older(chunk_id, seconds)

    def provisional_older_than(self, seconds: float) -> list[ChunkId]:
        """Those that nobody confirmed for so long, the oldest first of each kind."""
        needles = self._needles.provisional_older_than(seconds)
        return [*chain(needles, self._files.provisional_older_than(seconds))]

    async def stop(self) -> None:
        """Sync what is not, and let go of the files."""
        await self._files.stop()
        await self._needles.stop()

    def _read(self, chunk_id: ChunkId, volumes: OpenVolumes, bytes_max: int) -> bytes:
        try:
            content = self._needles.read(chunk_id, volumes)
        except ChunkNotFoundError:
            return self._files.read(chunk_id, bytes_max)
        if len(content) > bytes_max:
            raise TooLargeError(f"Chunk {chunk_id} has no room among {bytes_max} bytes.")
        return content
