"""Batches at a node: each operation has a result of its own, whatever becomes of the others."""

import errno

import pytest

from tests.node.bench import CHUNK, MANIFEST, NodeBench, content, manifest_of, results
from twisted_store.core.batch import (
    BATCH_BYTES_MAX,
    CONFIRM,
    DEAD,
    DISCARD,
    GET,
    PUT,
    operation_head,
)
from twisted_store.core.ids import ChunkId, object_id
from twisted_store.core.whole_chunk import encode_whole

OTHER = ChunkId(object_id(1, 3, 3), 0)
ABSENT = ChunkId(object_id(1, 4, 3), 0)
MARKS = ("X-Incarnation: 1", "X-Commit-Sequence: 10")


def whole(chunk_id: ChunkId, size_bytes: int = 100) -> bytes:
    """What a put brings."""
    return encode_whole(chunk_id, [content(size_bytes)], manifest_of(chunk_id))


def test_all_kinds_go_in_one_batch(bench: NodeBench) -> None:
    """Results come in the order of the operations, for a get one for each chunk."""
    bench.hold(content(100), OTHER)
    answer = bench.batch(
        (DEAD, OTHER.packed),
        (PUT, whole(CHUNK)),
        (GET, OTHER.packed + ABSENT.packed + CHUNK.packed),
        (CONFIRM, ABSENT.packed + OTHER.packed),
        (DISCARD, ABSENT.packed),
        headers=MARKS,
    )
    missing = b""
    found = [whole(OTHER), "chunk_not_found", whole(CHUNK)]
    assert results(answer) == [missing, b"", *found, ABSENT.packed, b""]
    assert answer.headers["content-type"] == "application/vnd.twisted-store.batch"
    assert bench.states() == {str(CHUNK): "provisional", str(OTHER): "dead"}


@pytest.mark.parametrize("size_bytes", [0, 1, 65536])
def test_a_chunk_that_was_put_is_there_for_everybody(bench: NodeBench, size_bytes: int) -> None:
    """In whatever way it is asked for."""
    assert results(bench.batch((PUT, whole(CHUNK, size_bytes)))) == [b""]
    assert results(bench.batch((GET, CHUNK.packed))) == [whole(CHUNK, size_bytes)]
    answer = bench.call("GET", f"/chunks/{CHUNK.object_id}/{CHUNK.index}")
    assert (answer.status, answer.body) == (200, content(size_bytes))


@pytest.mark.parametrize("position", [12, 12 + 70, -1])
def test_a_damaged_put_is_refused_alone(bench: NodeBench, position: int) -> None:
    """Whether its checksum in the batch is wrong or one of its own."""
    put = bytearray(operation_head(PUT, 0, whole(CHUNK)) + whole(CHUNK))
    put[position] ^= 1
    body = bytes(put) + operation_head(PUT, 0, whole(OTHER)) + whole(OTHER)
    assert results(bench.call("POST", "/chunks/batch", body=body)) == ["bad_request", b""]
    damaged = bytearray(whole(CHUNK))
    damaged[position] ^= 1
    assert results(bench.batch((PUT, bytes(damaged)), (PUT, b""))) == ["bad_request"] * 2
    assert bench.states() == {str(OTHER): "provisional"}
    assert bench.health.writable


def test_a_chunk_with_the_manifest_of_another_is_refused(bench: NodeBench) -> None:
    """Or what is read of it later would be taken for another object."""
    put = encode_whole(OTHER, [content(100)], MANIFEST)
    assert results(bench.batch((PUT, put), (PUT, encode_whole(OTHER, [], b"{}")))) == [
        "bad_request",
        "bad_request",
    ]


def test_chunk_ids_that_arrive_damaged_are_answered_each(bench: NodeBench) -> None:
    """As many results as were asked for, and nothing is done."""
    bench.hold(content(100))
    named = bytearray(operation_head(GET, 2, CHUNK.packed * 2) + CHUNK.packed * 2)
    named[20] ^= 1
    answer = bench.call("POST", "/chunks/batch", body=bytes(named))
    assert results(answer) == ["bad_request"] * 2
    wrong = CHUNK.packed[:-1] + b"\xff"
    told = results(bench.batch((DISCARD, wrong), (DEAD, wrong), headers=MARKS))
    assert told == ["bad_request"] * 2
    assert bench.states() == {str(CHUNK): "provisional"}


def test_an_older_catalog_is_refused_and_puts_are_not(bench: NodeBench) -> None:
    """The chunk of an upload is safe in any case: it is provisional."""
    assert results(bench.batch((DEAD, ABSENT.packed), headers=MARKS)) == [ABSENT.packed]
    bench.hold(content(100), OTHER)
    operations = ((PUT, whole(CHUNK)), (CONFIRM, OTHER.packed), (DEAD, OTHER.packed))
    told = results(bench.batch(*operations, headers=("X-Incarnation: 1", "X-Commit-Sequence: 9")))
    assert told == [b"", "catalog_rolled_back", "catalog_rolled_back"]
    told = results(bench.batch((DISCARD, OTHER.packed), headers=("X-Incarnation: 0",)))
    assert told == ["catalog_rolled_back"]
    assert bench.states() == {str(CHUNK): "provisional", str(OTHER): "provisional"}


@pytest.mark.parametrize(
    ("kind", "headers"),
    [
        (CONFIRM, ()),
        (DEAD, MARKS[:1]),
        (DEAD, MARKS[1:]),
        (DISCARD, MARKS[1:]),
        (DISCARD, ("X-Incarnation: new",)),
    ],
)
def test_who_marks_must_be_known(bench: NodeBench, kind: int, headers: tuple[str, ...]) -> None:
    """Or an older catalog could not be told; nothing of the batch is done."""
    answer = bench.batch((PUT, whole(CHUNK)), (kind, OTHER.packed), headers=headers)
    assert (answer.status, answer.json()["error"]) == (400, "bad_request")
    assert bench.states() == {}


@pytest.mark.parametrize(
    "body", [b"x", operation_head(9, 0, b""), operation_head(PUT, 0, b"longer"), b"\xf6" * 12]
)
def test_what_is_no_batch_is_refused_whole(bench: NodeBench, body: bytes) -> None:
    """Where one operation ends and the next begins is not known then."""
    answer = bench.call("POST", "/chunks/batch", body=body)
    assert (answer.status, answer.json()["error"]) == (400, "bad_request")


def test_a_batch_has_a_limit(bench: NodeBench) -> None:
    """A body beyond it is not read into memory."""
    answer = bench.call("POST", "/chunks/batch", body=b" " * (BATCH_BYTES_MAX + 1))
    assert (answer.status, answer.json()["error"]) == (413, "too_large")


def test_a_batch_without_operations_has_no_results(bench: NodeBench) -> None:
    """It is one all the same."""
    assert results(bench.call("POST", "/chunks/batch")) == []


@pytest.mark.parametrize(("durability", "syncs"), [("strict", True), ("none", False)])
def test_puts_are_as_durable_as_was_asked_for(
    bench: NodeBench, durability: str, syncs: bool
) -> None:
    """All of a batch."""
    bench.hold(content(100), OTHER)
    before = bench.disk.names()
    batch = bench.batch((PUT, whole(CHUNK)), headers=[f"X-Durability: {durability}"])
    assert results(batch) == [b""]
    assert ("sync" in bench.disk.names()[len(before) :]) == syncs


def test_a_disk_that_fails_is_known_to_the_health_of_the_node(bench: NodeBench) -> None:
    """As when a single chunk cannot be written."""
    bench.disk.failing["write_at"] = OSError(errno.EIO, "Input/output error")
    assert results(bench.batch((PUT, whole(CHUNK)))) == ["node_failed"]
    assert not bench.health.writable


def test_a_damaged_chunk_is_told_and_set_aside(bench: NodeBench) -> None:
    """Its bytes are not sent."""
    bench.hold(content(100))
    damaged = bytearray(bench.file().read_bytes())
    damaged[70] ^= 1
    bench.file().write_bytes(damaged)
    assert results(bench.batch((GET, CHUNK.packed))) == ["checksum"]
    assert bench.states() == {str(CHUNK): "quarantined"}


def test_a_confirmed_chunk_cannot_be_discarded(bench: NodeBench) -> None:
    """It ends by a dead mark only."""
    bench.hold(content(100))
    told = results(bench.batch((CONFIRM, CHUNK.packed), (DISCARD, CHUNK.packed), headers=MARKS))
    assert told == [b"", "conflict"]
