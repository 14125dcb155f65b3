"""The calls of nodes: what an api believes, and what it answers."""

import json
import math
from collections.abc import Iterator
from typing import Any

import pytest

from tests.api.world import ApiCluster
from tests.simulation.calls import Calls
from tests.web.wire import Answer
from twisted_store.api.node_calls import BODY_BYTES_MAX, INTERVAL_SECONDS_MAX, REPORT_TEXT_MAX
from twisted_store.core.ids import object_id

NODE = "a" * 16
REPORT: dict[str, Any] = {
    "node_id": NODE,
    "url": "http://127.0.0.7:8101",
    "zone": "here",
    "zone_named": True,
    "capacity_bytes": 2**40,
    "used_bytes": 0,
    "free_bytes": 2**40,
    "instance": "1",
    "version": "0.1",
    "wire_format": 3,
    "chunk_format": 1,
    "cluster_id": None,
    "oldest_disk_call_seconds": 0.0,
    "last_sync_ok": True,
    "quarantined_chunks": 0,
}
SECRET = "s3cret"
CALLS = ["heartbeat", "ask", "quarantined"]


@pytest.fixture(scope="module")
def lonely(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiCluster]:
    """An api without nodes."""
    with ApiCluster(tmp_path_factory.mktemp("api"), nodes=0) as running:
        yield running


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiCluster]:
    """An api that asks for a secret."""
    with ApiCluster(tmp_path_factory.mktemp("api"), nodes=0, secret=SECRET) as running:
        yield running


def post(cluster: ApiCluster, path: str, body: bytes, *fields: str) -> Answer:
    """The answer to a call."""
    return cluster.dial().call(f"POST {path}", *fields, body=body)


def beat(cluster: ApiCluster, name: str = "zone", value: object = "here") -> Answer:
    """The answer to a heartbeat of `NODE` with this value in it."""
    body = json.dumps(REPORT | {name: value}).encode()
    return post(cluster, f"/nodes/{NODE}/heartbeat", body)


def test_a_heartbeat_hears_the_verdict(lonely: ApiCluster) -> None:
    """Here the node, one that nobody has heard of before, cannot be reached, which it is told."""
    new = "b" * 16
    body = json.dumps(REPORT | {"node_id": new}).encode()
    answer = post(lonely, f"/nodes/{new}/heartbeat", body)
    heard = answer.json()
    assert (answer.status, heard["membership"], heard["incarnation"]) == (200, "suspect", 1)
    assert "refused" in heard["reason"]
    assert heard["cluster_id"] == lonely.api.catalog.cluster_id
    assert heard["interval_seconds"] == INTERVAL_SECONDS_MAX


WRONG: list[tuple[str, Any]] = [
    *((name, None) for name in REPORT if name != "cluster_id"),
    *((name, 5) for name in ("url", "zone", "instance", "version", "cluster_id", "last_sync_ok")),
    *(("url", url) for url in ("", "x", "ftp://x", "http://", "http://x:0", "http://x:99999")),
    *(
        ("url", url)
        for url in ("http://[::1", "http://u:p@x:1", "http://x/?a", "http://x:1\r\nY: z")
    ),
    *((name, "\ud800") for name in ("url", "zone", "instance", "version", "cluster_id")),
    *((name, "a\0b") for name in ("zone", "instance", "version")),
    ("zone", "z" * (REPORT_TEXT_MAX + 1)),
    *((name, -1) for name in ("capacity_bytes", "used_bytes", "oldest_disk_call_seconds")),
    *((name, 2**63) for name in ("capacity_bytes", "used_bytes", "free_bytes")),
    *((name, 10**400) for name in ("capacity_bytes", "used_bytes", "oldest_disk_call_seconds")),
    *((name, True) for name in ("capacity_bytes", "wire_format", "oldest_disk_call_seconds")),
    *((name, 1.5) for name in ("capacity_bytes", "used_bytes", "wire_format")),
    *((name, "1") for name in ("capacity_bytes", "wire_format", "oldest_disk_call_seconds")),
    ("oldest_disk_call_seconds", math.nan),
    ("oldest_disk_call_seconds", math.inf),
    ("last_sync_ok", "yes"),
    ("wire_format", 1),
    ("zone_named", "yes"),
    *(("quarantined_chunks", value) for value in (-1, 1.5, True, "1")),
    ("node_id", "b" * 16),
]


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_a_report_that_is_none_changes_nothing(
    lonely: ApiCluster, name: str, value: object
) -> None:
    """400, nothing durable, and what others ask is answered."""
    before = lonely.api.members.status()
    assert beat(lonely, name, value).status == 400
    assert [each.member for each in lonely.api.members.status()] == [each.member for each in before]
    assert Calls(lonely).call("GET", "/cluster").status == 200


@pytest.mark.parametrize("name", ["used_bytes", "capacity_bytes", "free_bytes"])
def test_the_largest_numbers_are_kept(lonely: ApiCluster, name: str) -> None:
    """What the catalog has room for can be shown as well."""
    assert beat(lonely, name, 2**63 - 1).status == 200
    assert Calls(lonely).call("GET", "/cluster").status == 200


def test_a_node_of_another_cluster_is_refused(lonely: ApiCluster) -> None:
    """It ends when it hears this."""
    answer = beat(lonely, "cluster_id", "f" * 16)
    assert (answer.status, answer.json()["error"]) == (409, "foreign_cluster")


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("node_id", ["x", "A" * 16, "a" * 17, "%2e%2e"])
def test_a_node_has_an_id(lonely: ApiCluster, call: str, node_id: str) -> None:
    """Of 16 hex digits."""
    assert post(lonely, f"/nodes/{node_id}/{call}", b"{}").status == 400


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("body", [b"", b"[", b"[]", b"\xff", b"[" * 500_000, b'{"a":' * 100_000])
def test_a_body_that_is_no_json_object_is_a_bad_request(
    lonely: ApiCluster, call: str, body: bytes
) -> None:
    """However deep it is nested."""
    assert post(lonely, f"/nodes/{NODE}/{call}", body).status == 400


def test_a_body_has_a_limit(lonely: ApiCluster) -> None:
    """A node asks about its chunks a thousand at a time."""
    body = b" " * (BODY_BYTES_MAX + 1)
    assert post(lonely, f"/nodes/{NODE}/ask", body).status == 413


@pytest.mark.parametrize(
    "chunks", [None, "x", {}, [1], [None], ["x"], [{}], ["f" * 32], ["f" * 32 + "-256"]]
)
@pytest.mark.parametrize("call", ["ask", "quarantined"])
def test_a_question_names_chunks(lonely: ApiCluster, call: str, chunks: object) -> None:
    """By their ids."""
    body = json.dumps({"chunks": chunks}).encode()
    assert post(lonely, f"/nodes/{NODE}/{call}", body).status == 400


def test_a_question_is_answered(lonely: ApiCluster) -> None:
    """An upload of an earlier life of the api has failed; one of a later life is not ours."""
    ids = [f"{object_id(incarnation, 1, 1)}-0" for incarnation in (0, 9)]
    answer = post(lonely, f"/nodes/{NODE}/ask", json.dumps({"chunks": ids}).encode())
    assert answer.json() == {"confirm": [], "drop": [ids[0]]}
    answer = post(lonely, f"/nodes/{NODE}/quarantined", json.dumps({"chunks": ids}).encode())
    assert answer.json() == {"drop": [ids[0]]}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ([], 401),
        (["Authorization: Bearer other"], 401),
        (["Authorization: s3cret"], 401),
        (["Authorization: Bearer \xff"], 401),
        ([f"Authorization: Bearer {SECRET}"], 400),
    ],
)
def test_a_call_needs_the_secret(
    guarded: ApiCluster, call: str, fields: list[str], status: int
) -> None:
    """Where there is one, before anything of it is believed."""
    answer = post(guarded, f"/nodes/{NODE}/{call}", b"{}", *fields)
    assert answer.status == status
    if status == 401:
        assert answer.headers["www-authenticate"] == "Bearer"
    assert guarded.api.members.status() == []
