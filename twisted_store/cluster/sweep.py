"""
The node's sweep: what became of chunks that no mark came for, and space of those that are dead.

A chunk stays provisional when the api ended, or gave its upload up, without a word to the node. The
api is the one to ask; an answer that names a chunk neither way means that its upload is under way.
It is told of damaged chunks, too. What it answers is about the chunks as they were when it was
asked: one that was written again since then is another one.
"""

from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
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
    """Brings questions to the api; both raise `UnavailableError` when no answer comes."""

    async def ask(self, chunk_ids: Sequence[ChunkId]) -> Fates:
        """What became of the uploads of provisional chunks."""

    async def report_quarantined(self, chunk_ids: Sequence[ChunkId]) -> Sequence[ChunkId]:
        """Tell of chunks that are set aside; those of them that no file needs."""


class ChunkStore(Protocol):
    """What a sweep needs of the node's chunk engine."""

    def provisional_older_than(self, seconds: float) -> Sequence[ChunkId]:
        """Chunks that were written so long ago and are not confirmed yet."""

    @property
    def quarantined(self) -> Sequence[ChunkId]:
        """Chunks that are damaged and set aside."""

    async def mark(self, confirm: Collection[ChunkId]) -> object:
        """Confirm chunks."""

    async def drop(self, chunk_id: ChunkId, older_than_seconds: float) -> None:
        """Remove a chunk, if it has been provisional for so long."""

    async def bury_quarantined(self, chunk_ids: Collection[ChunkId]) -> None:
        """Make dead those of them that are still set aside."""

    async def reclaim(self, grace_seconds: float) -> object:
        """Remove the files of chunks that were marked dead so long ago."""


class Sweep:
    """One store's sweep; ages, and what ``monotonic`` gives, in seconds."""

    def __init__(
        self,
        client: ApiClient,
        store: ChunkStore,
        monotonic: Callable[[], float],
        provisional_age_seconds: float,
        dead_grace_seconds: float,
    ) -> None:
        self._client = client
        self._store = store
        self._monotonic = monotonic
        self._provisional_age_seconds = provisional_age_seconds
        self._dead_grace_seconds = dead_grace_seconds

    async def sweep(self) -> float:
        """Sweep once; the seconds until the next time."""
        await self._store.reclaim(self._dead_grace_seconds)
        old = self._store.provisional_older_than(self._provisional_age_seconds)
        asked_at = self._monotonic()
        await _in_batches(old, partial(self._settle, asked_at))
        await _in_batches(self._store.quarantined, self._report)
        return SWEEP_SECONDS

    async def _report(self, chunk_ids: Sequence[ChunkId]) -> None:
        unneeded = await self._client.report_quarantined(chunk_ids)
        await self._store.bury_quarantined(unneeded)

    async def _settle(self, asked_at: float, chunk_ids: Sequence[ChunkId]) -> None:
        fates = await self._client.ask(chunk_ids)
        await self._store.mark(fates.confirm)
        for chunk_id in fates.drop:
            age_seconds = self._provisional_age_seconds + self._monotonic() - asked_at
            await self._store.drop(chunk_id, age_seconds)
        if fates.confirm or fates.drop:
            log.info(
                "{confirmed} old chunks confirmed, {dropped} of failed uploads dropped",
                confirmed=len(fates.confirm),
                dropped=len(fates.drop),
            )


async def _in_batches(
    chunk_ids: Sequence[ChunkId], tell: Callable[[Sequence[ChunkId]], Awaitable[None]]
) -> None:
    """Tell the api of some at a time, until it does not answer."""
    for start in range(0, len(chunk_ids), ASK_CHUNKS_MAX):
        try:
            await tell(chunk_ids[start : start + ASK_CHUNKS_MAX])
        except UnavailableError as error:
            log.debug("the api was not heard on chunks: {problem}", problem=error.message)
            return
