"""Writing a chunk: gathered, bounded, synced, by one at a time."""

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred

from tests.storage.bench import (
    MANIFEST,
    Bench,
    append,
    checksums_of,
    chunk_id,
    content_of,
    result_of,
    started,
    write,
)
from tests.storage.seams import HeldCalls
from twisted_store.core.checksums import BLOCK_BYTES
from twisted_store.core.durability import NONE, STRICT, Durability, DurabilityMode
from twisted_store.errors import ConflictError, FormatError
from twisted_store.storage.writer import GATHERED_BYTES_MAX, WRITE_BYTES_MIN

CHUNK = chunk_id(1)
RELAXED = Durability(DurabilityMode.RELAXED, 1)
MIB = 1024 * 1024

sizes = st.one_of(
    st.integers(0, 2 * MIB),
    st.builds(
        lambda blocks, more: max(blocks * BLOCK_BYTES + more, 0),
        st.integers(0, 20),
        st.sampled_from([-1, 0, 1]),
    ),
)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(size=sizes)
@example(size=0)
@example(size=2 * MIB + 1)
def test_what_is_written_is_read(bench: Bench, size: int) -> None:
    """Small chunks in one piece, larger ones piece by piece; writing again replaces."""
    content = content_of(size)
    stored = bench.put(CHUNK, content)
    assert stored.chunk_bytes == size
    assert bench.file(CHUNK).stat().st_size == stored.file_bytes == bench.store.used_bytes
    assert bench.get(CHUNK) == content
    assert bench.files() == [f"{CHUNK}.provisional"]


def test_strict_syncs_the_file_before_its_name_and_the_name_before_the_end(bench: Bench) -> None:
    """A small chunk: one write, and the order that a power loss asks for."""
    bench.put(CHUNK, durability=STRICT)
    shard = CHUNK.object_id[-2:]
    assert bench.disk.calls == [
        ("create", f"{CHUNK}.incoming"),
        ("write_at", f"{CHUNK}.incoming"),
        ("sync", f"{CHUNK}.incoming"),
        ("close", f"{CHUNK}.incoming"),
        ("rename", f"{CHUNK}.provisional"),
        ("sync_directory", shard),
    ]


@pytest.mark.parametrize("durability", [RELAXED, NONE])
def test_other_durabilities_do_not_wait_for_syncs(bench: Bench, durability: Durability) -> None:
    """Relaxed syncs later, none never."""
    bench.put(CHUNK, durability=durability)
    assert not {"sync", "sync_directory"} & set(bench.disk.names())
    result_of(bench.store.stop())


def test_bytes_are_gathered_while_a_write_is_under_way(bench: Bench) -> None:
    """Few calls, whatever the pieces: at least `WRITE_BYTES_MIN` each, and all of them at once."""
    held = bench.run_blocking = HeldCalls()
    bench.restart()
    content = content_of(2 * WRITE_BYTES_MIN + BLOCK_BYTES)
    writer = bench.store.begin(CHUNK, None, STRICT)
    checksums = checksums_of(CHUNK, content)
    for block, checksum in enumerate(checksums):
        buffer = content[block * BLOCK_BYTES : (block + 1) * BLOCK_BYTES]
        result_of(writer.append([buffer], [checksum]))
        assert len(held) == ((block + 1) * BLOCK_BYTES >= WRITE_BYTES_MIN)
    held.run_next()
    assert (bench.count("write_at"), len(held)) == (1, 1)
    held.run_next()
    assert (bench.count("write_at"), len(held)) == (2, 0)
    finished = started(writer.finish(MANIFEST))
    held.run_all()
    assert result_of(finished).chunk_bytes == len(content)


def test_append_waits_for_the_disk(bench: Bench) -> None:
    """A slow disk slows its sender instead of filling memory."""
    held = bench.run_blocking = HeldCalls()
    bench.restart()
    content = content_of(4 * MIB)
    writer = bench.store.begin(CHUNK, None, STRICT)
    appended = started(append(writer, CHUNK, content))
    waits = 0
    while not appended.called:
        assert len(held) == 1
        held.run_next()
        waits += 1
    assert waits >= 2
    written_bytes = bench.file(CHUNK).stat().st_size
    assert len(content) - written_bytes < 2 * GATHERED_BYTES_MAX
    finished = started(writer.finish(MANIFEST))
    held.run_all()
    result_of(finished)
    reading = started(bench.store.open(CHUNK))
    held.run_all()
    assert result_of(reading).chunk_bytes == len(content)
    result_of(reading).close()
    held.run_all()


@pytest.mark.parametrize(
    "pieces",
    [
        [(BLOCK_BYTES, 2)],
        [(BLOCK_BYTES + 1, 1)],
        [(100, 1), (100, 1)],
    ],
)
def test_blocks_must_be_whole_and_have_checksums(
    bench: Bench, pieces: list[tuple[int, int]]
) -> None:
    """What would not be readable is refused when it comes."""
    writer = bench.store.begin(CHUNK, None, STRICT)
    *sound, broken = pieces
    for size_bytes, checksums in sound:
        result_of(writer.append([bytes(size_bytes)], [0] * checksums))
    with pytest.raises(FormatError):
        result_of(writer.append([bytes(broken[0])], [0] * broken[1]))
    result_of(writer.abort())


def test_a_finish_once_begun_runs_to_its_end(bench: Bench) -> None:
    """Whether the request that began it stays or not."""
    held = bench.run_blocking = HeldCalls()
    bench.restart()
    writer = bench.store.begin(CHUNK, None, STRICT)
    finished = started(write(writer, CHUNK, b"content"))
    finished.addErrback(lambda failure: failure.trap(CancelledError)).cancel()
    aborted = started(writer.abort())
    held.run_all()
    result_of(aborted)
    assert bench.files() == [f"{CHUNK}.provisional"]
    assert bench.count("sync_directory") == 1


def test_a_chunk_has_one_writer_at_a_time(bench: Bench) -> None:
    """A second request for the same chunk is refused while the first one goes on."""
    writer = bench.store.begin(CHUNK, None, STRICT)
    with pytest.raises(ConflictError):
        bench.store.begin(CHUNK, None, STRICT)
    result_of(write(writer, CHUNK, b"content"))
    bench.put(CHUNK, b"again")
    assert bench.get(CHUNK) == b"again"


def test_a_confirmed_chunk_is_never_replaced(bench: Bench) -> None:
    """Its object is committed: a late upload of the same id is refused and leaves nothing."""
    bench.put(CHUNK, b"committed")
    result_of(bench.store.mark(confirm=[CHUNK]))
    used_bytes = bench.store.used_bytes
    with pytest.raises(ConflictError):
        bench.put(CHUNK, b"another")
    assert bench.files() == [f"{CHUNK}.confirmed"]
    assert (bench.get(CHUNK), bench.store.used_bytes) == (b"committed", used_bytes)


def test_a_dead_chunk_may_be_written_again(bench: Bench) -> None:
    """The id begins a new life; nothing of the old one stays."""
    bench.put(CHUNK, b"old content")
    result_of(bench.store.mark(dead=[CHUNK]))
    stored = bench.put(CHUNK, b"new")
    assert bench.files() == [f"{CHUNK}.provisional"]
    assert bench.store.used_bytes == stored.file_bytes
    bench.clock.advance(1000)
    assert result_of(bench.store.reclaim(1)) == 0
    assert bench.get(CHUNK) == b"new"


def test_concurrent_writes_share_directory_syncs(bench: Bench) -> None:
    """Chunks that come together wait for each other's calls, and then go with the next one."""
    held = bench.run_blocking = HeldCalls()
    bench.restart()
    chunks = [chunk_id(number * 256) for number in range(5)]
    writes: list[Deferred[object]] = [
        started(write(bench.store.begin(chunk, None, STRICT), chunk, b"content"))
        for chunk in chunks
    ]
    held.run_all()
    assert all(result_of(finished) for finished in writes)
    assert bench.count("sync") == len(chunks)
    assert bench.count("sync_directory") < len(chunks)
