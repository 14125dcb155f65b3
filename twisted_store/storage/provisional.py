"""The provisional chunks: since when each is one, and which of them are not synced yet."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from itertools import takewhile

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from twisted_store.core.ids import ChunkId
from twisted_store.errors import StoreError
from twisted_store.storage.syncs import Syncs
from twisted_store.storage.timers import Within


@dataclass(slots=True, eq=False)
class Provisional:
    """One of them. When it is written again, there is another one of the same id."""

    chunk_id: ChunkId
    since_seconds: float
    unsyncable: bool = False
    """A sync failed: what is on the disk is unknown, and another sync would not tell."""


class Provisionals:
    """
    Remembers the provisional chunks, and syncs in the background those acknowledged before.

    A chunk that cannot be synced stays readable but is never confirmed.
    """

    _log = Logger()

    def __init__(self, syncs: Syncs, clock: IReactorTime, monotonic: Callable[[], float]) -> None:
        self._syncs = syncs
        self._monotonic = monotonic
        self._all: dict[ChunkId, Provisional] = {}
        self._unsynced: dict[ChunkId, Provisional] = {}
        self._window_seconds = 0.0
        self._pass = Within(clock, self._run_pass)

    def add(self, chunk_id: ChunkId) -> Provisional:
        """A chunk became provisional; it counts as not synced."""
        added = Provisional(chunk_id, self._monotonic())
        self._all.pop(chunk_id, None)
        self._all[chunk_id] = self._unsynced[chunk_id] = added
        return added

    def __contains__(self, chunk_id: ChunkId) -> bool:
        return chunk_id in self._all

    def remove(self, chunk_id: ChunkId) -> None:
        """A chunk is not provisional any more."""
        self._all.pop(chunk_id, None)
        self._unsynced.pop(chunk_id, None)

    def older_than(self, seconds: float) -> list[ChunkId]:
        """Those that have been provisional for more than ``seconds``, oldest first."""
        latest = self._monotonic() - seconds
        old = takewhile(lambda each: each.since_seconds < latest, self._all.values())
        return [each.chunk_id for each in old]

    def is_older(self, chunk_id: ChunkId, seconds: float) -> bool:
        """Whether the chunk has been provisional for more than ``seconds``."""
        found = self._all.get(chunk_id)
        return found is not None and found.since_seconds < self._monotonic() - seconds

    def synced(self, provisional: Provisional) -> None:
        """This one needs no sync any more."""
        if self._unsynced.get(provisional.chunk_id) is provisional:
            del self._unsynced[provisional.chunk_id]

    async def sync(self, chunk_ids: Collection[ChunkId]) -> set[ChunkId]:
        """Sync those that are not; of all that are given, those that cannot be."""
        pending = [self._unsynced[each] for each in chunk_ids if each in self._unsynced]
        if pending:
            pending_ids = [each.chunk_id for each in pending]
            failed = await self._syncs.provisional_files(pending_ids)
            await self._syncs.directories(pending_ids)
            for each in pending:
                each.unsyncable = each.chunk_id in failed
                self.synced(each)
        return {each for each in chunk_ids if each in self._all and self._all[each].unsyncable}

    def sync_within(self, seconds: float) -> None:
        """Let a pass in the background begin in time to sync all that is not."""
        self._window_seconds = seconds
        self._pass.call(seconds)

    async def stop(self) -> None:
        """End the passes and sync what is not; nothing may be added any more."""
        await self._pass.stop()
        await self._sync_all()

    async def _run_pass(self) -> None:
        await self._sync_all()
        if self._unsynced:
            self._pass.call(self._window_seconds)

    async def _sync_all(self) -> None:
        try:
            await self.sync(tuple(self._unsynced))
        except StoreError:
            self._log.failure("provisional chunks stay unsynced")
