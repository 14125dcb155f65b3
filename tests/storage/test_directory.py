"""The directory of chunks: what a restart finds in it, and how it is listed."""

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from twisted.python.failure import Failure

from tests.storage.bench import MADE_SHARDS, Bench, append, chunk_id, content_of, result_of
from twisted_store.core.checksums import BLOCK_BYTES
from twisted_store.core.durability import NONE, STRICT
from twisted_store.core.ids import ChunkId
from twisted_store.core.peer import Missing
from twisted_store.errors import NodeFailedError, StartupError
from twisted_store.storage.directory import ChunkState, HeldChunk
from twisted_store.storage.reader import READ_BLOCKS_MAX
from twisted_store.storage.writer import WRITE_BYTES_MIN

CHUNK, OTHER = chunk_id(1), chunk_id(2)
BLOCKS_TO_HOLD = 2 * READ_BLOCKS_MAX
"""More than are read at once."""


def test_states_survive_a_restart_and_drafts_do_not(bench: Bench) -> None:
    """The directory is the truth; ages are counted again."""
    chunks = [chunk_id(number) for number in range(4)]
    for chunk in chunks:
        bench.put(chunk, content_of(BLOCK_BYTES + 1))
    result_of(bench.store.mark(confirm=chunks[:2], dead=chunks[1:2]))
    draft = bench.store.begin(chunk_id(9), None, STRICT)
    result_of(append(draft, chunk_id(9), content_of(WRITE_BYTES_MIN)))
    bench.clock.advance(100)
    bench.restart()
    assert bench.files() == [
        f"{chunks[0]}.confirmed",
        f"{chunks[1]}.dead",
        f"{chunks[2]}.provisional",
        f"{chunks[3]}.provisional",
    ]
    for chunk in chunks:
        assert bench.get(chunk) == content_of(BLOCK_BYTES + 1)
    assert bench.store.provisional_older_than(0) == []
    bench.clock.advance(1)
    assert sorted(bench.store.provisional_older_than(0)) == chunks[2:]


def test_a_shard_is_made_and_synced_before_its_first_chunk(bench: Bench) -> None:
    """Else a power loss could take the directory of a chunk that is acknowledged."""
    for chunk in (chunk_id(MADE_SHARDS), chunk_id(MADE_SHARDS, index=1)):
        bench.put(chunk)
    assert bench.disk.calls[:3] == [
        ("make_directory", f"{MADE_SHARDS:02x}"),
        ("sync_directory", "chunks"),
        ("create", f"{chunk_id(MADE_SHARDS)}.incoming"),
    ]
    assert bench.count("make_directory") == 1


def test_a_shard_that_is_not_synced_takes_no_chunk(bench: Bench) -> None:
    """Neither the first one that needs it nor the next."""
    bench.disk.failing["sync_directory"] = OSError(errno.EIO, "broken")
    for chunk in (chunk_id(MADE_SHARDS), chunk_id(MADE_SHARDS, index=1)):
        with pytest.raises(NodeFailedError):
            bench.put(chunk, durability=NONE)
    bench.disk.failing.clear()
    bench.put(chunk_id(MADE_SHARDS))


def test_marks_of_chunks_in_a_shard_never_made_find_nothing(bench: Bench) -> None:
    """Nothing to rename, nothing to sync."""
    absent = chunk_id(MADE_SHARDS)
    missing = result_of(bench.store.mark(confirm=[absent], dead=[absent]))
    assert missing == Missing((absent,), (absent,))
    assert result_of(bench.store.list(absent, 1)).chunks == ()


def test_a_torn_provisional_chunk_is_removed_at_start(bench: Bench) -> None:
    """A power loss took part of it, the end or any sector: confirming it would be a lie."""
    short, holed = chunk_id(1), chunk_id(3)
    for chunk in (short, holed, OTHER):
        bench.put(chunk, content_of(BLOCKS_TO_HOLD * BLOCK_BYTES))
    path = bench.file(short)
    path.write_bytes(path.read_bytes()[:-1])
    with bench.file(holed).open("r+b") as file:
        file.seek(-2 * BLOCK_BYTES, os.SEEK_END)
        file.write(bytes(512))
    bench.restart()
    assert bench.files() == [f"{OTHER}.provisional"]
    missing = result_of(bench.store.mark(confirm=[short, holed, OTHER]))
    assert missing == Missing((short, holed), ())


def test_an_unreadable_provisional_chunk_is_kept_at_start(
    bench: Bench, expected_failures: Callable[..., list[Failure]]
) -> None:
    """The disk may come to itself."""
    bench.put(CHUNK)
    bench.disk.failing["read_at"] = OSError(errno.EIO, "bad sector")
    bench.restart()
    assert expected_failures(OSError)
    bench.disk.failing.clear()
    assert bench.get(CHUNK) == b"content"


def test_foreign_files_are_left_alone(bench: Bench) -> None:
    """Neither removed nor listed nor counted."""
    shard = bench.root / "chunks" / "00"
    foreign = ["README", "x.confirmed", f"{CHUNK}.unknown", f"{CHUNK}.confirmed.bak"]
    for name in foreign:
        (shard / name).write_text("foreign")
    bench.restart()
    assert bench.store.used_bytes == 0
    assert result_of(bench.store.list(None, 10)).chunks == ()
    assert bench.files() == sorted(foreign)


def test_pages_list_every_chunk_once_and_in_order(bench: Bench) -> None:
    """By shard and id, whatever the size of the pages; drafts are none."""
    numbers = [3, 1, 257, 2, 258, 513, 255, 0]
    chunks = [chunk_id(number, index) for number in numbers for index in (0, 3)]
    for chunk in chunks:
        bench.put(chunk)
    result_of(bench.store.mark(confirm=chunks[:9], dead=chunks[4:6]))
    draft = bench.store.begin(chunk_id(99), None, STRICT)
    result_of(append(draft, chunk_id(99), content_of(WRITE_BYTES_MIN)))
    for limit in (1, 2, 3, 5, 15, 16, 17):
        listed: list[HeldChunk] = []
        after: ChunkId | None = None
        while True:
            page = result_of(bench.store.list(after, limit))
            assert len(page.chunks) <= limit
            listed += page.chunks
            if page.next_after is None:
                break
            after = page.next_after
        assert [each.chunk_id for each in listed] == sorted(chunks, key=by_shard)
        assert sum(each.file_bytes for each in listed) < bench.store.used_bytes
        states = {each.chunk_id: each.state for each in listed}
        assert states[chunks[0]] is ChunkState.CONFIRMED
        assert states[chunks[4]] is ChunkState.DEAD
        assert states[chunks[-1]] is ChunkState.PROVISIONAL


def by_shard(chunk: ChunkId) -> tuple[str, str]:
    """The order of a listing."""
    return chunk.object_id[-2:], str(chunk)


def test_a_listing_goes_on_behind_a_chunk_that_is_gone(bench: Bench) -> None:
    """A cursor is a place, not a chunk."""
    chunks = sorted((chunk_id(number) for number in range(0, 5 * 256, 256)), key=by_shard)
    for chunk in chunks:
        bench.put(chunk)
    page = result_of(bench.store.list(None, 2))
    result_of(bench.store.discard(chunks[1]))
    assert page.next_after == chunks[1]
    page = result_of(bench.store.list(page.next_after, 10))
    assert [each.chunk_id for each in page.chunks] == chunks[2:]


def test_a_directory_of_somebody_else_is_refused(tmp_path: Path) -> None:
    """No chunk is ever put among foreign files."""
    bench = Bench(tmp_path / "node")
    (tmp_path / "node" / "node.json").unlink()
    with pytest.raises(StartupError, match="not a node's"):
        bench.restart()
    shutil.rmtree(tmp_path / "node")
    with pytest.raises(StartupError):
        bench.restart()


def test_a_directory_that_cannot_be_read_is_a_reason_not_to_start(bench: Bench) -> None:
    """The operator reads why."""
    bench.disk.failing["sync_directory"] = OSError(errno.EROFS, "read-only file system")
    with pytest.raises(StartupError, match="read-only"):
        bench.restart()
