"""Reads one chunk: its file opened and verified, then blocks with their checksums."""

import errno
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Protocol, TypeVar

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.python.failure import Failure

from twisted_store.core.checksums import BLOCK_BYTES, Buffer, block_count
from twisted_store.core.chunk_file import (
    CHECKSUM_BYTES,
    HEADER_BYTES,
    TAIL_BYTES,
    ChunkLayout,
    decode_tail,
    verify_blocks,
    verify_footer,
    verify_header,
)
from twisted_store.core.ids import ChunkId
from twisted_store.errors import CorruptionError, FormatError
from twisted_store.storage.calls import DiskCalls, uninterrupted
from twisted_store.storage.disk import DiskFile

T = TypeVar("T")

READ_BLOCKS_MAX = 16
"""So many blocks, 1 MiB, come from one call at most."""

WHOLE_FILE_BYTES_MAX = 256 * 1024
"""Files up to this size are read whole when they are opened."""

_FOOTER_PIECE_BYTES = 256 * 1024


class _Source(Protocol):
    """What bytes of a chunk file are read from."""

    def read_at(self, offset: int, size_bytes: int) -> Buffer:
        """The bytes from ``offset`` on."""


class _WholeFile:
    """The bytes of a small chunk, held in memory."""

    def __init__(self, content: bytes) -> None:
        self._content = memoryview(content)

    def read_at(self, offset: int, size_bytes: int) -> Buffer:
        return self._content[offset : offset + size_bytes]


@dataclass(frozen=True, slots=True)
class OpenChunk:
    """A chunk whose header and footer are sound; blocking."""

    chunk_id: ChunkId
    layout: ChunkLayout
    manifest: bytes
    source: _Source
    file: DiskFile | None
    """None when all of it has been read and the file is closed."""

    def read(self, first_block: int, blocks: int) -> tuple[Buffer, tuple[int, ...]]:
        """Those of the blocks that the chunk has, verified, and their checksums."""
        first = min(first_block, block_count(self.layout.chunk_bytes))
        start = min(first * BLOCK_BYTES, self.layout.chunk_bytes)
        size_bytes = min(blocks * BLOCK_BYTES, self.layout.chunk_bytes - start)
        checksums = self.source.read_at(
            self.layout.footer_offset + first * CHECKSUM_BYTES,
            block_count(size_bytes) * CHECKSUM_BYTES,
        )
        content = self.source.read_at(HEADER_BYTES + start, size_bytes)
        if len(content) != size_bytes:
            raise FormatError(f"The file of chunk {self.chunk_id} has become shorter.")
        return content, verify_blocks(self.chunk_id, first, content, checksums)

    def verify(self) -> None:
        """Read all of it; a `CorruptionError` when a block is damaged."""
        for first_block in range(0, block_count(self.layout.chunk_bytes), READ_BLOCKS_MAX):
            self.read(first_block, READ_BLOCKS_MAX)

    def close(self) -> None:
        """Close the file."""
        if self.file is not None:
            self.file.close()


def open_chunk(open_file: Callable[[], DiskFile], chunk_id: ChunkId) -> OpenChunk:
    """Open and verify; a `CorruptionError` when what is there is not that chunk."""
    file = open_file()
    try:
        size_bytes = file.size_bytes()
        if size_bytes > WHOLE_FILE_BYTES_MAX:
            return _verified(chunk_id, file, size_bytes, file)
        chunk = open_content(chunk_id, file.read_at(0, size_bytes))
    except BaseException:
        file.close()
        raise
    file.close()
    return chunk


def open_content(chunk_id: ChunkId, content: bytes) -> OpenChunk:
    """A chunk of which all is in memory."""
    return _verified(chunk_id, _WholeFile(content), len(content), None)


def _verified(
    chunk_id: ChunkId, source: _Source, file_bytes: int, file: DiskFile | None
) -> OpenChunk:
    verify_header(bytes(source.read_at(0, HEADER_BYTES)), chunk_id)
    tail = source.read_at(max(file_bytes - TAIL_BYTES, 0), TAIL_BYTES)
    layout = decode_tail(bytes(tail), chunk_id, file_bytes)
    manifest = bytes(source.read_at(layout.manifest_offset, layout.manifest_bytes))
    verify_footer(chunk_id, layout, chain(_checksum_pieces(source, layout), [manifest]))
    return OpenChunk(chunk_id, layout, manifest, source, file)


def _checksum_pieces(source: _Source, layout: ChunkLayout) -> Iterator[Buffer]:
    """The checksums of a large chunk piece by piece, to hold little of them."""
    for offset in range(layout.footer_offset, layout.manifest_offset, _FOOTER_PIECE_BYTES):
        yield source.read_at(offset, min(_FOOTER_PIECE_BYTES, layout.manifest_offset - offset))


def reading(chunk_id: ChunkId, read: Callable[[], T]) -> T:
    """What ``read`` gives; a place that the disk cannot read counts as damage to this chunk."""
    try:
        return read()
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        raise CorruptionError(f"The disk cannot read chunk {chunk_id}: {error}.") from error


class ChunkReader:
    """
    Gives the blocks of a chunk, verified, until it is closed.

    It keeps the file readable when the chunk is reclaimed meanwhile. ``on_damage`` is called for
    each damage that a read finds, whether its caller still waits or not.
    """

    def __init__(
        self,
        chunk: OpenChunk,
        calls: DiskCalls,
        on_read: Callable[[int], None],
        on_damage: Callable[[], None],
    ) -> None:
        self._chunk = chunk
        self._calls = calls
        self._on_read = on_read
        self._on_damage = on_damage
        self._reads_under_way = 0
        self._closed = False

    @property
    def chunk_bytes(self) -> int:
        """The length of the chunk."""
        return self._chunk.layout.chunk_bytes

    @property
    def manifest_bytes(self) -> bytes:
        """The encoded manifest of the chunk's object."""
        return self._chunk.manifest

    async def read(
        self, first_block: int, blocks: int = READ_BLOCKS_MAX
    ) -> tuple[Buffer, tuple[int, ...]]:
        """
        The bytes of at most ``blocks`` and `READ_BLOCKS_MAX` blocks, and the checksum of each.

        Nothing when ``first_block`` lies behind the end; `ChecksumError` when a block is damaged.
        """
        read = partial(self._chunk.read, first_block, min(blocks, READ_BLOCKS_MAX))
        if self._chunk.file is None:
            content, checksums = await maybeDeferred(read).addErrback(self._tell_damage)
        else:
            content, checksums = await self._run_in_thread(read)
        self._on_read(len(content))
        return content, checksums

    def close(self) -> None:
        """Let the file go, once a read under way has returned."""
        if not self._closed:
            self._closed = True
            self._close_when_idle()

    def _run_in_thread(self, read: Callable[[], T]) -> Deferred[T]:
        self._reads_under_way += 1
        call = self._calls.run(partial(reading, self._chunk.chunk_id, read))
        return uninterrupted(call.addErrback(self._tell_damage).addBoth(self._read_returned))

    def _tell_damage(self, failure: Failure) -> Failure:
        if failure.check(CorruptionError):
            self._on_damage()
        return failure

    def _read_returned(self, result: T) -> T:
        self._reads_under_way -= 1
        self._close_when_idle()
        return result

    def _close_when_idle(self) -> None:
        if self._closed and not self._reads_under_way and self._chunk.file is not None:
            self._calls.run_unattended(self._chunk.close)
