"""Faults of the simulated cluster: roles that end, stand still or are cut off, damaged disks."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from twisted.python.failure import Failure

from tests.simulation.calls import Calls, content_of
from twisted_store.core.ids import ChunkId, ObjectId
from twisted_store.core.scheme import Scheme, SchemeRules
from twisted_store.errors import ChecksumError
from twisted_store.simulation.clock import SimulatedClock
from twisted_store.simulation.cluster import API, Setting, SimulatedCluster
from twisted_store.simulation.host_clock import HostClock
from twisted_store.simulation.wire import SOCKET_BUFFER_BYTES, NetworkEvent

PLAIN = Setting(rules=SchemeRules(Scheme.PLAIN))
CONTENT = content_of(3_000_000)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[SimulatedCluster]:
    """Just the nodes that a file without parity needs, so that each fault is felt."""
    with SimulatedCluster(tmp_path, seed=4, nodes=5, setting=PLAIN) as running:
        yield running


@pytest.fixture
def calls(cluster: SimulatedCluster) -> Calls:
    """A client of it."""
    calls = Calls(cluster)
    assert calls.put("a", CONTENT).status == 201
    cluster.clock.run_for(5)
    return calls


def test_a_killed_node_refuses_and_leaves_its_disk(cluster: SimulatedCluster, calls: Calls) -> None:
    """The next process of its name finds all that was written, and serves it."""
    cluster.kill("node2")
    answer = calls.get("a")
    assert (answer.status, answer.json["error"]) == (503, "node_failed")
    assert "refused" in answer.json["message"]
    cluster.start_node("node2")
    cluster.clock.run_for(5)
    assert calls.get("a").body == CONTENT


def test_a_killed_node_says_nothing_any_more(cluster: SimulatedCluster, calls: Calls) -> None:
    """Neither heartbeats nor the rest of an answer."""
    heard: list[NetworkEvent] = []
    cluster.kill("node2")
    cluster.clock.run_for(1)
    cluster.observers.append(heard.append)
    cluster.clock.run_for(20)
    assert {event.source.host for event in heard if event.kind == "data"} >= {"127.0.0.2"}
    assert "127.0.0.4" not in {event.source.host for event in heard if event.kind == "data"}


def test_a_killed_api_starts_again_on_its_catalog(cluster: SimulatedCluster, calls: Calls) -> None:
    """What it had acknowledged is there."""
    cluster.kill(API)
    cluster.start_api()
    cluster.clock.run_for(10)
    assert calls.get("a").body == CONTENT


def test_a_paused_node_takes_bytes_and_goes_on(cluster: SimulatedCluster, calls: Calls) -> None:
    """Its kernel buffers some, nobody answers, and afterwards nothing is lost."""
    received = 0

    def count(event: NetworkEvent) -> None:
        nonlocal received
        if event.destination.host == "127.0.0.4":
            received += event.size_bytes

    cluster.pause("node2")
    cluster.observers.append(count)
    upload = calls.begin_put("b", CONTENT)
    cluster.clock.run_for(5)
    assert not upload.called
    assert SOCKET_BUFFER_BYTES / 2 < received <= 3 * SOCKET_BUFFER_BYTES
    cluster.resume("node2")
    assert calls.wait(upload).status == 201
    assert calls.get("b").body == CONTENT


def test_a_partition_holds_everything_back_and_heals(
    cluster: SimulatedCluster, calls: Calls
) -> None:
    """What was under way arrives as it would be sent again."""
    upload = calls.begin_put("b", CONTENT)
    cluster.clock.run_for(0.02)
    cluster.partition("node1", "node3")
    cluster.clock.run_for(5)
    assert not upload.called
    cluster.heal()
    assert calls.wait(upload).status == 201
    assert calls.get("b").body == CONTENT


def test_a_corrupted_byte_is_found_by_its_node(
    cluster: SimulatedCluster,
    calls: Calls,
    expected_failures: Callable[..., list[Failure]],
) -> None:
    """And a chunk that is not there cannot be corrupted."""
    object_id = ObjectId(calls.call("GET", "/explain/a").json["object_id"])
    holders = {}
    for number in range(5):
        for index in range(5):
            try:
                cluster.corrupt(f"node{number}", ChunkId(object_id, index), 70_000, mask=0x80)
            except KeyError:
                continue
            holders[index] = f"node{number}"
    assert sorted(holders) == [0, 1, 2, 3, 4]
    answer = calls.get("a")
    assert (answer.status, answer.json["error"]) == (503, "node_failed")
    assert "damaged" in answer.json["message"]
    for index in range(1, 5):  # flipped back
        cluster.corrupt(holders[index], ChunkId(object_id, index), 70_000, mask=0x80)
    assert calls.get("a").status == 503
    cluster.corrupt(holders[0], ChunkId(object_id, 0), 70_000, mask=0x80)
    assert calls.get("a").body == CONTENT
    expected_failures(ChecksumError)


class Times:
    """Calls of one host, and when they happened."""

    def __init__(self) -> None:
        self.clock = SimulatedClock()
        self.host = HostClock(self.clock)
        self.happened: list[tuple[str, float]] = []

    def later(self, delay_seconds: float, name: str) -> None:
        """Note that it happened."""
        self.host.callLater(
            delay_seconds, lambda: self.happened.append((name, self.clock.seconds()))
        )


def test_calls_that_are_due_in_a_pause_happen_after_it_in_order() -> None:
    """Those that are not due yet happen in their time, those made meanwhile too."""
    times = Times()
    for delay_seconds in (3, 1, 8):
        times.later(delay_seconds, f"at {delay_seconds}")
    times.host.pause()
    times.clock.run_for(4)
    times.later(0, "meanwhile")
    times.clock.run_for(1)
    assert times.happened == []
    times.host.resume()
    times.clock.run_for(10)
    assert times.happened == [("at 1", 5), ("at 3", 5), ("meanwhile", 5), ("at 8", 8)]


def test_nothing_happens_on_a_host_that_is_dead() -> None:
    """No call, and no work of its threads."""
    times = Times()
    times.later(1, "before")
    times.host.die()
    times.later(1, "after")
    work = times.host.run_blocking(lambda: times.happened.append(("work", 0)))
    times.clock.run_for(5)
    assert (times.happened, work.called) == ([], False)
    assert times.host.getDelayedCalls() == []
