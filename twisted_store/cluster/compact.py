"""The node's compaction: space of small chunks that are gone comes back, little by little."""

from typing import Protocol

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from twisted_store.errors import StoreError

LOOK_SECONDS = 5.0
"""From one look for garbage to the next, while there is none."""

STEP_BYTES = 512 * 1024
"""Read and written at once: others wait for as long."""

log = Logger()


class ChunkStore(Protocol):
    """What a compaction needs of the node's chunk engine."""

    async def compact(self, bytes_max: int) -> int:
        """Do a part of it; the bytes read and written, 0 when there is nothing to do."""


class Compactor:
    """Lets a store compact, at ``rate_bytes`` a second, as long as there is garbage."""

    def __init__(self, store: ChunkStore, clock: IReactorTime, rate_bytes: int) -> None:
        self._store = store
        self._clock = clock
        self._rate_bytes = rate_bytes

    async def compact(self) -> float:
        """Compact until there is nothing to do; the seconds until the next look."""
        try:
            while worked_bytes := await self._store.compact(STEP_BYTES):
                await deferLater(self._clock, worked_bytes / self._rate_bytes)
        except StoreError as error:
            log.warn("compaction waits: {problem}", problem=error.message)
        return LOOK_SECONDS
