"""A node's data directory under test: a store on it, restarted at will, used in short ways."""

from collections.abc import Awaitable
from pathlib import Path
from random import Random
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from tests.storage.seams import WatchedDisk, run_inline
from twisted_store.core.checksums import BLOCK_BYTES, block_checksum
from twisted_store.core.durability import STRICT, Durability
from twisted_store.core.ids import ChunkId, object_id
from twisted_store.database import DatabaseOpener, open_in_memory
from twisted_store.storage.calls import RunBlocking
from twisted_store.storage.identity import NodeIdentity
from twisted_store.storage.limits import StoreLimits
from twisted_store.storage.reader import READ_BLOCKS_MAX, ChunkReader
from twisted_store.storage.store import ChunkStore
from twisted_store.storage.writer import ChunkWriter, StoredChunk

T = TypeVar("T")

MANIFEST = b'{"name":"a manifest"}'
FRAME_BLOCKS = 4

MADE_SHARDS = 4
"""The directories of chunks with numbers below this are there from the beginning."""


def chunk_id(number: int, index: int = 0) -> ChunkId:
    """Different chunks for different numbers; those of the same last byte share a directory."""
    return ChunkId(object_id(1, 2, number), index)


def content_of(size_bytes: int) -> bytes:
    """Bytes that differ from block to block."""
    return Random(size_bytes).randbytes(size_bytes)


def checksums_of(chunk: ChunkId, content: bytes) -> list[int]:
    """One for each block."""
    return [
        block_checksum(chunk, start // BLOCK_BYTES, content[start : start + BLOCK_BYTES])
        for start in range(0, len(content), BLOCK_BYTES)
    ]


async def write(writer: ChunkWriter, chunk: ChunkId, content: bytes) -> StoredChunk:
    """Append frame by frame, and finish."""
    await append(writer, chunk, content)
    return await writer.finish(MANIFEST)


async def append(writer: ChunkWriter, chunk: ChunkId, content: bytes) -> None:
    """Append frame by frame."""
    checksums = checksums_of(chunk, content)
    for first in range(0, len(checksums), FRAME_BLOCKS):
        frame = content[first * BLOCK_BYTES : (first + FRAME_BLOCKS) * BLOCK_BYTES]
        view = memoryview(frame)
        await writer.append([view[:7], view[7:]], checksums[first : first + FRAME_BLOCKS])


async def read_all(reader: ChunkReader) -> bytes:
    """All bytes of a chunk; closes the reader."""
    content = bytearray()
    try:
        for first in range(0, -(-reader.chunk_bytes // BLOCK_BYTES), READ_BLOCKS_MAX):
            buffer, _ = await reader.read(first)
            content += buffer
    finally:
        reader.close()
    return bytes(content)


def result_of(awaitable: Awaitable[T]) -> T:
    """What a coroutine returns or raises that has nothing to wait for."""
    outcomes: list[Any] = []
    started(awaitable).addBoth(outcomes.append)
    if not outcomes:
        raise AssertionError("it still waits")
    if isinstance(outcomes[0], Failure):
        outcomes[0].raiseException()
    return outcomes[0]  # type: ignore[no-any-return]


def started(awaitable: Awaitable[T]) -> "Deferred[T]":
    """Run until it has to wait."""

    async def run() -> T:
        return await awaitable

    return Deferred.fromCoroutine(run())


class Bench:
    """A store whose calls run inline unless a test says otherwise."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.disk = WatchedDisk()
        self.clock = Clock()
        self.run_blocking: RunBlocking = run_inline
        self.open_database: DatabaseOpener = open_in_memory
        self.limits = StoreLimits(reserve_bytes=0, needle_bytes_max=0)
        self.random = Random(2)
        identity = NodeIdentity(self.disk, str(root), Random(1), run_inline, self.clock.seconds)
        result_of(identity.close())
        for number in range(MADE_SHARDS):
            (root / "chunks" / f"{number:02x}").mkdir(parents=True)
        self.restart()

    def restart(self) -> None:
        """End the process without a word, and start it again."""
        for call in [*self.clock.getDelayedCalls()]:
            call.cancel()
        self.store = ChunkStore(
            self.disk,
            str(self.root),
            self.run_blocking,
            self.open_database,
            self.clock,
            self.clock.seconds,
            self.random,
            self.limits,
        )
        self.disk.calls.clear()

    def put(
        self, chunk: ChunkId, content: bytes = b"content", durability: Durability = STRICT
    ) -> StoredChunk:
        """Write a chunk."""
        writer = self.store.begin(chunk, len(content), durability)
        return result_of(write(writer, chunk, content))

    def get(self, chunk: ChunkId) -> bytes:
        """Read a chunk."""
        return result_of(read_all(result_of(self.store.open(chunk))))

    def files(self) -> list[str]:
        """The names of all chunk files, in order."""
        return sorted(path.name for path in (self.root / "chunks").glob("*/*"))

    def file(self, chunk: ChunkId) -> Path:
        """The one file of a chunk."""
        [path] = (self.root / "chunks").glob(f"*/{chunk}.*")
        return path

    def count(self, call: str) -> int:
        """How often the disk was called like that since the last restart."""
        return self.disk.names().count(call)
