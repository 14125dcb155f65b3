"""Syncs of chunk files and their directories: shared where they can be, and how they went."""

from collections import deque
from collections.abc import Iterable, Sequence
from contextlib import closing
from functools import partial

from twisted.internet.defer import Deferred, gatherResults
from twisted.logger import Logger
from twisted.python.failure import Failure

from twisted_store.core.ids import ChunkId
from twisted_store.storage.calls import Batches, DiskCalls, attempt
from twisted_store.storage.directory import ChunkDirectory, ChunkState, shards_of
from twisted_store.storage.disk import DiskFile

PARALLEL_CALLS = 4
"""So many threads at once sync files: the journal of the file system commits them together."""

FILES_PER_CALL = 32
"""So that many small files do not look like one call that hangs."""


class Syncs:
    """Makes files and names survive a power loss."""

    _log = Logger()

    def __init__(self, directory: ChunkDirectory, calls: DiskCalls) -> None:
        self._directory = directory
        self._calls = calls
        self._directories = Batches(calls, self._sync_directories)
        self._file_ok = True
        self._directory_ok = True

    @property
    def last_ok(self) -> bool:
        """Whether the last sync of a file went well, and the last one of a directory."""
        return self._file_ok and self._directory_ok

    def file(self, file: DiskFile) -> None:
        """Sync a file. Blocking."""
        try:
            file.sync()
        except OSError:
            self._file_ok = False
            raise
        self._file_ok = True

    async def directories(self, chunk_ids: Iterable[ChunkId]) -> None:
        """Sync the directories of these chunks; who asks at the same time shares the calls."""
        shards = shards_of(chunk_ids)
        if shards:
            await self._directories.add(shards)

    async def provisional_files(self, chunk_ids: Sequence[ChunkId]) -> set[ChunkId]:
        """Sync the files of these chunks as far as they are still there; those that failed."""
        failed: set[ChunkId] = set()
        starts = deque(range(0, len(chunk_ids), FILES_PER_CALL))

        async def work() -> None:
            while starts:
                start = starts.popleft()
                some = chunk_ids[start : start + FILES_PER_CALL]
                failed.update(await self._calls.run(partial(self._sync_files, some)))

        await gatherResults([Deferred.fromCoroutine(work()) for _ in range(PARALLEL_CALLS)])
        return failed

    def _sync_files(self, chunk_ids: Sequence[ChunkId]) -> set[ChunkId]:
        return {chunk_id for chunk_id in chunk_ids if not self._sync_file(chunk_id)}

    def _sync_file(self, chunk_id: ChunkId) -> bool:
        """Whether all went well; a chunk that is gone needs no sync."""
        try:
            with closing(self._open(chunk_id)) as file:
                self.file(file)
        except FileNotFoundError:
            return True
        except OSError:
            self._log.failure("chunk {chunk_id} cannot be synced", chunk_id=chunk_id)
            return False
        return True

    def _open(self, chunk_id: ChunkId) -> DiskFile:
        return self._directory.disk.open(self._directory.path(chunk_id, ChunkState.PROVISIONAL))

    def _sync_directories(self, batch: Sequence[Sequence[str]]) -> list[None | Failure]:
        outcomes = {
            shard: attempt(partial(self._sync_directory, shard))
            for shard in dict.fromkeys(shard for shards in batch for shard in shards)
        }
        return [
            next((failed for shard in shards if (failed := outcomes[shard]) is not None), None)
            for shards in batch
        ]

    def _sync_directory(self, shard: str) -> None:
        try:
            self._directory.sync(shard)
        except OSError:
            self._directory_ok = False
            raise
        self._directory_ok = True
