"""A node's data directory full of needles, made by the node's engine itself, without a network."""

import os
from collections.abc import Callable, Coroutine, Iterator, Sequence
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from random import Random
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import Clock

from benchmarks.content import pieces
from twisted_store.core.checksums import BLOCK_BYTES
from twisted_store.core.durability import Durability, DurabilityMode
from twisted_store.core.ids import SALT_BITS, ChunkId, object_id
from twisted_store.core.manifest import Manifest
from twisted_store.core.scheme import Scheme
from twisted_store.core.whole_chunk import WholeChunk, decode_whole, encode_whole
from twisted_store.database import open_sqlite
from twisted_store.storage.disk import OsDisk
from twisted_store.storage.identity import NodeIdentity
from twisted_store.storage.limits import StoreLimits
from twisted_store.storage.needles import WRITE_INDEX_SECONDS
from twisted_store.storage.store import ChunkStore

T = TypeVar("T")

CHUNK_BYTES = 820
"""The chunks of a file of 4 KiB are that long, about."""

BATCH_CHUNKS = 5000
NEVER = Durability(DurabilityMode.NONE)

_SALT_FACTOR = 0x5DEECE66D


def chunk_of(number: int) -> ChunkId:
    """The id of the ``number``-th chunk: as the api makes them, the salt scattered."""
    salt = (number + 1) * _SALT_FACTOR % 2**SALT_BITS
    return ChunkId(object_id(1, number + 1, int(f"{salt:048b}"[::-1], 2)), 0)


def bytes_of(number: int) -> bytes:
    """The bytes of the ``number``-th chunk."""
    return b"".join(pieces(number, CHUNK_BYTES))


def fill(root: Path, first: int, end: int, *, cleanly: bool = True) -> None:
    """
    Add confirmed chunks ``first`` up to ``end`` in another process.

    It ends in order; or, not ``cleanly``, as if it was killed, before its index tells of them.
    """
    process = get_context("spawn").Process(target=_fill, args=(root, first, end, cleanly))
    process.start()
    process.join()
    if process.exitcode:
        raise SystemExit(f"filling {root} ended with status {process.exitcode}")


def _fill(root: Path, first: int, end: int, cleanly: bool) -> None:
    disk, clock = OsDisk(), Clock()
    identity = NodeIdentity(disk, str(root), Random(), _run_inline, clock.seconds)
    store = ChunkStore(
        disk,
        str(root),
        _run_inline,
        open_sqlite,
        clock,
        clock.seconds,
        Random(),
        StoreLimits(),
    )
    numbers = iter(range(first, end))
    while some := list(islice(numbers, BATCH_CHUNKS)):
        _put(store, list(_chunks(some)))
        if cleanly:
            clock.advance(WRITE_INDEX_SECONDS)
    if not cleanly:
        os._exit(0)
    _done(store.stop())
    _done(identity.close())


def _put(store: ChunkStore, chunks: Sequence[WholeChunk]) -> None:
    for error in _done(store.put_whole(chunks, NEVER)):
        if error is not None:
            raise error
    missing = _done(store.mark(confirm=[chunk.chunk_id for chunk in chunks], durability=NEVER))
    assert not missing.confirm, "what was put can be confirmed"


def _chunks(numbers: Sequence[int]) -> Iterator[WholeChunk]:
    for number in numbers:
        chunk_id = chunk_of(number)
        content = encode_whole(chunk_id, [bytes_of(number)], _manifest(chunk_id, number).encoded)
        yield decode_whole(content, chunk_id)


def _manifest(chunk_id: ChunkId, number: int) -> Manifest:
    return Manifest(
        object_id=chunk_id.object_id,
        name=f"photos/2026/small-{number}.jpg",
        size_bytes=5 * CHUNK_BYTES,
        unit_bytes=BLOCK_BYTES,
        scheme=Scheme.PLAIN,
        etag=f"{number:064x}",
        created_us=1_790_000_000_000_000 + number,
        content_type="image/jpeg",
        headers=(),
    )


def _run_inline(call: Callable[[], T], /) -> "Deferred[T]":
    return maybeDeferred(call)


def _done(call: Coroutine["Deferred[Any]", Any, T]) -> T:
    """What a call gives whose disk calls run inline, so that it never waits."""
    results: list[T] = []
    Deferred.fromCoroutine(call).addCallback(results.append)
    [result] = results
    return result
