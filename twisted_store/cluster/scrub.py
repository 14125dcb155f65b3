"""The node's scrub: reads all that it holds, so that damage is found before somebody needs it."""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Protocol

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from twisted_store.core.checksums import BLOCK_BYTES, Buffer, block_count
from twisted_store.core.ids import OBJECT_ID_BITS, ChunkId, ObjectId
from twisted_store.errors import ChunkNotFoundError, CorruptionError

PAUSE_SECONDS = 60.0
"""From the end of one round through all chunks to the next: a node that holds few does not spin."""

PAGE_CHUNKS_MAX = 1000
"""So many chunks are listed at once."""

READ_BLOCKS_MAX = 16
"""So many blocks, 1 MiB, are read at once."""


class HeldChunk(Protocol):
    """A chunk in the store."""

    @property
    def chunk_id(self) -> ChunkId:
        """Which one."""

    @property
    def is_confirmed(self) -> bool:
        """Whether its object is committed: no others are worth it, they go soon or are new."""


class ChunkPage(Protocol):
    """Some chunks in order."""

    @property
    def chunks(self) -> Sequence[HeldChunk]:
        """At least one, if there are any left."""

    @property
    def next_after(self) -> ChunkId | None:
        """After which one to go on; None at the end."""


class ChunkReader(Protocol):
    """Verifies what it reads of a chunk."""

    @property
    def chunk_bytes(self) -> int:
        """The length of the chunk."""

    async def read(self, first_block: int, blocks: int) -> tuple[Buffer, object]:
        """The bytes of these blocks, or `CorruptionError`."""

    def close(self) -> None:
        """Let the chunk go."""


class ChunkStore(Protocol):
    """What a scrub needs of the node's chunk engine, which sets aside what it reads as damaged."""

    async def list(self, after: ChunkId | None, limit: int) -> ChunkPage:
        """The chunks behind ``after``, or from the first one on."""

    async def open(self, chunk_id: ChunkId) -> ChunkReader:
        """A reader, `CorruptionError` or `ChunkNotFoundError`."""


@dataclass(slots=True)
class ScrubCounters:
    """Since the start; damaged chunks are not among those that were read to their end."""

    chunks: int = 0
    bytes: int = 0
    damaged_chunks: int = 0


class Scrub:
    """
    Reads the confirmed chunks of one store, at ``rate_bytes`` in a second, round after round.

    It begins at a place of chance, so that a node that is often restarted does not always read the
    same chunks.
    """

    def __init__(
        self, store: ChunkStore, clock: IReactorTime, random: Random, rate_bytes: int
    ) -> None:
        self.counters = ScrubCounters()
        self._store = store
        self._clock = clock
        self._rate_bytes = rate_bytes
        place = ObjectId(f"{random.getrandbits(OBJECT_ID_BITS):032x}")
        self._after: ChunkId | None = ChunkId(place, 0)

    async def scrub(self) -> float:
        """Read the next chunks; the seconds until the next time."""
        page = await self._store.list(self._after, PAGE_CHUNKS_MAX)
        for held in page.chunks:
            self._after = held.chunk_id
            if held.is_confirmed:
                await self._verify(held.chunk_id)
        self._after = page.next_after
        return PAUSE_SECONDS if page.next_after is None else 0.0

    async def _verify(self, chunk_id: ChunkId) -> None:
        try:
            reader = await self._store.open(chunk_id)
            try:
                await self._read(reader)
            finally:
                reader.close()
        except ChunkNotFoundError:  # it went after it was listed
            return
        except CorruptionError:
            self.counters.damaged_chunks += 1
            await self._spend(0)
        else:
            self.counters.chunks += 1

    async def _read(self, reader: ChunkReader) -> None:
        for first_block in range(0, max(block_count(reader.chunk_bytes), 1), READ_BLOCKS_MAX):
            content, _ = await reader.read(first_block, READ_BLOCKS_MAX)
            size_bytes = len(content)
            del content  # or it is held while nothing is done
            self.counters.bytes += size_bytes
            await self._spend(size_bytes)

    async def _spend(self, size_bytes: int) -> None:
        """Wait for as long as these bytes take; a disk is not quicker with less than a block."""
        await deferLater(self._clock, max(size_bytes, BLOCK_BYTES) / self._rate_bytes)
