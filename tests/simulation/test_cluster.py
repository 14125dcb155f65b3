"""The promises, on the daemons' own `build` in simulated time, without faults of the network."""

import base64
import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.simulation.calls import Calls, content_of
from twisted_store.core.scheme import Scheme, SchemeRules
from twisted_store.core.striping import DATA_CHUNKS
from twisted_store.simulation.cluster import NODE_ROOT, SimulatedCluster
from twisted_store.simulation.setting import DEAD_GRACE_SECONDS, Setting
from twisted_store.storage.contents import chunks_in
from twisted_store.storage.limits import NEEDLE_BYTES_MAX

STRIPE = 5 * 2**20
PLAIN = Setting(rules=SchemeRules(Scheme.PLAIN))
TELLING_SIZES = [0, 1, 4, 5, 6, STRIPE - 1, STRIPE, STRIPE + 1, 2 * STRIPE + 12_345]

LARGE = DATA_CHUNKS * NEEDLE_BYTES_MAX
"""Of a file whose chunks have files of their own, which go when their time is over."""


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[SimulatedCluster]:
    """Seven nodes."""
    with SimulatedCluster(tmp_path, seed=1, nodes=7, setting=PLAIN) as running:
        yield running


@pytest.fixture
def calls(cluster: SimulatedCluster) -> Calls:
    """A client of it."""
    return Calls(cluster)


def chunk_files(cluster: SimulatedCluster) -> dict[str, int]:
    """Names and sizes of all chunks on all nodes, with the node in front."""
    return {
        f"{name}/{chunk_id}.{found.state.value}": found.size_bytes
        for name in cluster.services
        if name != "api"
        for chunk_id, found in chunks_in(cluster.disk(name), NODE_ROOT).items()
    }


@pytest.mark.parametrize("sized", [True, False])
@pytest.mark.parametrize("size", TELLING_SIZES)
def test_p0_a_file_of_any_size_becomes_five_chunks_and_comes_back(
    calls: Calls, cluster: SimulatedCluster, size: int, sized: bool
) -> None:
    """Equal within a byte, on five different nodes, however it was sent."""
    content = content_of(size)
    assert calls.put("a/b c", content, sized=sized).status == 201
    answer = calls.get("a/b c")
    assert (answer.status, answer.body == content) == (200, True)
    chunks = calls.call("GET", "/explain/a/b c").json["chunks"]
    sizes = [chunk["bytes"] for chunk in chunks]
    assert len({chunk["node_id"] for chunk in chunks}) == DATA_CHUNKS
    assert (sum(sizes), max(sizes) - min(sizes) <= 1) == (size, True)
    assert len(chunk_files(cluster)) == DATA_CHUNKS


def test_p0_fewer_than_five_nodes_take_nothing(tmp_path: Path) -> None:
    """And say why, and when to come again."""
    with SimulatedCluster(tmp_path, seed=1, nodes=4, setting=PLAIN) as cluster:
        calls = Calls(cluster)
        refused = calls.put("a", b"content")
        assert (refused.status, refused.json["error"]) == (503, "too_few_nodes")
        assert int(refused.header("Retry-After")) > 0
        assert calls.get("a").status == 404
        ready = calls.call("GET", "/health/ready")
        assert (ready.status, ready.json["reasons"][-1]["code"]) == (503, "too_few_nodes")
        cluster.add_node()
        cluster.clock.run_for(3)
        assert calls.put("a", b"content").status == 201
        ready = calls.call("GET", "/health/ready")
        assert (ready.status, ready.json["reasons"][-1]["code"]) == (200, "no_spare_node")


def test_p3_a_file_is_listed_and_read_from_its_acknowledgement_on(calls: Calls) -> None:
    """In byte order, with prefixes seen once."""
    for name in ("b", "a/2", "a/1", "%C3%A4"):
        calls.put(name, b"x")
    page = calls.call("GET", "/files?delimiter=/").json
    assert [file["name"] for file in page["files"]] == ["b", "ä"]
    assert page["prefixes"] == ["a/"]
    inner = calls.call("GET", "/files?prefix=a/&limit=1").json
    assert ([file["name"] for file in inner["files"]], bool(inner["next"])) == (["a/1"], True)


def test_p4_an_overwrite_replaces_and_frees_the_old_chunks(
    calls: Calls, cluster: SimulatedCluster
) -> None:
    """After the grace, on the nodes' own clocks."""
    calls.put("a", content_of(LARGE))
    assert calls.put("a", b"new").status == 200
    assert calls.get("a").body == b"new"
    cluster.clock.run_for(30)
    assert len(chunk_files(cluster)) == 2 * DATA_CHUNKS
    cluster.clock.run_for(DEAD_GRACE_SECONDS + 20)
    states = [name.rpartition(".")[2] for name in chunk_files(cluster)]
    assert states == ["confirmed"] * DATA_CHUNKS


def test_p4_of_many_creates_at_once_exactly_one_wins(calls: Calls) -> None:
    """The others learn the winner's ETag."""
    create = {"If-None-Match": "*"}
    begun = [calls.begin_put("a", b"%d" % number, create) for number in range(8)]
    answers = calls.wait_all(begun)
    statuses = sorted(answer.status for answer in answers)
    assert statuses == [201] + [412] * 7
    current = calls.get("a")
    losers = {answer.header("ETag") for answer in answers if answer.status == 412}
    assert losers <= {current.header("ETag"), ""}


def test_p4_a_condition_that_fails_changes_nothing(calls: Calls) -> None:
    """Neither the file nor the disks."""
    first = calls.put("a", b"first")
    assert calls.put("a", b"second", {"If-Match": '"other"'}).status == 412
    assert calls.get("a").body == b"first"
    assert calls.put("a", b"second", {"If-Match": first.header("ETag")}).status == 200
    assert calls.get("a").body == b"second"


def test_delete_removes_the_name_and_then_the_chunks(
    calls: Calls, cluster: SimulatedCluster
) -> None:
    """204, then 404, and nothing is left after the grace."""
    calls.put("a", content_of(LARGE))
    assert calls.call("DELETE", "/files/a").status == 204
    assert calls.call("DELETE", "/files/a").status == 404
    assert calls.get("a").status == 404
    cluster.clock.run_for(DEAD_GRACE_SECONDS + 20)
    assert chunk_files(cluster) == {}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content-MD5": "AAAAAAAAAAAAAAAAAAAAAA=="}, 400),
        ({"Repr-Digest": "sha-256=:" + "A" * 43 + "=:"}, 400),
        ({"Content-MD5": "nonsense"}, 400),
        ({"Content-Range": "bytes 0-6/7"}, 400),
        ({"X-Meta-Long": "x" * 3000}, 400),
        ({"Content-MD5": base64.b64encode(hashlib.md5(b"content").digest()).decode()}, 201),
        ({"Repr-Digest": "sha-256=:7XACtDnprIRfIjV9giusFERzD722AW0+yUMil7nsn3M=:"}, 201),
    ],
)
def test_a_body_that_is_not_what_the_client_meant_is_refused(
    calls: Calls, cluster: SimulatedCluster, headers: dict[str, str], status: int
) -> None:
    """And leaves neither name nor chunk."""
    answer = calls.put("a", b"content", headers)
    assert answer.status == status
    cluster.clock.run_for(1)
    assert calls.get("a").status == (200 if status == 201 else 404)
    assert len(chunk_files(cluster)) == (DATA_CHUNKS if status == 201 else 0)


def test_headers_are_stored_and_sent_with_the_file(calls: Calls) -> None:
    """Content-Type, what describes the content, and the user's own."""
    sent = {
        "Content-Type": "text/plain; charset=utf-8",
        "Cache-Control": "max-age=60",
        "Content-Disposition": "attachment",
        "X-Meta-Colour": "blue",
    }
    calls.put("a", b"content", sent)
    answer = calls.call("HEAD", "/files/a")
    assert {name: answer.header(name) for name in sent} == sent
    assert answer.header("Content-Length") == "7"
    assert answer.header("ETag").strip('"') == calls.call("GET", "/files").json["files"][0]["etag"]


@pytest.mark.parametrize(
    ("wanted", "status", "first", "end"),
    [
        ("bytes=0-0", 206, 0, 1),
        ("bytes=1048570-1048590", 206, 1048570, 1048591),
        (f"bytes={STRIPE - 3}-", 206, STRIPE - 3, STRIPE + 1000),
        ("bytes=-5", 206, STRIPE + 995, STRIPE + 1000),
        ("bytes=0-1,5-6", 200, 0, STRIPE + 1000),
        ("lines=1-2", 200, 0, STRIPE + 1000),
    ],
)
def test_ranges_are_read_across_chunks(
    calls: Calls, wanted: str, status: int, first: int, end: int
) -> None:
    """A range of the file touches only the chunks that hold it."""
    content = content_of(STRIPE + 1000)
    calls.put("a", content)
    answer = calls.get("a", {"Range": wanted})
    assert (answer.status, answer.body == content[first:end]) == (status, True)
    if status == 206:
        assert answer.header("Content-Range") == f"bytes {first}-{end - 1}/{len(content)}"


def test_a_range_beyond_the_end_is_refused_with_the_size(calls: Calls) -> None:
    """As RFC 9110 section 15.5.17 says."""
    calls.put("a", b"content")
    answer = calls.get("a", {"Range": "bytes=7-"})
    assert (answer.status, answer.header("Content-Range")) == (416, "bytes */7")


def test_conditional_reads(calls: Calls) -> None:
    """304 where nothing changed, 412 where something did."""
    etag = calls.put("a", b"content").header("ETag")
    modified = calls.get("a").header("Last-Modified")
    assert calls.get("a", {"If-None-Match": etag}).status == 304
    assert calls.get("a", {"If-Modified-Since": modified}).status == 304
    assert calls.get("a", {"If-Match": '"other"'}).status == 412
    assert calls.get("a", {"Range": "bytes=0-1", "If-Range": etag}).status == 206
    assert calls.get("a", {"Range": "bytes=0-1", "If-Range": '"other"'}).status == 200


def test_everything_is_there_after_restarts(calls: Calls, cluster: SimulatedCluster) -> None:
    """Of the api and of the nodes."""
    content = content_of(2_000_000)
    calls.put("a", content)
    for name in list(cluster.services):
        cluster.stop(name)
    cluster.start_api()
    for number in range(7):
        cluster.start_node(f"node{number}")
    cluster.clock.run_for(10)
    assert calls.get("a").body == content
    assert calls.put("a", b"new").status == 200


def test_unknown_paths_and_methods_are_answered_in_json(calls: Calls) -> None:
    """404, and 405 with what is allowed."""
    missing = calls.call("GET", "/nothing/here")
    assert (missing.status, missing.json["error"]) == (404, "not_found")
    wrong = calls.call("DELETE", "/files")
    assert (wrong.status, wrong.header("Allow")) == (405, "GET, HEAD")


def test_any_utf8_is_a_name(calls: Calls) -> None:
    """Slashes, dots and escapes are bytes of it."""
    for name in ("a//b", "../../etc", "a%2Fb", "%00", ".", "%E2%98%83"):
        assert calls.call("PUT", f"/files/{name}").status == 201, name
    names = [file["name"] for file in calls.call("GET", "/files").json["files"]]
    assert names == ["\0", ".", "../../etc", "a//b", "a/b", "\u2603"]
    assert calls.call("PUT", "/files/%FF").status == 400
    assert calls.call("PUT", "/files/").status == 400


def test_a_stopped_node_is_replaced_at_once(calls: Calls, cluster: SimulatedCluster) -> None:
    """P5: PUTs begun after it succeed, large ones too; a GET that needs it answers 503."""
    content = content_of(2 * STRIPE)
    calls.put("before", content)
    cluster.stop("node3")
    for number in range(5):
        assert calls.put(f"after{number}", content).status == 201
        assert calls.get(f"after{number}").body == content
    before = calls.get("before")
    holders = {chunk["url"] for chunk in calls.call("GET", "/explain/before").json["chunks"]}
    needs_it = any(url.startswith("http://127.0.0.5:") for url in holders)
    assert before.status == (503 if needs_it else 200)
