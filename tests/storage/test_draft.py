"""A chunk that does not come to be leaves no file, no promise of space, no claim to its id."""

import errno

import pytest
from twisted.internet.defer import CancelledError

from tests.storage.bench import (
    MANIFEST,
    Bench,
    append,
    chunk_id,
    content_of,
    result_of,
    started,
    write,
)
from tests.storage.seams import HeldCalls
from twisted_store.core.durability import STRICT
from twisted_store.core.frames import MANIFEST_BYTES_MAX
from twisted_store.errors import (
    ConflictError,
    FormatError,
    NodeFailedError,
    NoSpaceError,
    StoreError,
)
from twisted_store.storage.writer import WRITE_BYTES_MIN

CHUNK = chunk_id(1)
FAILED_AT_THE_LAST_CALL = [f"{CHUNK}.provisional", f"{chunk_id(2)}.provisional"]
"""The name was not synced, and a broken disk does not take it back: left for the api to drop."""
MIB = 1024 * 1024


@pytest.mark.parametrize("size", [0, 100, MIB])
def test_an_aborted_upload_leaves_nothing(bench: Bench, size: int) -> None:
    """Neither a file, nor a promise of space, nor the claim to the id."""
    writer = bench.store.begin(CHUNK, 5 * MIB, STRICT)
    result_of(append(writer, CHUNK, content_of(size)))
    result_of(writer.abort())
    result_of(writer.abort())
    assert (bench.files(), bench.store.used_bytes) == ([], 0)
    bench.put(CHUNK)


def test_an_abort_waits_for_the_write_under_way(bench: Bench) -> None:
    """The file belongs to the thread until its call has returned."""
    held = bench.run_blocking = HeldCalls()
    bench.restart()
    writer = bench.store.begin(CHUNK, None, STRICT)
    appended = started(append(writer, CHUNK, content_of(3 * MIB)))
    appended.cancel()
    with pytest.raises(CancelledError):
        result_of(appended)
    aborted = started(writer.abort())
    with pytest.raises(ConflictError):
        bench.store.begin(CHUNK, None, STRICT)
    assert bench.disk.calls == []
    held.run_next()
    assert bench.disk.names() == ["create", "write_at"]
    aborted.addCallback(lambda _: bench.disk.calls.append(("aborted", "")))
    held.run_all()
    assert bench.disk.names()[2:] == ["close", "remove", "aborted"]
    assert (bench.files(), bench.store.used_bytes) == ([], 0)


def test_an_abort_that_nobody_waits_for_is_completed(bench: Bench) -> None:
    """The request is gone, its file goes too."""
    held = bench.run_blocking = HeldCalls()
    bench.restart()
    writer = bench.store.begin(CHUNK, None, STRICT)
    result_of(append(writer, CHUNK, content_of(WRITE_BYTES_MIN)))
    held.run_all()
    aborted = started(writer.abort())
    aborted.addErrback(lambda failure: failure.trap(CancelledError)).cancel()
    held.run_all()
    assert bench.files() == []


def test_a_manifest_too_large_leaves_nothing(bench: Bench) -> None:
    """Refused, and no half chunk stays."""
    writer = bench.store.begin(CHUNK, None, STRICT)
    result_of(append(writer, CHUNK, content_of(MIB)))
    with pytest.raises(FormatError):
        result_of(writer.finish(bytes(MANIFEST_BYTES_MAX + 1)))
    assert (bench.files(), bench.store.used_bytes) == ([], 0)


@pytest.mark.parametrize("size", [100, MIB])
@pytest.mark.parametrize(
    ("number", "expected"), [(errno.ENOSPC, NoSpaceError), (errno.EIO, NodeFailedError)]
)
def test_whichever_call_fails_nothing_is_acknowledged_or_left(
    bench: Bench, size: int, number: int, expected: type[StoreError]
) -> None:
    """The disk breaks at its n-th call, for every n that a write has, and is repaired after it."""
    bench.put(chunk_id(2), content_of(size))
    calls = len(bench.disk.calls)
    for failing in range(calls):
        bench.disk.calls.clear()
        bench.disk.failing_at = failing, OSError(number, "broken")
        with pytest.raises(expected):
            bench.put(CHUNK, content_of(size))
        bench.disk.failing_at = None
        bench.restart()
        assert bench.files() in ([f"{chunk_id(2)}.provisional"], FAILED_AT_THE_LAST_CALL)
        if bench.files() == FAILED_AT_THE_LAST_CALL:
            result_of(bench.store.discard(CHUNK))
    bench.put(CHUNK, content_of(size))
    result_of(bench.store.stop())


@pytest.mark.parametrize("call", ["create", "write_at", "sync", "rename", "sync_directory"])
@pytest.mark.parametrize("size", [100, MIB])
def test_one_failed_call_leaves_no_trace(bench: Bench, call: str, size: int) -> None:
    """The disk breaks only there: file, space and claim are given back without a restart."""
    free_bytes = bench.store.free_bytes
    bench.disk.failing[call] = OSError(errno.ENOSPC, "broken")
    writer = bench.store.begin(CHUNK, size, STRICT)
    with pytest.raises(NoSpaceError):
        result_of(write(writer, CHUNK, content_of(size)))
    result_of(writer.abort())
    assert (bench.files(), bench.store.used_bytes) == ([], 0)
    assert bench.store.free_bytes == free_bytes
    assert (bench.store.problem == "") == (not call.startswith("sync"))
    bench.disk.failing.clear()
    bench.put(CHUNK, content_of(size))
    assert not bench.store.problem


def test_a_failed_write_is_raised_by_every_later_call(bench: Bench) -> None:
    """It happened behind the back of `append`; the next one tells."""
    held = bench.run_blocking = HeldCalls()
    bench.restart()
    bench.disk.failing["write_at"] = OSError(errno.ENOSPC, "broken")
    writer = bench.store.begin(CHUNK, None, STRICT)
    result_of(append(writer, CHUNK, content_of(WRITE_BYTES_MIN)))
    held.run_all()
    for call in (append(writer, CHUNK, b"more"), writer.finish(MANIFEST)):
        with pytest.raises(NoSpaceError):
            result_of(call)
    assert bench.files() == []
