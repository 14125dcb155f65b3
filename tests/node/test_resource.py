"""The routes of a node: who may use them, what they list, and how they refuse."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.node.bench import CHUNK, NodeBench, path
from twisted_store.core.ids import ChunkId, object_id

SECRET = "open-sesame"
GUARDED = [
    ("PUT", path()),
    ("GET", path()),
    ("DELETE", path()),
    ("POST", f"{path()}/copy"),
    ("POST", "/chunks/batch"),
    ("GET", "/chunks"),
    ("GET", "/nowhere"),
]


@pytest.mark.parametrize(("method", "target"), GUARDED)
@pytest.mark.parametrize("headers", [[], ["Authorization: Bearer guess"], [f"X-Secret: {SECRET}"]])
def test_without_the_secret_nothing_can_be_done(
    tmp_path: Path, method: str, target: str, headers: list[str]
) -> None:
    """Not even find out what there is."""
    bench = NodeBench(tmp_path, SECRET)
    answer = bench.call(method, target, *headers, body=b"body")
    assert (answer.status, answer.json()["error"]) == (401, "unauthorized")
    assert answer.headers["www-authenticate"] == "Bearer"


def test_with_the_secret_everything_can(tmp_path: Path) -> None:
    """The same calls get the answers of the routes."""
    bench = NodeBench(tmp_path, SECRET)
    answers = [
        bench.call(method, target, f"Authorization: Bearer {SECRET}", body=b"body").status
        for method, target in GUARDED
    ]
    assert answers == [400, 404, 400, 400, 400, 200, 404]


@pytest.mark.parametrize("target", ["/health/live", "/health/ready"])
def test_health_needs_no_secret(tmp_path: Path, target: str) -> None:
    """Whoever watches the node need not be able to read it."""
    assert NodeBench(tmp_path, SECRET).call("GET", target).status == 200


@pytest.mark.parametrize(("method", "target"), GUARDED)
def test_a_call_that_is_meant_for_another_node_is_refused(
    tmp_path: Path, method: str, target: str
) -> None:
    """Whose address this node may have taken over."""
    answer = NodeBench(tmp_path).call(method, target, f"X-Node-Id: {'0' * 16}", body=b"body")
    assert (answer.status, answer.json()["error"]) == (503, "node_failed")


def test_a_call_that_is_meant_for_this_node_is_not(tmp_path: Path) -> None:
    """Nor one that does not say."""
    bench = NodeBench(tmp_path)
    assert bench.call("GET", "/chunks", f"X-Node-Id: {bench.identity.node_id}").status == 200
    assert bench.call("GET", "/chunks").status == 200


def pages(bench: NodeBench, limit: int) -> Iterator[list[dict[str, object]]]:
    """The pages of the list of chunks, up to its end."""
    after = ""
    while True:
        page = bench.call("GET", f"/chunks?limit={limit}{after}").json()
        yield page["chunks"]
        if page["next"] is None:
            return
        after = f"&after={page['next']}"


@pytest.mark.parametrize("limit", [1, 2, 5, 1000])
def test_the_list_names_every_chunk_once_page_by_page(bench: NodeBench, limit: int) -> None:
    """With its state and what it takes of the disk."""
    chunk_ids = [ChunkId(object_id(1, number, number % 3), number % 5) for number in range(5)]
    for chunk_id in chunk_ids:
        bench.hold(b"bytes", chunk_id)
    found = [chunk for page in pages(bench, limit) for chunk in page]
    assert sorted(str(chunk["chunk"]) for chunk in found) == sorted(map(str, chunk_ids))
    assert {chunk["state"] for chunk in found} == {"provisional"}
    assert {chunk["file_bytes"] for chunk in found} == {bench.file(chunk_ids[0]).stat().st_size}


def test_the_list_of_an_empty_node_is_empty(bench: NodeBench) -> None:
    """And has no next page."""
    assert bench.call("GET", "/chunks").json() == {"chunks": [], "next": None}


@pytest.mark.parametrize("query", ["limit=many", "limit=-1", "after=x", f"after={CHUNK}&after=1"])
def test_pages_that_make_no_sense_are_refused(bench: NodeBench, query: str) -> None:
    """Rather than guessed."""
    assert bench.call("GET", f"/chunks?{query}").status == 400


def test_what_is_not_there_is_answered_in_json(bench: NodeBench) -> None:
    """Programs read the answers of a node."""
    assert bench.call("GET", "/").json()["error"] == "not_found"
    assert bench.call("GET", "/chunks/").json()["error"] == "not_found"


def test_methods_that_a_path_does_not_have_are_named(bench: NodeBench) -> None:
    """RFC 9110 section 15.5.6."""
    answer = bench.call("POST", path(), body=b"body")
    assert (answer.status, answer.json()["error"]) == (405, "method_not_allowed")
    assert answer.headers["allow"] == "DELETE, GET, HEAD, PUT"
