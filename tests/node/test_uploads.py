"""A PUT leaves a whole chunk or nothing, whatever goes wrong on the way."""

import errno
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.node.bench import (
    CHUNK,
    MANIFEST,
    NodeBench,
    blocks_frames,
    content,
    framed,
    manifest_of,
    path,
)
from tests.storage.seams import HeldCalls
from tests.web.wire import head
from twisted_store.core.checksums import BLOCK_BYTES
from twisted_store.core.frames import FRAME_BYTES, manifest_frame
from twisted_store.core.ids import ChunkId, object_id
from twisted_store.storage.disk import DiskSpace

OTHER = ChunkId(object_id(9, 9, 9), 4)
SIZES = [0, 1, BLOCK_BYTES, BLOCK_BYTES + 1, FRAME_BYTES, 3 * FRAME_BYTES + 7]


def assert_nothing_is_left(bench: NodeBench) -> None:
    """No file, no room taken, and the same chunk can come again."""
    assert bench.states() == {}
    assert bench.store.used_bytes == 0
    bench.hold(b"once more")


@pytest.mark.parametrize("size_bytes", SIZES)
def test_a_chunk_is_stored_provisionally_and_the_answer_says_what_is_used(
    bench: NodeBench, size_bytes: int
) -> None:
    """With a known length, as a node gets most of them."""
    answer = bench.call("PUT", path(), body=framed(content(size_bytes)))
    assert answer.status == 201
    assert answer.json() == {"bytes": size_bytes, "used_bytes": bench.store.used_bytes}
    assert bench.states() == {str(CHUNK): "provisional"}


def test_a_chunk_may_come_in_chunked_coding(bench: NodeBench) -> None:
    """The api does not know the length of every upload."""
    body = framed(content(100))
    client = bench.connect()
    client.send(head(f"PUT {path()}", "Transfer-Encoding: chunked"))
    for start in range(0, len(body), 50):
        piece = body[start : start + 50]
        client.send(b"%x\r\n%b\r\n" % (len(piece), piece))
    client.send(b"0\r\n\r\n")
    assert client.answer().json()["bytes"] == 100


@pytest.mark.parametrize(("asked", "synced"), [("strict", True), ("none", False)])
def test_the_durability_is_that_of_the_call(bench: NodeBench, asked: str, synced: bool) -> None:
    """It comes with each write."""
    bench.call("PUT", path(), f"X-Durability: {asked}", body=framed(b"bytes"))
    assert (("sync", f"{CHUNK}.incoming") in bench.disk.calls) is synced


def test_without_a_durability_the_strict_one_holds(bench: NodeBench) -> None:
    """Whoever says nothing loses nothing."""
    bench.hold(b"bytes")
    assert ("sync", f"{CHUNK}.incoming") in bench.disk.calls


@settings(max_examples=12)
@given(data=st.data())
def test_a_body_that_is_cut_anywhere_leaves_nothing(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The request is whole, its frames are not."""
    bench = NodeBench(tmp_path_factory.mktemp("node"))
    body = framed(content(data.draw(st.sampled_from(SIZES))))
    cut = data.draw(st.integers(0, len(body) - 1))
    answer = bench.call("PUT", path(), body=body[:cut])
    assert (answer.status, answer.json()["error"]) == (400, "incomplete_body")
    assert_nothing_is_left(bench)


@settings(max_examples=12)
@given(data=st.data())
def test_a_body_that_is_damaged_anywhere_leaves_nothing(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """One byte is other than it was sent."""
    bench = NodeBench(tmp_path_factory.mktemp("node"))
    body = bytearray(framed(content(data.draw(st.sampled_from([0, 1, BLOCK_BYTES + 1])))))
    body[data.draw(st.integers(0, len(body) - 1))] ^= data.draw(st.integers(1, 255))
    assert bench.call("PUT", path(), body=bytes(body)).status == 400
    assert_nothing_is_left(bench)


@settings(max_examples=12)
@given(data=st.data())
def test_a_client_that_leaves_anywhere_leaves_nothing(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Also when the disk is busy with what came before."""
    calls = HeldCalls()
    bench = NodeBench(tmp_path_factory.mktemp("node"), run_blocking=calls)
    body = framed(content(data.draw(st.sampled_from(SIZES))))
    client = bench.connect()
    client.send(head(f"PUT {path()}", f"Content-Length: {len(body)}"))
    client.send(body[: data.draw(st.integers(0, len(body) - 1))])
    client.hang_up()
    calls.run_all()
    assert bench.states() == {}
    assert bench.store.used_bytes == 0


def test_a_chunk_that_is_whole_stays_when_the_client_leaves_before_the_answer(
    tmp_path: Path,
) -> None:
    """What has begun to be acknowledged runs to its end; the sweep asks what became of it."""
    calls = HeldCalls()
    bench = NodeBench(tmp_path, run_blocking=calls)
    client = bench.connect()
    body = framed(b"bytes")
    client.send(head(f"PUT {path()}", f"Content-Length: {len(body)}") + body)
    client.hang_up()
    calls.run_all()
    assert bench.states() == {str(CHUNK): "provisional"}


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        (b"", "without a body"),
        (blocks_frames(b"bytes"), "ends before its manifest"),
        (manifest_frame(MANIFEST) + blocks_frames(b"bytes"), "goes on after its manifest"),
        (framed(b"bytes") + manifest_frame(MANIFEST), "goes on after its manifest"),
        (framed(b"bytes") + b"\xf5", "ends before its manifest"),
        (framed(b"bytes", manifest=b'{"a":"manifest"}'), "Not a manifest"),
        (framed(b"bytes", chunk_id=OTHER), "arrived damaged"),
        (b"not a frame", "No frame of chunk"),
    ],
    ids=[
        "no body",
        "no manifest",
        "manifest first",
        "two manifests",
        "half a frame at the end",
        "not a manifest",
        "another chunk",
        "no frames",
    ],
)
def test_frames_in_another_order_or_of_another_chunk_leave_nothing(
    bench: NodeBench, body: bytes, complaint: str
) -> None:
    """The manifest comes last, once, and belongs to the chunk."""
    answer = bench.call("PUT", path(), body=body)
    assert answer.status == 400
    assert complaint in answer.json()["message"]
    assert_nothing_is_left(bench)


def test_the_manifest_must_be_that_of_the_object_in_the_path(bench: NodeBench) -> None:
    """A chunk under a wrong id would be rebuilt into a wrong file."""
    answer = bench.call("PUT", path(), body=framed(b"bytes", manifest=manifest_of(OTHER)))
    assert answer.status == 400
    assert "is not that of chunk" in answer.json()["message"]
    assert_nothing_is_left(bench)


@pytest.mark.parametrize("announced", [4, 6])
def test_a_chunk_of_another_length_than_announced_leaves_nothing(
    bench: NodeBench, announced: int
) -> None:
    """Room was kept for the announced one."""
    answer = bench.call("PUT", path(), f"X-Chunk-Bytes: {announced}", body=framed(b"bytes"))
    assert answer.status == 400
    assert "5 bytes" in answer.json()["message"]
    assert_nothing_is_left(bench)


def test_a_full_node_refuses_before_it_takes_bytes(bench: NodeBench) -> None:
    """An announced chunk that does not fit is refused on its head alone."""
    bench.disk.space_bytes = DiskSpace(free_bytes=10**6, total_bytes=10**6)
    bench.run(bench.health.check())
    client = bench.connect()
    client.send(head(f"PUT {path()}", "Content-Length: 2000000", "X-Chunk-Bytes: 1999900"))
    answer = client.answer()
    assert (answer.status, answer.json()["error"]) == (507, "no_space")
    assert ("create", f"{CHUNK}.incoming") not in bench.disk.calls


def test_a_chunk_is_written_by_one_request_at_a_time(bench: NodeBench) -> None:
    """The second one conflicts, the first goes on."""
    body = framed(b"bytes")
    first = bench.connect()
    first.send(head(f"PUT {path()}", f"Content-Length: {len(body)}") + body[:10])
    assert bench.call("PUT", path(), body=body).status == 409
    first.send(body[10:])
    assert first.answer().status == 201


def test_a_disk_that_cannot_write_is_told_and_remembered(
    bench: NodeBench,
) -> None:
    """The api tries another node, and this one is not ready until it is tried anew."""
    bench.disk.failing["create"] = OSError(errno.EROFS, "Read-only file system")
    answer = bench.call("PUT", path(), body=framed(b"bytes"))
    assert (answer.status, answer.json()["error"]) == (503, "node_failed")
    assert not bench.health.writable
    del bench.disk.failing["create"]
    assert bench.call("PUT", path(), body=framed(b"bytes")).status == 503
    bench.run(bench.health.check())
    assert bench.states() == {}
    assert bench.call("PUT", path(), body=framed(b"bytes")).status == 201


@pytest.mark.parametrize(
    "header",
    ["X-Durability: sometimes", "X-Chunk-Bytes: many", "X-Chunk-Bytes: -1"],
)
def test_headers_that_make_no_sense_are_refused(bench: NodeBench, header: str) -> None:
    """Before anything is written."""
    assert bench.call("PUT", path(), header, body=framed(b"bytes")).status == 400
    assert_nothing_is_left(bench)


@pytest.mark.parametrize("target", ["/chunks/1234/0", f"{path()}00", f"/chunks/{'g' * 32}/0"])
def test_paths_that_name_no_chunk_are_refused(bench: NodeBench, target: str) -> None:
    """Nothing outside the directory of chunks can be named."""
    assert bench.call("PUT", target, body=framed(b"bytes")).status == 400
    assert_nothing_is_left(bench)
