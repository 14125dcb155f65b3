"""
The node's sweep: what became of chunks that no mark came for, and space of those that are dead.

A chunk stays provisional when the api ended, or gave its upload up, without a word to the node. The
api is the one to ask; an answer that names a chunk neither way means that its upload is under way.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from twisted.logger import Logger

from twisted_store.core.ids import ChunkId
from twisted_store.errors import UnavailableError

SWEEP_SECONDS = 5.0
"""From the end of one sweep to the next."""

ASK_CHUNKS_MAX = 1000
"""So many chunks go with one question."""

log = Logger()


@dataclass(frozen=True, slots=True)
class Fates:
    """The api's answer: chunks of committed objects, and chunks of none."""

    confirm: Sequence[ChunkId]
    drop: Sequence[ChunkId]


class ApiClient(Protocol):
    """Brings questions to the api."""

    async def ask(self, chunk_ids: Sequence[ChunkId]) -> Fates:
        """Raise `UnavailableError` when no answer comes."""


class ChunkStore(Protocol):
    """What a sweep needs of the node's chunk engine."""

    def provisional_older_than(self, seconds: float) -> Sequence[ChunkId]:
        """Chunks that were written so long ago and are not confirmed yet."""

    async def mark(self, confirm: Collection[ChunkId]) -> object:
        """Confirm chunks."""

    async def discard(self, chunk_id: ChunkId) -> None:
        """Remove a provisional chunk."""

    async def reclaim(self, grace_seconds: float) -> object:
        """Remove the files of chunks that were marked dead so long ago."""


class Sweep:
    """One store's sweep; ages in seconds."""

    def __init__(
        self,
        client: ApiClient,
        store: ChunkStore,
        provisional_age_seconds: float,
        dead_grace_seconds: float,
    ) -> None:
        self._client = client
        self._store = store
        self._provisional_age_seconds = provisional_age_seconds
        self._dead_grace_seconds = dead_grace_seconds

    async def sweep(self) -> float:
        """Sweep once; the seconds until the next time."""
        await self._store.reclaim(self._dead_grace_seconds)
        chunk_ids = self._store.provisional_older_than(self._provisional_age_seconds)
        for start in range(0, len(chunk_ids), ASK_CHUNKS_MAX):
            try:
                await self._settle(chunk_ids[start : start + ASK_CHUNKS_MAX])
            except UnavailableError as error:
                log.debug("the api was not heard on old chunks: {problem}", problem=error.message)
                break
        return SWEEP_SECONDS

    async def _settle(self, chunk_ids: Sequence[ChunkId]) -> None:
        fates = await self._client.ask(chunk_ids)
        await self._store.mark(fates.confirm)
        for chunk_id in fates.drop:
            await self._store.discard(chunk_id)
        if fates.confirm or fates.drop:
            log.info(
                "{confirmed} old chunks confirmed, {dropped} of failed uploads dropped",
                confirmed=len(fates.confirm),
                dropped=len(fates.drop),
            )
