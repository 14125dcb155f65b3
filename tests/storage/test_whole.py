"""Whole chunks in the store: many at once, each with an outcome of its own."""

import errno

from tests.storage.bench import MANIFEST, Bench, chunk_id, content_of, result_of
from twisted_store.core.durability import STRICT
from twisted_store.core.ids import ChunkId
from twisted_store.core.whole_chunk import WholeChunk, decode_whole, encode_whole
from twisted_store.errors import (
    ChecksumError,
    ChunkNotFoundError,
    ConflictError,
    NodeFailedError,
    TooLargeError,
)

CHUNKS = [chunk_id(number) for number in range(3)]


def whole(chunk: ChunkId, size_bytes: int = 100) -> WholeChunk:
    """A chunk with its manifest."""
    return decode_whole(encode_whole(chunk, [content_of(size_bytes)], MANIFEST))


def test_what_is_put_can_be_read_in_both_ways(bench: Bench) -> None:
    """Also an empty one."""
    chunks = [
        whole(chunk, size_bytes) for chunk, size_bytes in zip(CHUNKS, (0, 1, 100), strict=True)
    ]
    assert result_of(bench.store.put_whole(chunks, STRICT)) == [None] * 3
    assert result_of(bench.store.read_whole(CHUNKS, 10_000)) == [each.content for each in chunks]
    assert bench.get(CHUNKS[2]) == content_of(100)


def test_what_cannot_be_put_is_told_of_it_alone(bench: Bench) -> None:
    """Twice the same at once is a conflict, and the first of them is stored."""
    again = [whole(CHUNKS[0]), whole(CHUNKS[0]), whole(CHUNKS[1])]
    writer = bench.store.begin(CHUNKS[0], None, STRICT)
    first, second, other = result_of(bench.store.put_whole(again, STRICT))
    assert isinstance(first, ConflictError)
    assert isinstance(second, ConflictError)
    assert other is None
    result_of(writer.abort())


def test_a_disk_that_fails_is_told_of_each(bench: Bench) -> None:
    """And nothing is left of them."""
    bench.disk.failing["write_at"] = OSError(errno.EIO, "Input/output error")
    outcomes = result_of(bench.store.put_whole([whole(chunk) for chunk in CHUNKS], STRICT))
    assert [type(outcome) for outcome in outcomes] == [NodeFailedError] * 3
    assert bench.files() == []


def test_what_cannot_be_read_is_told_of_it_alone(bench: Bench) -> None:
    """Missing, damaged, or more than there is room for."""
    result_of(bench.store.put_whole([whole(CHUNKS[0]), whole(CHUNKS[1])], STRICT))
    damaged = bytearray(bench.file(CHUNKS[0]).read_bytes())
    damaged[70] ^= 1
    bench.file(CHUNKS[0]).write_bytes(damaged)
    first, second, third = result_of(bench.store.read_whole(CHUNKS, 10_000))
    assert isinstance(first, ChecksumError)
    assert second == whole(CHUNKS[1]).content
    assert isinstance(third, ChunkNotFoundError)
    assert bench.store.quarantined == [CHUNKS[0]]


def test_no_more_is_read_than_was_asked_for(bench: Bench) -> None:
    """In all."""
    result_of(bench.store.put_whole([whole(chunk) for chunk in CHUNKS], STRICT))
    room_bytes = 2 * len(whole(CHUNKS[0]).content)
    *found, last = result_of(bench.store.read_whole(CHUNKS, room_bytes))
    assert found == [whole(chunk).content for chunk in CHUNKS[:2]]
    assert isinstance(last, TooLargeError)
