"""A chunk store in a directory of the operating system, whose disk may be recorded and broken."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from random import Random

from twisted.internet.task import Clock

from tests.powerloss.engines import now, run_inline
from tests.powerloss.sqlite_vfs import RewritingDatabase
from tests.storage.faulty_disk import FaultyDisk, FaultyFile
from twisted_store.core.ids import ChunkId, object_id
from twisted_store.core.whole_chunk import WholeChunk, decode_whole, encode_whole
from twisted_store.database import Database, DatabaseOpener, open_sqlite
from twisted_store.errors import ChunkNotFoundError, CorruptionError
from twisted_store.storage.directory import ChunkState
from twisted_store.storage.disk import Disk, DiskFile, OsDisk
from twisted_store.storage.limits import StoreLimits
from twisted_store.storage.store import ChunkStore

VOLUME_BYTES_MAX = 12_000
CHUNK_BYTES_MAX = 3_000
CHUNKS = 24

LIMITS = StoreLimits(reserve_bytes=0, volume_bytes_max=VOLUME_BYTES_MAX)

CHUNKS_MAX = 1_000
"""More than any store here holds."""

GRACE_SECONDS = 10.0
STEP_BYTES = 4_000


class UnsyncedFile(FaultyFile):
    """A file that is not synced: its power is cut only in thought."""

    def sync(self) -> None:
        """Nothing."""


class UnsyncedDisk(FaultyDisk):
    """A disk that is not synced."""

    def sync_directory(self, path: str) -> None:
        """Nothing."""

    def _file(self, path: str, file: DiskFile) -> DiskFile:
        return UnsyncedFile(self, path, file)


def open_unsynced(path: Path, read_only: bool) -> Database:
    """A database of the product that does not sync; satisfies `DatabaseOpener`."""
    statements = {"synchronous = NORMAL": "synchronous = OFF"}
    return RewritingDatabase(open_sqlite(path, read_only), statements)


def chunk(number: int) -> WholeChunk:
    """One of the chunks; its bytes follow from its number."""
    chunk_id = ChunkId(object_id(1, 2, number), 0)
    random = Random(number)
    content = random.randbytes(random.randint(1, CHUNK_BYTES_MAX))
    return decode_whole(encode_whole(chunk_id, [content], b"{}"), chunk_id)


ALL_CHUNKS: Mapping[ChunkId, WholeChunk] = {
    each.chunk_id: each for each in map(chunk, range(CHUNKS))
}


class Machine:
    """Starts stores on what stands below ``root``."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.clock = Clock()
        self.random = Random(0)
        self.disk: Disk = UnsyncedDisk(OsDisk())
        self.open_database: DatabaseOpener = open_unsynced

    def start(self) -> None:
        """Start a store; whichever was there before is gone without a word."""
        for call in [*self.clock.getDelayedCalls()]:
            call.cancel()
        self.store = ChunkStore(
            self.disk,
            str(self.root),
            run_inline,
            self.open_database,
            self.clock,
            self.clock.seconds,
            self.random,
            LIMITS,
        )

    def stop(self) -> None:
        """Stop in order."""
        now(self.store.stop())

    def compact(self) -> None:
        """Let go of all that is dead, to the end."""
        now(self.store.reclaim(GRACE_SECONDS))
        self.clock.advance(GRACE_SECONDS + 1)
        now(self.store.reclaim(GRACE_SECONDS))
        while now(self.store.compact(STEP_BYTES)):
            pass

    def states(self) -> dict[ChunkId, ChunkState]:
        """All chunks that are listed."""
        return {held.chunk_id: held.state for held in now(self.store.list(None, CHUNKS_MAX)).chunks}

    def misread(self, chunk_id: ChunkId) -> str | None:
        """What is wrong with what the store gives of a chunk; empty when it is not there."""
        [content] = now(self.store.read_whole([chunk_id], 2 * CHUNK_BYTES_MAX))
        if isinstance(content, ChunkNotFoundError):
            return ""
        if isinstance(content, CorruptionError):
            return "is damaged"
        if isinstance(content, Exception):
            return f"cannot be read: {content!r}"
        return None if content == ALL_CHUNKS[chunk_id].content else "has other bytes"


def copy_directory(source: Path, target: Path) -> None:
    """Make ``target`` hold what ``source`` does."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target)
