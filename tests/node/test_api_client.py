"""The node's calls to the api, over a simulated network."""

from collections.abc import Awaitable, Iterator
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred

from tests.node.simulated import API_URL, CLUSTER, Simulation
from twisted_store.cluster.heartbeat import HeartbeatAnswer, NodeReport
from twisted_store.cluster.sweep import Fates
from twisted_store.core.ids import ChunkId, ClusterId, NodeId, object_id
from twisted_store.errors import (
    DuplicateNodeError,
    ForeignClusterError,
    StoreError,
    UnauthorizedError,
    UnavailableError,
)
from twisted_store.node.api_client import CALL_SECONDS, ApiClient
from twisted_store.node_client.answers import ANSWER_BYTES_MAX

NODE = NodeId("a" * 16)
REPORT = NodeReport(
    node_id=NODE,
    url="http://127.0.0.2:8101",
    zone="here",
    zone_named=True,
    capacity_bytes=100,
    used_bytes=10,
    free_bytes=90,
    instance="b" * 16,
    version="0.1.0",
    wire_format=3,
    chunk_format=1,
    cluster_id=None,
    oldest_disk_call_seconds=0.5,
    last_sync_ok=True,
    quarantined_chunks=0,
)
CHUNKS = [ChunkId(object_id(1, number, 0), 0) for number in range(3)]


@pytest.fixture
def simulation() -> Simulation:
    """A network with an api that listens."""
    simulation = Simulation()
    simulation.start_api()
    return simulation


@pytest.fixture
def client(simulation: Simulation) -> Iterator[ApiClient]:
    """A client on the node's host, which leaves no connection behind."""
    host = simulation.network.host("127.0.0.2")
    client = ApiClient(simulation.clock, host, API_URL, NODE, "s3cret")
    yield client
    simulation.run(Deferred.fromCoroutine(client.close()))
    simulation.clock.run_for(1)
    assert not simulation.clock.getDelayedCalls()


def failure_of(simulation: Simulation, call: Awaitable[Any]) -> StoreError:
    """The error that the call ends with."""
    deferred = Deferred.fromCoroutine(_await(call))
    with pytest.raises(StoreError) as raised:
        simulation.run(deferred)
    return raised.value


async def _await(call: Awaitable[Any]) -> Any:
    return await call


def test_a_heartbeat_carries_the_report_and_the_secret(
    simulation: Simulation, client: ApiClient
) -> None:
    """As JSON with the names of the fields; the answer comes back as a value."""
    answer = simulation.run(Deferred.fromCoroutine(client.heartbeat(REPORT)))
    assert answer == HeartbeatAnswer(ClusterId(CLUSTER), 1, "up", "", 5.0)
    [call] = simulation.api.calls
    assert call.path == f"/nodes/{NODE}/heartbeat"
    assert call.authorization == "Bearer s3cret"
    assert call.body == {
        "node_id": NODE,
        "url": "http://127.0.0.2:8101",
        "zone": "here",
        "zone_named": True,
        "capacity_bytes": 100,
        "used_bytes": 10,
        "free_bytes": 90,
        "instance": "b" * 16,
        "version": "0.1.0",
        "wire_format": 3,
        "chunk_format": 1,
        "cluster_id": None,
        "oldest_disk_call_seconds": 0.5,
        "last_sync_ok": True,
        "quarantined_chunks": 0,
    }


def test_a_question_carries_chunks_and_the_answer_their_fates(
    simulation: Simulation, client: ApiClient
) -> None:
    """Those that are in neither list are undecided."""
    simulation.api.answer("ask", {"confirm": [str(CHUNKS[0])], "drop": [str(CHUNKS[1])]})
    fates = simulation.run(Deferred.fromCoroutine(client.ask(CHUNKS)))
    assert fates == Fates([CHUNKS[0]], [CHUNKS[1]])
    assert simulation.api.bodies("ask") == [{"chunks": [str(chunk) for chunk in CHUNKS]}]


def test_damaged_chunks_are_reported_and_the_answer_names_those_that_no_file_needs(
    simulation: Simulation, client: ApiClient
) -> None:
    """The others stay set aside."""
    simulation.api.answer("quarantined", {"drop": [str(CHUNKS[1])]})
    unneeded = simulation.run(Deferred.fromCoroutine(client.report_quarantined(CHUNKS)))
    assert unneeded == [CHUNKS[1]]
    [call] = simulation.api.calls
    assert call.path == f"/nodes/{NODE}/quarantined"
    assert call.body == {"chunks": [str(chunk) for chunk in CHUNKS]}


@pytest.mark.parametrize(
    ("status", "error"),
    [(409, ForeignClusterError), (409, DuplicateNodeError), (401, UnauthorizedError)],
)
def test_errors_that_mean_something_to_a_node_keep_their_meaning(
    simulation: Simulation, client: ApiClient, status: int, error: type[StoreError]
) -> None:
    """With the words of the api."""
    simulation.api.answer("heartbeat", {"error": error.code, "message": "so it is"}, status)
    found = failure_of(simulation, client.heartbeat(REPORT))
    assert type(found) is error
    assert "so it is" in found.message


@pytest.mark.parametrize(
    ("status", "content"),
    [
        (500, b'{"error":"internal","message":"broken"}'),
        (404, b"<html>another server</html>"),
        (200, b"<html>a proxy</html>"),
        (200, b"[]"),
        (200, b"{}"),
        (200, b'{"cluster_id":"c","incarnation":"x","membership":"","reason":""}'),
        (200, b" " * (ANSWER_BYTES_MAX + 1)),
    ],
    ids=["error", "not found", "no JSON", "no object", "no fields", "other fields", "too long"],
)
def test_any_other_answer_counts_as_none(
    simulation: Simulation, client: ApiClient, status: int, content: bytes
) -> None:
    """And is told with the address of the api, which may be the wrong one."""
    simulation.api.answers["heartbeat"] = (status, content)
    found = failure_of(simulation, client.heartbeat(REPORT))
    assert type(found) is UnavailableError
    assert API_URL in found.message


@pytest.mark.parametrize("answer", [{}, {"confirm": [], "drop": ["x"]}, {"confirm": 1, "drop": []}])
def test_fates_that_make_no_sense_drop_nothing(
    simulation: Simulation, client: ApiClient, answer: object
) -> None:
    """A chunk is removed on a clear word only."""
    simulation.api.answer("ask", answer)
    assert type(failure_of(simulation, client.ask(CHUNKS))) is UnavailableError


@pytest.mark.parametrize("answer", [{}, {"drop": ["x"]}, {"drop": 1}, {"drop": None}])
def test_an_answer_on_damaged_chunks_that_makes_no_sense_drops_nothing(
    simulation: Simulation, client: ApiClient, answer: object
) -> None:
    """As little as one of an api that does not know the call."""
    simulation.api.answer("quarantined", answer)
    failure = failure_of(simulation, client.report_quarantined(CHUNKS))
    assert type(failure) is UnavailableError


def test_an_api_that_does_not_know_a_call_counts_as_away(
    simulation: Simulation, client: ApiClient
) -> None:
    """It is an older one."""
    simulation.api.answer("quarantined", {"error": "not_found", "message": "no such call"}, 404)
    failure = failure_of(simulation, client.report_quarantined(CHUNKS))
    assert type(failure) is UnavailableError


def test_an_api_that_does_not_answer_is_given_up(simulation: Simulation, client: ApiClient) -> None:
    """The deadline covers the whole call."""
    simulation.api.gate = Deferred()
    started = simulation.clock.seconds()
    found = failure_of(simulation, client.heartbeat(REPORT))
    assert type(found) is UnavailableError
    assert "did not answer within 12 s" in found.message
    assert simulation.clock.seconds() - started == pytest.approx(CALL_SECONDS)


def test_an_api_that_is_not_there_is_named(simulation: Simulation) -> None:
    """The operator sees where the node looks for it."""
    host = simulation.network.host("127.0.0.2")
    client = ApiClient(simulation.clock, host, "http://127.0.0.1:9", NODE, None)
    found = failure_of(simulation, client.heartbeat(REPORT))
    assert type(found) is UnavailableError
    assert "http://127.0.0.1:9 cannot be reached: Connection was refused" in found.message


@pytest.mark.parametrize("after_seconds", [0.0, 0.0015, 0.01])
def test_a_call_that_is_cancelled_ends_as_cancelled(
    simulation: Simulation, client: ApiClient, after_seconds: float
) -> None:
    """Whether it connects, sends or waits: a stopping node blames nobody."""
    simulation.api.gate = Deferred()
    call = Deferred.fromCoroutine(client.heartbeat(REPORT))
    simulation.clock.run_for(after_seconds)
    call.cancel()
    with pytest.raises(CancelledError):
        simulation.run(call)


def test_calls_share_a_connection(simulation: Simulation, client: ApiClient) -> None:
    """One after the other."""
    for _ in range(3):
        simulation.run(Deferred.fromCoroutine(client.heartbeat(REPORT)))
    assert len(simulation.api.calls) == 3
    assert [event.kind for event in simulation.events].count("connect") == 1
