"""Blocks of a chunk are read from the disk while those before them are on their way."""

from twisted.internet.defer import Deferred

from twisted_store.core.checksums import Buffer
from twisted_store.storage.reader import READ_BLOCKS_MAX, ChunkReader

Blocks = tuple[Buffer, tuple[int, ...]]
"""The bytes of consecutive blocks, and the checksum of each."""


class ReadAhead:
    """
    Gives the blocks from ``first_block`` up to, not including, ``end_block`` in order.

    While the caller is busy with what it got, one read of at most `READ_BLOCKS_MAX` blocks is under
    way or waits for it.
    """

    def __init__(self, reader: ChunkReader, first_block: int, end_block: int) -> None:
        self._reader = reader
        self._next_block = first_block
        self._end_block = end_block
        self._ahead = self._begin()

    async def next(self) -> Blocks | None:
        """What comes next, None at the end; raises what the read raised."""
        ahead, self._ahead = self._ahead, None
        if ahead is None:
            return None
        blocks = await ahead
        self._ahead = self._begin()
        return blocks

    def close(self) -> None:
        """Forget the read under way."""
        if self._ahead is not None:
            self._ahead.addErrback(lambda _: None)
            self._ahead.cancel()

    def _begin(self) -> "Deferred[Blocks] | None":
        blocks = min(READ_BLOCKS_MAX, self._end_block - self._next_block)
        if not blocks:
            return None
        read = self._reader.read(self._next_block, blocks)
        self._next_block += blocks
        return Deferred.fromCoroutine(read)
