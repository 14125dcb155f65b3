"""Roles are killed, paused, cut off and damaged at any moment, as operators and machines do it."""

import gc
import weakref
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.error import ConnectionRefusedError, TimeoutError
from twisted.python.failure import Failure
from twisted.web.client import ResponseFailed, ResponseNeverReceived

from tests.simulation.calls import Answer, Calls, content_of
from twisted_store.cluster.scrub import PAUSE_SECONDS
from twisted_store.core.ids import ChunkId
from twisted_store.core.scheme import Scheme, SchemeRules
from twisted_store.errors import ChecksumError
from twisted_store.simulation.cluster import NODE_PORT, SimulatedCluster
from twisted_store.simulation.setting import API, Setting
from twisted_store.simulation.wire import SOCKET_BUFFER_BYTES, NetworkEvent

PLAIN = Setting(rules=SchemeRules(Scheme.PLAIN))
CONTENT = content_of(3 * 2**20 + 11)
ENDED_SECONDS_MAX = 10.0
CLIENT_HOST, API_HOST = "127.0.1.1", "127.0.0.1"


class Scene:
    """A cluster, its client, and everything that arrives anywhere."""

    def __init__(self, cluster: SimulatedCluster) -> None:
        self.cluster = cluster
        self.calls = Calls(cluster)
        self.events: list[NetworkEvent] = []
        cluster.observers.append(self.events.append)

    def strike_at(self, host: str, size_bytes: int, strike: Callable[[], object]) -> None:
        """Do something in the moment when so many bytes have come to a host."""
        arrived_bytes = 0

        def count(event: NetworkEvent) -> None:
            nonlocal arrived_bytes
            arrived_bytes += event.size_bytes * (event.destination.host == host)
            if arrived_bytes >= size_bytes:
                self.cluster.observers.remove(count)
                strike()

        self.cluster.observers.append(count)

    def bytes_to(self, host: str) -> int:
        """How many have come to a host."""
        return sum(each.size_bytes for each in self.events if each.destination.host == host)

    def ask_node(self, name: str, path: str) -> Answer:
        """The answer of a node itself."""

        async def ask() -> Answer:
            clock: Any = self.cluster.clock
            url = f"http://{host_of(name)}:{NODE_PORT}{path}"
            response = await self.cluster.client.get(url, reactor=clock, unbuffered=True)
            return Answer(response.code, response.headers, await response.content())

        return self.cluster.run(Deferred.fromCoroutine(ask()))

    def holder_of(self, file_name: str, index: int) -> tuple[str, ChunkId, int]:
        """The node of a chunk, the chunk, and its bytes."""
        explained = self.calls.call("GET", f"/explain/{file_name}").json
        chunk = explained["chunks"][index]
        [name] = [each for each in self.cluster.services if f"//{host_of(each)}:" in chunk["url"]]
        return name, ChunkId(explained["object_id"], index), chunk["bytes"]

    def disk_of(self, name: str) -> dict[str, bytes]:
        """All files of chunks on the disk of a node."""
        disk = self.cluster.disk(name)
        shards = [f"/data/chunks/{shard.name}" for shard in disk.entries("/data/chunks")]
        paths = [f"{shard}/{file.name}" for shard in shards for file in disk.entries(shard)]
        return {path: disk.open(path).read_at(0, 2**30) for path in paths}


def host_of(name: str) -> str:
    """Where a role runs."""
    return API_HOST if name == API else f"127.0.0.{int(name.removeprefix('node')) + 2}"


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    """Five nodes, all of which a file needs."""
    with SimulatedCluster(tmp_path, seed=4, nodes=5, setting=PLAIN) as cluster:
        yield Scene(cluster)


def test_a_killed_node_refuses_and_never_does_anything_again(scene: Scene) -> None:
    """Struck while it takes a chunk: its disk stays as it is, and nothing comes from it."""
    left: dict[str, bytes] = {}

    def strike() -> None:
        left.update(scene.disk_of("node2"))
        scene.cluster.kill("node2")

    scene.strike_at(host_of("node2"), 2_500_000, strike)
    assert scene.calls.put("a", content_of(20 * 2**20)).status == 503
    assert 2**20 < sum(map(len, left.values())) < 4 * 2**20
    assert "reset" in {each.kind for each in scene.events if each.source.host == host_of("node2")}
    scene.cluster.clock.run_for(1)
    scene.events.clear()
    scene.cluster.clock.run_for(120)
    assert host_of("node2") not in {each.source.host for each in scene.events}
    assert scene.disk_of("node2") == left
    with pytest.raises(ConnectionRefusedError):
        scene.ask_node("node2", "/health/live")


@pytest.mark.parametrize("name", ["node1", API])
def test_a_killed_role_starts_again_on_what_it_had(scene: Scene, tmp_path: Path, name: str) -> None:
    """Nothing was closed for it, its lock included; and it may be killed once more."""
    for number in range(2):
        assert scene.calls.put(f"{number}", CONTENT).status == 201
        scene.cluster.kill(name)
        assert (tmp_path / "api" / "catalog.sqlite-wal").stat().st_size > 0
        scene.cluster.clock.run_for(1)
        scene.cluster.start_api() if name == API else scene.cluster.start_node(name)
        scene.cluster.clock.run_for(20)
        assert scene.calls.get(f"{number}").body == CONTENT
    assert scene.calls.get("0").body == CONTENT


def test_a_killed_api_breaks_its_answers_off(scene: Scene) -> None:
    """The client has a part, and knows that it is one; nodes are not asked for more."""
    scene.calls.put("a", CONTENT)
    begun_bytes = scene.bytes_to(CLIENT_HOST)
    scene.strike_at(CLIENT_HOST, 1_000_000, partial(scene.cluster.kill, API))
    with pytest.raises(ResponseFailed):
        scene.calls.get("a")
    assert 1_000_000 <= scene.bytes_to(CLIENT_HOST) - begun_bytes < len(CONTENT)
    scene.cluster.clock.run_for(1)
    scene.events.clear()
    scene.cluster.clock.run_for(30)
    assert API_HOST not in {each.source.host for each in scene.events}


def test_a_role_may_be_killed_as_somebody_connects(scene: Scene) -> None:
    """Who was let in by a process that ends is hung up on at once."""

    def strike(event: NetworkEvent) -> None:
        if event.kind == "connect" and event.destination.host == API_HOST:
            scene.cluster.observers.remove(strike)
            scene.cluster.kill(API)

    scene.cluster.observers.append(strike)
    with pytest.raises(ResponseNeverReceived):
        scene.cluster.run(scene.calls.begin("GET", "/health/live"), limit_seconds=1)


def test_a_paused_api_goes_on_where_it_was(scene: Scene) -> None:
    """For longer than any time limit of nodes: the answer stands still, then comes whole."""
    scene.calls.put("a", CONTENT)
    scene.strike_at(CLIENT_HOST, 1_000_000, partial(scene.cluster.pause, API))
    reading = scene.calls.begin("GET", "/files/a")
    scene.cluster.clock.run_for(1)
    arrived_bytes = scene.bytes_to(CLIENT_HOST)
    knocking = scene.calls.begin("GET", "/health/live")
    scene.cluster.clock.run_for(40)
    assert (scene.bytes_to(CLIENT_HOST), arrived_bytes < len(CONTENT)) == (arrived_bytes, True)
    assert (reading.called, knocking.called) == (False, False)
    scene.cluster.pause(API)
    scene.cluster.resume(API)
    assert scene.calls.wait(reading).body == CONTENT
    assert scene.calls.wait(knocking).status == 200


def test_a_paused_node_takes_what_its_buffers_hold(scene: Scene) -> None:
    """And no byte more; nothing of it is lost when it goes on in time."""
    pausing = partial(scene.cluster.pause, "node3")
    scene.strike_at(host_of("node3"), 100_000, pausing)
    put = scene.calls.begin_put("a", CONTENT)
    scene.cluster.clock.run_for(5)
    held_bytes = scene.bytes_to(host_of("node3"))
    assert SOCKET_BUFFER_BYTES // 2 < held_bytes <= SOCKET_BUFFER_BYTES + 200_000
    scene.cluster.clock.run_for(2)
    assert scene.bytes_to(host_of("node3")) == held_bytes
    scene.cluster.resume("node3")
    assert scene.calls.wait(put).status == 201
    assert scene.calls.get("a").body == CONTENT


def test_a_partition_stops_everything_and_heals(scene: Scene) -> None:
    """A transfer under way ends well, a new connection waits until it gives up."""
    scene.calls.put("a", CONTENT)
    scene.strike_at(CLIENT_HOST, 1_000_000, partial(scene.cluster.partition, API))
    reading = scene.calls.begin("GET", "/files/a")
    scene.cluster.clock.run_for(1)
    scene.events.clear()
    with pytest.raises(TimeoutError):
        scene.calls.get("a")
    assert not {each for each in scene.events if API_HOST in _hosts(each)}
    scene.cluster.heal()
    assert scene.calls.wait(reading).body == CONTENT


def test_partitions_part_their_members_from_all_others_only(scene: Scene) -> None:
    """Those cut off together reach each other, those cut off one after the other do not."""
    scene.cluster.partition(API, "node0", "node1")
    scene.cluster.partition("node1")
    scene.cluster.clock.run_for(0.01)
    scene.events.clear()
    scene.cluster.clock.run_for(20)
    assert {frozenset(_hosts(each)) for each in scene.events} == {
        frozenset({API_HOST, host_of("node0")})
    }


def _hosts(event: NetworkEvent) -> tuple[str, str]:
    return event.source.host, event.destination.host


@pytest.mark.parametrize("mask", [0x01, 0xFF])
def test_a_corrupted_chunk_is_not_given_away(
    scene: Scene, expected_failures: Callable[..., list[Failure]], mask: int
) -> None:
    """First byte or last, by the node that holds it; flipped back in time it is what it was."""
    scene.calls.put("a", CONTENT)
    for index, place in ((2, 0), (3, -1)):
        name, chunk_id, chunk_bytes = scene.holder_of("a", index)
        path = f"/chunks/{chunk_id.object_id}/{chunk_id.index}"
        sound = scene.ask_node(name, path)
        assert (sound.status, len(sound.body)) == (200, chunk_bytes)
        for _ in range(2):
            scene.cluster.corrupt(name, chunk_id, place % chunk_bytes, mask)
        assert scene.ask_node(name, path).body == sound.body
        scene.cluster.corrupt(name, chunk_id, place % chunk_bytes, mask)
        for status, error in ((500, "checksum"), (404, "chunk_not_found")):
            damaged = scene.ask_node(name, path)
            assert (damaged.status, damaged.json["error"]) == (status, error)
    assert expected_failures(ChecksumError)


def test_p9_damage_is_found_and_mended_before_anybody_reads(scene: Scene) -> None:
    """By the scrub, though the node is killed in between. Nobody's answer changes by it."""
    scene.cluster.add_node()
    scene.cluster.clock.run_for(10)
    assert scene.calls.put("a", CONTENT, {"X-Scheme": "5+1"}).json["losses_survived"] == 1
    name, chunk_id, chunk_bytes = scene.holder_of("a", 2)
    scene.cluster.clock.run_for(10)
    scene.cluster.kill(API)
    scene.cluster.corrupt(name, chunk_id, chunk_bytes - 1)
    scene.cluster.clock.run_for(2 * PAUSE_SECONDS)
    scene.cluster.kill(name)
    scene.cluster.start_node(name)
    scene.cluster.clock.run_for(10)
    listed = scene.ask_node(name, "/chunks").json["chunks"]
    states = {each["chunk"]: each["state"] for each in listed}
    assert states[str(chunk_id)] == "quarantined"
    reasons = scene.ask_node(name, "/health/ready").json["reasons"]
    assert [reason["code"] for reason in reasons] == ["quarantined"]
    scene.cluster.start_api()
    scene.cluster.clock.run_for(60)
    assert scene.calls.call("GET", "/files/a").body == CONTENT
    assert scene.ask_node(name, "/health/ready").json["reasons"] == []
    assert scene.calls.call("GET", "/cluster").json["objects_by_losses_survived"] == {"1": 1}


def test_only_what_is_there_can_be_corrupted(scene: Scene) -> None:
    """A test that misses must not go on as if it had struck."""
    scene.calls.put("a", CONTENT)
    name, chunk_id, chunk_bytes = scene.holder_of("a", 2)
    with pytest.raises(KeyError, match="not on this disk"):
        scene.cluster.corrupt(name, ChunkId(chunk_id.object_id, 3), 0)
    for position, mask in ((chunk_bytes, 1), (-1, 1), (0, 0), (0, 256)):
        with pytest.raises(ValueError, match=f"a chunk of {chunk_bytes} bytes"):
            scene.cluster.corrupt(name, chunk_id, position, mask)


def test_only_what_runs_can_be_killed_or_paused(scene: Scene) -> None:
    """The same."""
    scene.cluster.kill("node4")
    for strike in (scene.cluster.kill, scene.cluster.pause, scene.cluster.resume):
        with pytest.raises(KeyError, match="node4 does not run"):
            strike("node4")


def test_a_cluster_ends_in_any_state(tmp_path: Path) -> None:
    """Soon, with calls under way, and nothing is left of whom was killed."""
    with SimulatedCluster(tmp_path, seed=4, nodes=7, setting=PLAIN) as cluster:
        put = Calls(cluster).begin_put("a", CONTENT)
        put.addErrback(lambda _: None)
        cluster.clock.run_for(0.01)
        killed = weakref.ref(cluster.services["node0"])
        cluster.kill("node0")
        cluster.pause("node1")
        cluster.partition("node2", API)
        began_seconds = cluster.clock.seconds()
    assert cluster.clock.seconds() - began_seconds < ENDED_SECONDS_MAX
    assert killed() is None


def history(directory: Path, seed: int) -> list[NetworkEvent]:
    """All that arrives while every fault strikes."""
    with SimulatedCluster(directory / f"{seed}", seed, nodes=8, setting=PLAIN) as cluster:
        scene = Scene(cluster)
        scene.calls.put("a", CONTENT)
        scene.strike_at(CLIENT_HOST, 1_000_000, partial(cluster.pause, "node4"))
        scene.strike_at(API_HOST, 2_000_000, partial(cluster.kill, "node2"))
        calls: list[Deferred[Answer]] = [scene.calls.begin("GET", "/files/a") for _ in range(3)]
        calls.append(scene.calls.begin_put("b", CONTENT))
        for call in calls:
            call.addErrback(lambda _: None)
        cluster.clock.run_for(1)
        cluster.partition("node5", "node6")
        cluster.start_node("node2")
        cluster.clock.run_for(15)
        cluster.resume("node4")
        cluster.kill(API)
        cluster.heal()
        cluster.start_api()
        cluster.run(gatherResults(calls))
        cluster.clock.run_for(15)
        return [*scene.events]


def test_the_seed_decides_every_event_of_faults_too(tmp_path: Path) -> None:
    """However much garbage is collected in between."""
    first = history(tmp_path / "first", 1)
    gc.collect()
    assert history(tmp_path / "second", 1) == first
    assert history(tmp_path / "third", 2) != first
