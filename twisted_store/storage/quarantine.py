"""Damaged chunks: whoever reads one finds the damage; it is looked at again, and set aside."""

from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence

from twisted.internet.defer import Deferred, gatherResults
from twisted.logger import Logger

from twisted_store.core.checksums import BLOCK_BYTES
from twisted_store.core.ids import ChunkId
from twisted_store.errors import ChunkNotFoundError, CorruptionError, StoreError
from twisted_store.storage.calls import DiskCalls
from twisted_store.storage.reader import READ_BLOCKS_MAX, ChunkReader, OpenChunk


class _Suspicion:
    """That a chunk is damaged. What is written again meanwhile is not under this one."""


class Quarantine:
    """
    Remembers the chunks that are set aside, and sets aside those in which readers find damage.

    The reader may have had a file that is gone by now, so the chunk is verified once more as
    ``reopen`` gives it, and nothing happens to one that is among ``writing``, was written again
    since (`forget`), or is sound after all. ``set_aside`` does it, durably, and tells whether the
    chunk was there; what is asked of the chunk after that call comes after it.
    """

    _log = Logger()

    def __init__(
        self,
        reopen: Callable[[ChunkId], Awaitable[OpenChunk]],
        set_aside: Callable[[ChunkId], Awaitable[bool]],
        calls: DiskCalls,
        writing: Collection[ChunkId],
    ) -> None:
        self._reopen = reopen
        self._move = set_aside
        self._calls = calls
        self._writing = writing
        self._set_aside: set[ChunkId] = set()
        self._suspicions: dict[ChunkId, _Suspicion] = {}
        self._under_way: set[Deferred[None]] = set()
        self._stopped = False

    @property
    def chunk_ids(self) -> Sequence[ChunkId]:
        """Those that are set aside, in order."""
        return sorted(self._set_aside)

    def add(self, chunk_ids: Iterable[ChunkId]) -> None:
        """These chunks are set aside."""
        self._set_aside.update(chunk_ids)

    def forget(self, chunk_id: ChunkId) -> None:
        """A chunk has been written again, or is dead: what was known of it holds no more."""
        self._set_aside.discard(chunk_id)
        self._suspicions.pop(chunk_id, None)

    def suspect(self, chunk_id: ChunkId) -> None:
        """A read found damage: verify the chunk and set it aside, once for all that read it."""
        if chunk_id in self._suspicions or self._stopped:
            return
        suspicion = self._suspicions[chunk_id] = _Suspicion()
        judged = Deferred.fromCoroutine(self._judge(chunk_id, suspicion))
        self._under_way.add(judged)
        judged.addBoth(lambda _: self._under_way.discard(judged))

    async def stop(self) -> None:
        """Suspect no more; returns when nothing is under way."""
        self._stopped = True
        await gatherResults(tuple(self._under_way))

    async def _judge(self, chunk_id: ChunkId, suspicion: _Suspicion) -> None:
        try:
            damage = await self._damage(chunk_id)
            if damage is not None and self._may_move(chunk_id, suspicion):
                await self._set(chunk_id, damage)
        except StoreError as error:
            self._log.warn(
                "damaged chunk {chunk_id} cannot be set aside: {problem}",
                chunk_id=chunk_id,
                problem=error.message,
            )
        finally:
            if self._suspicions.get(chunk_id) is suspicion:
                del self._suspicions[chunk_id]

    def _may_move(self, chunk_id: ChunkId, suspicion: _Suspicion) -> bool:
        """Whether the file that was verified is the one there, until the lane's next call."""
        return self._suspicions.get(chunk_id) is suspicion and chunk_id not in self._writing

    async def _damage(self, chunk_id: ChunkId) -> CorruptionError | None:
        """What is wrong with the chunk as it stands there now."""
        try:
            chunk = await self._reopen(chunk_id)
            reader = ChunkReader(chunk, self._calls, lambda _: None, lambda: None)
            try:
                await self._read(reader)
            finally:
                reader.close()
        except CorruptionError as error:
            return error
        except ChunkNotFoundError:
            pass
        return None

    async def _read(self, reader: ChunkReader) -> None:
        """All of it, in calls so short that the disk does not seem to hang."""
        for start in range(0, reader.chunk_bytes, READ_BLOCKS_MAX * BLOCK_BYTES):
            if self._stopped:
                return
            await reader.read(start // BLOCK_BYTES)

    async def _set(self, chunk_id: ChunkId, damage: CorruptionError) -> None:
        if await self._move(chunk_id):
            self._set_aside.add(chunk_id)
            self._log.warn(
                "chunk {chunk_id} is damaged and set aside: {problem}",
                chunk_id=chunk_id,
                problem=damage.message,
            )
