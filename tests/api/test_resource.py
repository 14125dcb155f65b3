"""Uploads over HTTP as rude clients do them, in bytes on a simulated network."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from twisted.internet.defer import Deferred

from tests.api.world import MIB, STRIPE, ApiCluster
from tests.simulation.calls import Calls, content_of
from tests.web.wire import parse_answers
from twisted_store.api.pace import PACE_SECONDS
from twisted_store.api.upload import memory_bytes
from twisted_store.core.scheme import Scheme
from twisted_store.node_client.body import QueuedBody

UPLOAD_BYTES_MAX = memory_bytes(None, Scheme.PLAIN)

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
EXPECT = "Expect: 100-continue"


@pytest.fixture
def narrow(tmp_path: Path) -> Iterator[ApiCluster]:
    """Six nodes, memory for one large upload at a time, and files of 50 MiB at most."""
    with ApiCluster(
        tmp_path, nodes=6, upload_memory_bytes=UPLOAD_BYTES_MAX, object_bytes_max=50 * MIB
    ) as running:
        yield running


def head(request_line: str, *fields: str) -> bytes:
    """A header section."""
    return "\r\n".join([f"{request_line} HTTP/1.1", "Host: x", *fields, "", ""]).encode()


def put(size_bytes: int | None, *fields: str, name: str = "a") -> bytes:
    """The header section of a PUT."""
    length = f"Content-Length: {size_bytes}" if size_bytes else "Transfer-Encoding: chunked"
    return head(f"PUT /files/{name}", length, *fields)


# Expect: 100-continue.


def test_a_body_is_asked_for_when_it_can_be_stored(cluster: ApiCluster, calls: Calls) -> None:
    """And stored when it comes."""
    client = cluster.dial()
    assert client.say(put(7, EXPECT)) == CONTINUE
    [answer] = parse_answers(client.say(b"content").removeprefix(CONTINUE))
    assert (answer.status, calls.get("a").body) == (201, b"content")


@pytest.mark.parametrize("fields", [["If-None-Match: *"], ['If-Match: "other"']])
def test_p4_a_condition_that_fails_is_told_before_the_body(
    cluster: ApiCluster, calls: Calls, fields: list[str]
) -> None:
    """412 with the ETag that is there, in place of 100 Continue; the file stays."""
    etag = calls.put("a", b"old").header("ETag")
    client = cluster.dial()
    [answer] = parse_answers(client.say(put(50 * 2**30, EXPECT, *fields)))
    assert (answer.status, answer.headers["etag"]) == (412, etag)
    assert answer.headers["connection"] == "close"
    assert calls.get("a").body == b"old"


def test_a_file_too_large_is_told_before_the_body(narrow: ApiCluster) -> None:
    """413."""
    client = narrow.dial()
    [answer] = parse_answers(client.say(put(50 * MIB + 1, EXPECT)))
    assert (answer.status, answer.json()["error"]) == (413, "too_large")


def test_p0_too_few_nodes_are_told_before_the_body(cluster: ApiCluster) -> None:
    """503, and when to come again."""
    for name in ("node0", "node1"):
        cluster.stop(name)
    cluster.clock.run_for(40)
    client = cluster.dial()
    [answer] = parse_answers(client.say(put(7, EXPECT)))
    assert (answer.status, answer.json()["error"]) == (503, "too_few_nodes")
    assert int(answer.headers["retry-after"]) > 0


def test_memory_that_does_not_come_free_is_told_before_the_body(narrow: ApiCluster) -> None:
    """503 after a while; until then the client is not asked to send."""
    holder, client = narrow.dial(), narrow.dial()
    assert holder.say(put(STRIPE, EXPECT)) == CONTINUE
    assert client.say(put(STRIPE, EXPECT), seconds=29) == b""
    [answer] = parse_answers(client.say(b"", seconds=2))
    assert (answer.status, answer.json()["error"]) == (503, "overloaded")


# Bodies that are too long, too slow or too short.


def test_a_body_of_unknown_length_has_the_limit_too(narrow: ApiCluster) -> None:
    """413 as soon as it is passed, and nothing is left."""
    client = narrow.dial()
    client.say(put(None), seconds=0.1)
    piece = b"%x\r\n%s\r\n" % (MIB, bytes(MIB))
    for _ in range(51):
        client.say(piece, seconds=0.2)
    [answer] = parse_answers(client.say(b"", seconds=1))
    assert (answer.status, answer.json()["error"]) == (413, "too_large")
    assert (narrow.chunk_files(), narrow.receiving()) == ({}, [])


def test_a_slow_sender_gets_408_while_others_wait(narrow: ApiCluster) -> None:
    """It is told why, its memory goes to who waited, and its chunks go away."""
    slow, other = narrow.dial(), narrow.dial()
    slow.say(put(STRIPE) + bytes(1000), seconds=PACE_SECONDS - 20)
    slow.say(b"x", seconds=0.1)
    waiting = Deferred.fromCoroutine(_put_by_treq(narrow))
    narrow.clock.run_for(25)
    [answer] = parse_answers(slow.received)
    assert (answer.status, answer.json()["error"]) == (408, "client_too_slow")
    assert narrow.run(waiting) == 201
    names = {chunk.partition("/")[2][:32] for chunk in narrow.chunk_files()}
    assert (len(names), other.received) == (1, b"")


async def _put_by_treq(cluster: ApiCluster) -> int:
    answer = await Calls(cluster).begin_put("b", content_of(STRIPE))
    return answer.status


def test_a_slow_sender_may_go_on_while_nobody_waits(cluster: ApiCluster, calls: Calls) -> None:
    """One byte in a while, for minutes."""
    client = cluster.dial()
    client.say(put(3))
    for byte in b"123":
        client.say(bytes([byte]), seconds=50)
    [answer] = parse_answers(client.received)
    assert (answer.status, calls.get("a").body) == (201, b"123")


@pytest.mark.parametrize("sent_bytes", [0, 1000, STRIPE + 1])
@pytest.mark.parametrize("sized", [True, False])
def test_p4_a_client_gone_in_mid_upload_leaves_nothing_after_the_sweep(
    cluster: ApiCluster, calls: Calls, sent_bytes: int, sized: bool
) -> None:
    """The name is free, and the next one may have it."""
    client = cluster.dial()
    body = bytes(sent_bytes)
    if not sized:
        body = b"%x\r\n" % (sent_bytes + 1) + body
    client.say(put(3 * STRIPE if sized else None) + body)
    client.leave()
    assert (cluster.receiving(), calls.get("a").status) == ([], 404)
    cluster.clock.run_for(80)
    assert cluster.chunk_files() == {}
    assert calls.put("a", b"next", {"If-None-Match": "*"}).status == 201


def test_p4_of_two_uploads_of_one_name_each_is_whole(cluster: ApiCluster, calls: Calls) -> None:
    """The one that ends last stays."""
    contents = [content_of(STRIPE), content_of(STRIPE)[::-1]]
    bodies = [QueuedBody(STRIPE), QueuedBody(STRIPE)]
    uploads = [calls.begin("PUT", "/files/a", body=body) for body in bodies]
    for start in range(0, STRIPE - MIB, MIB):
        for body, content in zip(bodies, contents, strict=True):
            body.send([content[start : start + MIB]])
        cluster.clock.run_for(0.2)
    for number, status in ((1, 201), (0, 200)):
        bodies[number].send([contents[number][-MIB:]])
        bodies[number].end()
        assert calls.wait(uploads[number]).status == status
        assert (calls.get("a").body == contents[number]) is True


# The form of the first system.


def form(*fields: bytes, content: bytes = b"content") -> bytes:
    """A form with one file."""
    part = [b'Content-Disposition: form-data; name="file"; filename="a"', *fields]
    return b"--B\r\n" + b"\r\n".join(part) + b"\r\n\r\n" + content + b"\r\n--B--\r\n"


def test_a_form_stores_the_file_with_its_type(cluster: ApiCluster, calls: Calls) -> None:
    """What places the part in the form is not stored with the file."""
    client = cluster.dial()
    body = form(b"Content-Type: text/plain", b"X-Meta-A: b")
    answer = client.call("PUT /", "Content-Type: multipart/form-data; boundary=B", body=body)
    assert (answer.status, answer.json()["name"]) == (201, "a")
    got = calls.call("GET", "/?id=a")
    assert (got.body, got.header("Content-Type"), got.header("X-Meta-A")) == (
        b"content",
        "text/plain",
        "b",
    )
    assert got.header("Content-Disposition") == ""


def test_a_form_has_conditions_too(cluster: ApiCluster, calls: Calls) -> None:
    """Those of the request."""
    calls.put("a", b"old")
    fields = ("Content-Type: multipart/form-data; boundary=B", "If-None-Match: *")
    assert cluster.dial().call("PUT /", *fields, body=form()).status == 412
    assert calls.get("a").body == b"old"


@pytest.mark.parametrize("cut_bytes", [1, 5, 60, 100])
def test_a_form_that_ends_early_stores_nothing(cluster: ApiCluster, cut_bytes: int) -> None:
    """Wherever it is cut, the last line break excepted."""
    body = form()[: -2 - cut_bytes]
    fields = "Content-Type: multipart/form-data; boundary=B"
    assert cluster.dial().call("PUT /", fields, body=body).status == 400
    assert cluster.chunk_files() == {}
