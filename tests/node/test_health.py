"""Health: what a node says of its disk, and how one that failed is trusted again."""

import errno
from collections.abc import Callable
from pathlib import Path

import pytest
from twisted.python.failure import Failure

from tests.node.bench import CHUNK, INSTANCE, NodeBench, framed, path
from tests.storage.seams import HeldCalls
from twisted_store import __version__
from twisted_store.core.chunk_file import HEADER_BYTES
from twisted_store.core.ids import ChunkId
from twisted_store.core.membership import DISK_CALL_SECONDS_MAX
from twisted_store.errors import ChecksumError
from twisted_store.node.health import CHECK_SECONDS
from twisted_store.storage.disk import DiskSpace

BROKEN = OSError(errno.EIO, "Input/output error")


def ready(bench: NodeBench) -> tuple[int, list[str]]:
    """The status of the readiness and the codes of its reasons."""
    answer = bench.call("GET", "/health/ready")
    assert answer.json()["ready"] is (answer.status == 200)
    return answer.status, [reason["code"] for reason in answer.json()["reasons"]]


def test_a_node_that_is_well_is_ready_and_says_who_it_is(bench: NodeBench) -> None:
    """The api makes sure that it reached the node it meant, and this life of it."""
    answer = bench.call("GET", "/health/ready")
    assert answer.status == 200
    assert answer.json() == {
        "ready": True,
        "reasons": [],
        "node_id": bench.identity.node_id,
        "instance": INSTANCE,
    }


def test_a_node_is_live_whatever_its_disk_does(bench: NodeBench) -> None:
    """A supervisor would gain nothing by starting it again."""
    bench.disk.failing["create"] = BROKEN
    bench.call("PUT", path(), body=framed(b"bytes"))
    answer = bench.call("GET", "/health/live")
    assert (answer.status, answer.json()) == (200, {"live": True, "version": __version__})


@pytest.mark.parametrize("call", ["create", "write_at", "sync", "rename", "sync_directory"])
def test_a_disk_that_failed_is_tried_until_it_works(bench: NodeBench, call: str) -> None:
    """No chunks come to a node that is suspect, so nothing else would tell."""
    bench.disk.failing[call] = BROKEN
    assert bench.call("PUT", path(), body=framed(b"bytes")).status == 503
    assert bench.run(bench.health.check()) == CHECK_SECONDS
    assert ready(bench) == (503, ["disk_read_only"])
    bench.disk.failing.clear()
    bench.run(bench.health.check())
    assert ready(bench) == (200, [])
    assert bench.states() == {}


def test_a_disk_that_is_well_is_not_tried(bench: NodeBench) -> None:
    """The trial costs writes."""
    bench.hold(b"bytes")
    calls = len(bench.disk.calls)
    bench.run(bench.health.check())
    assert len(bench.disk.calls) == calls


def test_a_disk_call_that_hangs_is_told(tmp_path: Path) -> None:
    """By a process that does not hang with it."""
    calls = HeldCalls()
    bench = NodeBench(tmp_path, run_blocking=calls)
    body = framed(b"bytes")
    bench.connect().send(
        f"PUT {path()} HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
    )
    assert ready(bench) == (200, [])
    bench.clock.advance(DISK_CALL_SECONDS_MAX + 1)
    assert ready(bench) == (503, ["disk_stalled"])
    calls.run_all()
    assert ready(bench) == (200, [])
    assert bench.states() == {str(CHUNK): "provisional"}


def test_a_full_node_says_so_and_goes_on_serving(bench: NodeBench) -> None:
    """Its chunks are as good as ever."""
    bench.hold(b"bytes")
    bench.disk.space_bytes = DiskSpace(free_bytes=0, total_bytes=10**12)
    bench.run(bench.health.check())
    assert ready(bench) == (200, ["full"])
    assert bench.call("GET", path()).body == b"bytes"


@pytest.mark.parametrize(("count", "words"), [(1, "1 damaged chunk is"), (2, "2 damaged chunks")])
def test_damaged_chunks_are_told_of_while_they_are_set_aside(
    bench: NodeBench, expected_failures: Callable[..., list[Failure]], count: int, words: str
) -> None:
    """The node serves on; the damage may be the first sign of a disk that ends."""
    chunks = [ChunkId(CHUNK.object_id, index) for index in range(count)]
    for chunk in chunks:
        bench.hold(b"bytes", chunk)
        damaged = bytearray(bench.file(chunk).read_bytes())
        damaged[HEADER_BYTES] ^= 1
        bench.file(chunk).write_bytes(damaged)
        assert bench.call("GET", path(chunk)).status == 500
        assert bench.call("GET", path(chunk)).status == 404
    assert expected_failures(ChecksumError)
    assert ready(bench) == (200, ["quarantined"])
    [reason] = bench.call("GET", "/health/ready").json()["reasons"]
    assert reason["message"].startswith(words)
    bench.run(bench.store.mark(dead=chunks))
    assert ready(bench) == (200, [])


def test_a_disk_that_failed_and_is_full_cannot_be_tried(bench: NodeBench) -> None:
    """It is not trusted before there is room for a trial."""
    bench.disk.failing["sync"] = BROKEN
    bench.call("PUT", path(), body=framed(b"bytes"))
    bench.disk.failing.clear()
    bench.disk.space_bytes = DiskSpace(free_bytes=0, total_bytes=10**12)
    bench.run(bench.health.check())
    assert ready(bench) == (503, ["disk_read_only", "full"])
