"""Reading a chunk: verified, bounded, and possible until the reader is closed."""

import errno
import os

import pytest
from twisted.internet.defer import CancelledError

from tests.storage.bench import (
    MANIFEST,
    Bench,
    checksums_of,
    chunk_id,
    content_of,
    read_all,
    result_of,
    started,
)
from tests.storage.seams import HeldCalls
from twisted_store.core.checksums import BLOCK_BYTES
from twisted_store.core.chunk_file import HEADER_BYTES
from twisted_store.errors import (
    ChecksumError,
    ChunkNotFoundError,
    CorruptionError,
    FormatError,
    NodeFailedError,
)
from twisted_store.storage.reader import READ_BLOCKS_MAX, WHOLE_FILE_BYTES_MAX

CHUNK = chunk_id(1)
SMALL_BYTES = 2 * BLOCK_BYTES + 100
LARGE_BYTES = 20 * BLOCK_BYTES + 100


@pytest.mark.parametrize("size", [SMALL_BYTES, LARGE_BYTES])
@pytest.mark.parametrize(
    ("first", "blocks"), [(0, 1), (1, 1), (0, 16), (1, 100), (2, 16), (3, 1), (20, 16), (21, 16)]
)
def test_any_blocks_can_be_read_with_their_checksums(
    bench: Bench, size: int, first: int, blocks: int
) -> None:
    """At most 1 MiB at once; what lies behind the end is empty."""
    content = content_of(size)
    bench.put(CHUNK, content)
    reader = result_of(bench.store.open(CHUNK))
    assert (reader.chunk_bytes, reader.manifest_bytes) == (size, MANIFEST)
    buffer, checksums = result_of(reader.read(first, blocks))
    end = first + min(blocks, READ_BLOCKS_MAX)
    assert bytes(buffer) == content[first * BLOCK_BYTES : end * BLOCK_BYTES]
    assert list(checksums) == checksums_of(CHUNK, content)[first:end]
    reader.close()
    assert bench.count("close") == bench.count("open") + bench.count("create")


def test_a_small_chunk_costs_one_thread_call(bench: Bench) -> None:
    """It is opened, read and closed in one."""
    bench.put(CHUNK, content_of(SMALL_BYTES))
    held = bench.run_blocking = HeldCalls()
    bench.restart()
    content = started(bench.store.open(CHUNK))
    held.run_next()
    assert result_of(read_all(result_of(content))) == content_of(SMALL_BYTES)
    assert len(held) == 0
    assert bench.disk.names() == ["open", "read_at", "close"]


def test_a_chunk_is_readable_in_every_state(bench: Bench) -> None:
    """Dead ones until they are reclaimed: a download may be under way."""
    bench.put(CHUNK, b"content")
    assert bench.get(CHUNK) == b"content"
    result_of(bench.store.mark(confirm=[CHUNK]))
    assert bench.get(CHUNK) == b"content"
    result_of(bench.store.mark(dead=[CHUNK]))
    assert bench.get(CHUNK) == b"content"
    bench.clock.advance(11)
    result_of(bench.store.reclaim(10))
    with pytest.raises(ChunkNotFoundError):
        bench.get(CHUNK)


def test_a_chunk_that_is_not_here_is_told(bench: Bench) -> None:
    """Whether its directory is empty or not."""
    bench.put(chunk_id(1, index=2))
    with pytest.raises(ChunkNotFoundError):
        result_of(bench.store.open(CHUNK))


@pytest.mark.parametrize("size", [100, WHOLE_FILE_BYTES_MAX + 1])
def test_damage_anywhere_is_found(bench: Bench, size: int) -> None:
    """A flipped bit in the header, the content, the checksums, the manifest, the tail."""
    bench.put(CHUNK, content_of(size))
    path = bench.file(CHUNK)
    sound = path.read_bytes()
    footer = range(HEADER_BYTES + size, len(sound))
    for position in [*range(HEADER_BYTES + 100), *footer]:
        damaged = bytearray(sound)
        damaged[position] ^= 1
        path.write_bytes(damaged)
        with pytest.raises(CorruptionError):
            bench.get(CHUNK)
    path.write_bytes(sound)
    assert bench.get(CHUNK) == content_of(size)


@pytest.mark.parametrize("size", [100, WHOLE_FILE_BYTES_MAX + 1])
def test_a_truncated_file_is_no_chunk(bench: Bench, size: int) -> None:
    """Whatever is missing."""
    bench.put(CHUNK, content_of(size))
    path = bench.file(CHUNK)
    sound = path.read_bytes()
    length = len(sound)
    for missing in [*range(1, 200), length - 1, length]:
        path.write_bytes(sound[: length - missing])
        with pytest.raises(CorruptionError):
            bench.get(CHUNK)


def test_a_file_that_shrinks_under_a_reader_is_no_short_chunk(bench: Bench) -> None:
    """Nothing is given that was not verified."""
    bench.put(CHUNK, content_of(LARGE_BYTES))
    reader = result_of(bench.store.open(CHUNK))
    os.truncate(bench.file(CHUNK), HEADER_BYTES + BLOCK_BYTES)
    with pytest.raises(FormatError):
        result_of(reader.read(0))
    reader.close()


def test_a_damaged_block_spoils_only_its_own_reads(bench: Bench) -> None:
    """The other blocks of a large chunk stay readable."""
    content = content_of(LARGE_BYTES)
    bench.put(CHUNK, content)
    with bench.file(CHUNK).open("r+b") as file:
        file.seek(HEADER_BYTES + 3 * BLOCK_BYTES)
        file.write(b"damaged")
    reader = result_of(bench.store.open(CHUNK))
    with pytest.raises(ChecksumError, match="Block 3"):
        result_of(reader.read(0))
    buffer, _ = result_of(reader.read(4, 1))
    assert buffer == content[4 * BLOCK_BYTES : 5 * BLOCK_BYTES]
    reader.close()


def test_a_place_that_the_disk_cannot_read_is_damage_to_the_chunk(bench: Bench) -> None:
    """Other errors are those of the node."""
    other = chunk_id(2)
    for chunk in (CHUNK, other):
        bench.put(chunk, content_of(LARGE_BYTES))
    reader = result_of(bench.store.open(CHUNK))
    bench.disk.failing["read_at"] = OSError(errno.EIO, "bad sector")
    for call in (reader.read(0), bench.store.open(other)):
        with pytest.raises(CorruptionError):
            result_of(call)
    bench.disk.failing["read_at"] = OSError(errno.ENOMEM, "no memory")
    with pytest.raises(NodeFailedError):
        result_of(reader.read(0))
    reader.close()
    assert bench.count("close") == bench.count("open") + bench.count("create")


def test_a_reader_outlives_the_reclaim(bench: Bench) -> None:
    """Its chunk dies and is removed while it reads."""
    content = content_of(LARGE_BYTES)
    bench.put(CHUNK, content)
    reader = result_of(bench.store.open(CHUNK))
    result_of(bench.store.mark(confirm=[CHUNK]))
    result_of(bench.store.mark(dead=[CHUNK]))
    bench.clock.advance(11)
    assert result_of(bench.store.reclaim(10)) > LARGE_BYTES
    assert bench.files() == []
    assert result_of(read_all(reader)) == content


def test_the_file_is_closed_after_the_read_under_way(bench: Bench) -> None:
    """A download that ends in the middle does not pull the file from under its thread."""
    bench.put(CHUNK, content_of(LARGE_BYTES))
    held = bench.run_blocking = HeldCalls()
    bench.restart()
    opened = started(bench.store.open(CHUNK))
    held.run_all()
    reader = result_of(opened)
    read = started(reader.read(0))
    read.addErrback(lambda failure: failure.trap(CancelledError)).cancel()
    reader.close()
    reader.close()
    assert len(held) == 1
    held.run_next()
    assert bench.count("close") == 0
    held.run_all()
    assert bench.count("close") == 1


def test_an_open_that_nobody_waits_for_leaves_no_open_file(bench: Bench) -> None:
    """The client left before the file was there."""
    bench.put(CHUNK, content_of(LARGE_BYTES))
    held = bench.run_blocking = HeldCalls()
    bench.restart()
    opened = started(bench.store.open(CHUNK))
    opened.addErrback(lambda failure: failure.trap(CancelledError)).cancel()
    held.run_all()
    assert bench.disk.names()[-1] == "close"


def test_reads_are_counted(bench: Bench) -> None:
    """For the metrics."""
    bench.put(CHUNK, content_of(LARGE_BYTES))
    bench.put(chunk_id(2), content_of(SMALL_BYTES))
    for chunk in (CHUNK, chunk_id(2)):
        bench.get(chunk)
    counters = bench.store.counters
    assert (counters.chunks_written, counters.bytes_written) == (2, LARGE_BYTES + SMALL_BYTES)
    assert (counters.chunks_opened, counters.bytes_read) == (2, LARGE_BYTES + SMALL_BYTES)
