"""What operators ask of a cluster over HTTP: jobs, drains, nodes that go."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.api.world import ApiCluster
from tests.catalog.seams import start
from tests.simulation.calls import Calls, content_of
from tests.web.wire import Answer
from twisted_store.core.scheme import Scheme, SchemeRules
from twisted_store.simulation.setting import API

NOBODY = "f" * 16
CONTENT = content_of(50_000)
LOST_AFTER = 60.0


@pytest.fixture(scope="module")
def idle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiCluster]:
    """A cluster of five nodes that nothing is changed in."""
    with ApiCluster(tmp_path_factory.mktemp("idle"), nodes=5) as running:
        yield running


@pytest.fixture
def eight(tmp_path: Path) -> Iterator[ApiCluster]:
    """Eight nodes, objects of 5+2, and nodes that are lost after a minute."""
    rules = SchemeRules(Scheme.PARITY_2)
    with ApiCluster(tmp_path, nodes=8, rules=rules, lost_after_seconds=LOST_AFTER) as running:
        yield running


def post(cluster: ApiCluster, path: str, body: object) -> Answer:
    """The answer to a call with JSON, or with bytes as they are."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return cluster.dial().call(f"POST {path}", body=raw)


def delete(cluster: ApiCluster, node_id: str) -> Answer:
    """Ask to forget a node."""
    return cluster.dial().call(f"DELETE /nodes/{node_id}")


def id_of(cluster: ApiCluster, name: str) -> str:
    """That of a node."""
    return next(node_id for node_id, each in cluster.node_ids().items() if each == name)


def told(cluster: ApiCluster) -> Any:
    """All there is to know."""
    return Calls(cluster).call("GET", "/cluster").json


def node_view(cluster: ApiCluster, node_id: str) -> dict[str, Any]:
    """What is told of a node."""
    views: list[dict[str, Any]] = told(cluster)["nodes"]
    return next(view for view in views if view["node_id"] == node_id)


NO_SWITCHES: list[object] = [1, "yes", None, []]
NO_RATES: list[object] = [0, -1, 1.5, True, "1MB", [], 2**62, 10**400]
BAD: list[object] = [
    b"",
    b"[",
    b"[]",
    b"\xff",
    *({name: value} for name in ("paused", "start") for value in NO_SWITCHES),
    *({"rate_bytes_max": value} for value in NO_RATES),
]


@pytest.mark.parametrize("body", BAD)
@pytest.mark.parametrize("job", ["repair", "rebalance"])
def test_what_a_job_cannot_do_is_a_bad_request(idle: ApiCluster, job: str, body: object) -> None:
    """In JSON, as all errors; nothing has changed."""
    before = told(idle)["jobs"]
    answer = post(idle, f"/jobs/{job}", body)
    assert (answer.status, answer.json()["error"]) == (400, "bad_request")
    after = told(idle)
    assert (after["jobs"][job]["state"], after["rate_bytes_max"]) == (before[job]["state"], None)


@pytest.mark.parametrize("body", [{}, {"paused": True}, {"paused": "x"}])
@pytest.mark.parametrize("job", ["scrub", "Repair", "", "a%2fb"])
def test_a_job_that_is_none_is_not_found(idle: ApiCluster, job: str, body: object) -> None:
    """Before its body is looked at."""
    assert post(idle, f"/jobs/{job}", body).status == 404


@pytest.mark.parametrize("body", [b"", b"[]", {"draining": 1}, {"draining": None}])
def test_a_drain_is_asked_for_with_true_or_false(idle: ApiCluster, body: object) -> None:
    """Or with an object that says nothing else."""
    answer = post(idle, f"/nodes/{id_of(idle, 'node0')}/drain", body)
    assert (answer.status, answer.json()["error"]) == (400, "bad_request")


@pytest.mark.parametrize(("node_id", "status"), [(NOBODY, 404), ("x", 400), ("A" * 16, 400)])
def test_a_node_that_is_not_there_is_not_found(idle: ApiCluster, node_id: str, status: int) -> None:
    """Whatever is asked of it."""
    assert post(idle, f"/nodes/{node_id}/drain", {}).status == status
    assert delete(idle, node_id).status == status
    client = idle.dial()
    assert client.call(f"GET /nodes/{node_id}/safe-to-stop").status == status


def test_jobs_are_paused_and_limited_across_restarts(eight: ApiCluster) -> None:
    """Each for itself, the limit for both; what was not asked for stays."""
    answer = post(eight, "/jobs/repair", {"paused": True, "rate_bytes_max": 5_000_000})
    told_of = answer.json()
    assert (answer.status, told_of["state"]) == (200, "paused")
    assert told_of["rate_bytes_max"] == 5_000_000
    assert post(eight, "/jobs/rebalance", {}).json()["state"] == "idle"
    eight.stop(API)
    eight.start_api()
    eight.clock.run_for(10)
    view = told(eight)
    assert (view["jobs"]["repair"]["state"], view["rate_bytes_max"]) == ("paused", 5_000_000)
    assert view["jobs"]["rebalance"]["state"] == "idle"
    answer = post(eight, "/jobs/rebalance", {"rate_bytes_max": None})
    assert answer.json()["rate_bytes_max"] is None
    assert post(eight, "/jobs/repair", {"paused": False}).json()["state"] == "idle"


def test_starting_to_rebalance_ends_its_pause(eight: ApiCluster) -> None:
    """Repair has no start: it always goes on."""
    post(eight, "/jobs/rebalance", {"paused": True})
    assert post(eight, "/jobs/rebalance", {"start": False}).json()["state"] == "paused"
    assert post(eight, "/jobs/rebalance", {"start": True}).json()["state"] == "idle"
    post(eight, "/jobs/repair", {"paused": True})
    assert post(eight, "/jobs/repair", {"start": True}).json()["state"] == "paused"


def test_p7_a_node_is_drained_stopped_and_forgotten(eight: ApiCluster) -> None:
    """In this order only; nothing is missed at any moment."""
    calls = Calls(eight)
    for number in range(10):
        assert calls.put(str(number), CONTENT).status == 201
    [node_id] = [each for each, name in eight.node_ids().items() if name == "node0"]
    assert delete(eight, node_id).status == 409
    view = post(eight, f"/nodes/{node_id}/drain", {}).json()
    assert view["draining"] is True
    eight.clock.run_for(60)
    eight.stop("node0")
    eight.clock.run_for(20)
    assert delete(eight, node_id).status == 204
    assert delete(eight, node_id).status == 404
    assert node_id not in str(told(eight)["nodes"])
    assert all(calls.get(str(number)).body == CONTENT for number in range(10))
    for number in range(10):
        entry = eight.run(start(eight.api.catalog.get(str(number))))
        assert entry is not None
        assert node_id not in entry.placement
    eight.stop(API)
    eight.start_api()
    eight.clock.run_for(10)
    assert node_id not in str(told(eight)["nodes"])


def test_a_drain_can_be_taken_back(eight: ApiCluster) -> None:
    """The node takes chunks as before; it is remembered as well."""
    node_id = id_of(eight, "node0")
    assert post(eight, f"/nodes/{node_id}/drain", {"draining": True}).json()["draining"] is True
    eight.stop(API)
    eight.start_api()
    eight.clock.run_for(10)
    assert node_view(eight, node_id)["draining"] is True
    view = post(eight, f"/nodes/{node_id}/drain", {"draining": False}).json()
    assert view["draining"] is False
    assert eight.api.members.standing().draining == frozenset()


def test_it_is_said_whether_a_node_can_be_stopped(eight: ApiCluster) -> None:
    """With two nodes away already nothing more may go."""
    calls = Calls(eight)
    calls.put("a", CONTENT)
    eight.clock.run_for(5)
    path = f"/nodes/{id_of(eight, 'node3')}/safe-to-stop"
    answer = calls.call("GET", path)
    assert (answer.status, answer.json) == (200, {"safe": True, "reasons": []})
    for name in ("node0", "node1", "node2"):
        eight.stop(name)
    eight.clock.run_for(20)
    answer = calls.call("GET", path)
    assert (answer.status, answer.json["safe"]) == (412, False)
    assert "too_few_nodes" in {reason["code"] for reason in answer.json["reasons"]}


def test_p7_what_operators_should_know_is_said(eight: ApiCluster) -> None:
    """Too many silent nodes halt repair; files that wait for a node are told of."""
    calls = Calls(eight)
    calls.put("a", CONTENT)
    eight.clock.run_for(5)
    for name in ("node0", "node1", "node2"):
        eight.stop(name)
    eight.clock.run_for(20)
    ready = calls.call("GET", "/health/ready").json
    codes = {reason["code"] for reason in ready["reasons"]}
    assert "repair_halted" in codes
    assert told(eight)["jobs"]["repair"]["state"] == "halted"
    eight.start_node("node0")
    eight.start_node("node1")
    eight.clock.run_for(LOST_AFTER + 20)
    assert node_view(eight, id_of(eight, "node3"))["membership"] == "up"
    codes = {reason["code"] for reason in calls.call("GET", "/health/ready").json["reasons"]}
    assert "repair_halted" not in codes
