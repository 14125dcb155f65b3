"""The role as a whole, built as in a daemon, over a simulated network and an api that is a fake."""

import re
from dataclasses import replace
from random import Random
from typing import Any

import pytest
from twisted.internet.address import IPv4Address, UNIXAddress
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.interfaces import IListeningPort
from twisted.logger import capturedLogs, formatEvent
from zope.interface import implementer

from tests.node.bench import CHUNK, MANIFEST, content, framed, path
from tests.node.simulated import CLUSTER, CONFIG, JOINED, NODE_URL, Simulation, connect
from tests.storage.seams import HeldCalls
from tests.web.wire import head
from twisted_store import __version__
from twisted_store.cluster.scrub import PAUSE_SECONDS
from twisted_store.cluster.sweep import SWEEP_SECONDS
from twisted_store.core.durability import STRICT
from twisted_store.core.ids import NODE_ID_BITS, NodeId, hex_id
from twisted_store.core.peer import Marks, Peer
from twisted_store.core.sizes import Share
from twisted_store.errors import ChunkNotFoundError, StartupError
from twisted_store.node.service import build
from twisted_store.node_client.client import NodeClient
from twisted_store.simulation.faults import flip_bits
from twisted_store.storage.limits import NEEDLE_BYTES_MAX
from twisted_store.web.server import STOP_SECONDS

# A simulated host draws from a source of its own name, first the id of its node.
NODE_ID = NodeId(hex_id(Random("127.0.0.2").getrandbits(NODE_ID_BITS)))
PEER = Peer(NODE_ID, NODE_URL)


@pytest.fixture
def simulation() -> Simulation:
    """A network with an api that listens."""
    simulation = Simulation()
    simulation.start_api()
    return simulation


def store(simulation: Simulation, client: NodeClient, chunk: bytes) -> None:
    """Put a chunk on the node as the api does."""

    async def put() -> None:
        chunk_put = client.put(PEER, CHUNK, (len(chunk), len(MANIFEST)), STRICT)
        await chunk_put.write(memoryview(chunk))
        await chunk_put.finish(MANIFEST)

    simulation.run(Deferred.fromCoroutine(put()))


def fetch(simulation: Simulation, client: NodeClient, first: int, end: int) -> bytes:
    """Get bytes of the chunk from the node as the api does."""

    async def get() -> bytes:
        source = await client.get(PEER, CHUNK, first, end)
        found = bytearray()
        while len(found) < end - first:
            found += b"".join(await source.read(end - first - len(found)))
        source.close()
        return bytes(found)

    return simulation.run(Deferred.fromCoroutine(get()))


def test_a_node_says_where_it_listens_in_one_line_that_programs_can_read(
    simulation: Simulation,
) -> None:
    """With the port that the system chose."""
    node = simulation.started(listen=("tcp:0", "tcp:8102"))
    [line] = simulation.announced
    assert re.match(
        rf"storenode {re.escape(__version__)} listening on "
        r"http://127\.0\.0\.2:49152 http://127\.0\.0\.2:8102, node [0-9a-f]{16}, ",
        line,
    )
    simulation.stop(node)


def test_a_node_registers_and_belongs_to_the_cluster_from_then_on(simulation: Simulation) -> None:
    """Its first heartbeat comes at once, and says all that the api asks for."""
    node = simulation.started(capacity_bytes_max=10**6, zone="rack 7")
    simulation.clock.run_for(0.1)
    [first] = simulation.api.bodies("heartbeat")
    assert first == {
        "node_id": node.identity.node_id,
        "url": NODE_URL,
        "zone": "rack 7",
        "zone_named": True,
        "capacity_bytes": 10**6,
        "used_bytes": 0,
        "free_bytes": 10**6,
        "instance": node.reports.instance,
        "version": __version__,
        "wire_format": 3,
        "chunk_format": 1,
        "cluster_id": None,
        "oldest_disk_call_seconds": 0.0,
        "last_sync_ok": True,
        "quarantined_chunks": 0,
    }
    simulation.clock.run_for(10 * CONFIG.heartbeat_seconds)
    beats = simulation.api.bodies("heartbeat")
    assert 9 <= len(beats) <= 12
    assert beats[-1]["cluster_id"] == CLUSTER
    assert beats[-1]["instance"] == first["instance"]
    simulation.stop(node)


def test_the_api_is_told_the_advertised_url(simulation: Simulation) -> None:
    """A node behind a proxy knows it, the address it listens on is another."""
    node = simulation.started(advertise_url="http://node7:8101")
    simulation.clock.run_for(0.1)
    assert simulation.api.bodies("heartbeat")[0]["url"] == "http://node7:8101"
    simulation.stop(node)


def test_the_api_stores_reads_and_removes_chunks_with_its_own_client(
    simulation: Simulation,
) -> None:
    """Both sides of the wire are the real ones."""
    node = simulation.started(secret="s3cret")
    client = simulation.node_client("s3cret")
    chunk = content(3_000_000)
    store(simulation, client, chunk)
    assert fetch(simulation, client, 0, len(chunk)) == chunk
    assert fetch(simulation, client, 70_001, 2_500_000) == chunk[70_001:2_500_000]
    simulation.run(Deferred.fromCoroutine(client.discard(PEER, CHUNK, 1)))
    with pytest.raises(ChunkNotFoundError):
        fetch(simulation, client, 0, 1)
    simulation.run(Deferred.fromCoroutine(client.mark(PEER, Marks(1, 1, [CHUNK], []))))
    answer = simulation.run(Deferred.fromCoroutine(client.probe(PEER)))
    assert answer["node_id"] == node.identity.node_id
    assert answer["instance"] == node.reports.instance
    simulation.run(Deferred.fromCoroutine(client.close()))
    simulation.stop(node)


def test_chunks_and_the_id_outlive_the_process(simulation: Simulation) -> None:
    """The next process on the same data is the same node."""
    client = simulation.node_client()
    node = simulation.started()
    store(simulation, client, b"bytes")
    simulation.clock.run_for(1)
    simulation.stop(node)
    again = simulation.started()
    assert again.identity.node_id == node.identity.node_id
    assert again.identity.cluster_id == CLUSTER
    assert fetch(simulation, client, 0, 5) == b"bytes"
    simulation.run(Deferred.fromCoroutine(client.close()))
    simulation.stop(again)


@pytest.mark.parametrize(("fate", "held"), [("confirm", True), ("drop", False), ("neither", True)])
def test_the_api_is_asked_about_chunks_that_nobody_confirmed(
    simulation: Simulation, fate: str, held: bool
) -> None:
    """After the provisional age, and as long as it does not say."""
    simulation.api.answer("ask", {"confirm": [], "drop": [], fate: [str(CHUNK)]})
    node = simulation.started()
    client = simulation.node_client()
    store(simulation, client, b"bytes")
    simulation.clock.run_for(CONFIG.provisional_age_seconds - SWEEP_SECONDS)
    assert not simulation.api.bodies("ask")
    simulation.clock.run_for(4 * SWEEP_SECONDS)
    asked = simulation.api.bodies("ask")
    assert asked[0] == {"chunks": [str(CHUNK)]}
    assert (len(asked) > 1) is (fate == "neither")
    page = simulation.run(Deferred.fromCoroutine(node.store.list(None, 10)))
    assert len(page.chunks) == held
    simulation.run(Deferred.fromCoroutine(client.close()))
    simulation.stop(node)


@pytest.mark.parametrize("needed", [True, False])
def test_damage_is_found_by_the_scrub_and_told_to_the_api(
    simulation: Simulation, needed: bool
) -> None:
    """Nobody has to read the chunk; it stays set aside until no file needs it."""
    simulation.api.answer("quarantined", {"drop": [] if needed else [str(CHUNK)]})
    node = simulation.started()
    client = simulation.node_client()
    store(simulation, client, b"bytes")
    simulation.run(Deferred.fromCoroutine(client.mark(PEER, Marks(1, 1, [CHUNK], []))))
    flip_bits(simulation.disk, CONFIG.data, CHUNK, 3, 1)
    simulation.clock.run_for(2 * PAUSE_SECONDS)
    assert node.store.counters.chunks_quarantined == 1
    assert simulation.api.bodies("quarantined")[0] == {"chunks": [str(CHUNK)]}
    told = [beat["quarantined_chunks"] for beat in simulation.api.bodies("heartbeat")]
    assert (told[0], told[-1]) == (0, int(needed))
    page = simulation.run(Deferred.fromCoroutine(node.store.list(None, 10)))
    assert [held.state.value for held in page.chunks] == ["quarantined" if needed else "dead"]
    simulation.run(Deferred.fromCoroutine(client.close()))
    simulation.stop(node)


def test_dead_chunks_give_their_room_back_after_the_grace(simulation: Simulation) -> None:
    """Not before: somebody may be reading them."""
    node = simulation.started()
    client = simulation.node_client()
    store(simulation, client, bytes(NEEDLE_BYTES_MAX))
    simulation.run(Deferred.fromCoroutine(client.mark(PEER, Marks(1, 1, [], [CHUNK]))))
    simulation.clock.run_for(CONFIG.dead_grace_seconds - 1)
    assert node.store.used_bytes > 0
    simulation.clock.run_for(3 * SWEEP_SECONDS)
    assert node.store.used_bytes == 0
    simulation.run(Deferred.fromCoroutine(client.close()))
    simulation.stop(node)


def test_heartbeats_go_on_when_the_disk_hangs(simulation: Simulation) -> None:
    """And tell for how long it does; nothing in the process waits for the disk."""
    held = HeldCalls()
    hanging: list[bool] = []

    def run_blocking(call: Any, /) -> Any:
        return held(call) if hanging else simulation.clock.run_blocking(call)

    seams = replace(simulation.seams("127.0.0.2"), run_blocking=run_blocking)
    node = build(CONFIG, seams)
    node.startService()
    simulation.clock.run_for(5)
    hanging.append(True)
    simulation.clock.run_for(20)
    ages = [beat["oldest_disk_call_seconds"] for beat in simulation.api.bodies("heartbeat")]
    assert ages[0] == 0
    assert ages[-1] > 10
    hanging.clear()
    held.run_all()
    simulation.stop(node)


@pytest.mark.parametrize("code", ["foreign_cluster", "duplicate_node"])
def test_a_node_that_must_not_run_ends_its_process(simulation: Simulation, code: str) -> None:
    """With the words of the api, for the operator."""
    simulation.api.answer("heartbeat", {"error": code, "message": "not here"}, 409)
    node = simulation.started()
    simulation.clock.run_for(0.1)
    assert simulation.fatal == ["storenode: not here (409)"]
    simulation.stop(node)


def test_a_node_does_not_change_clusters(simulation: Simulation) -> None:
    """An api with another catalog at the same address would drop all chunks."""
    node = simulation.started()
    simulation.clock.run_for(1)
    simulation.api.answer("heartbeat", JOINED | {"cluster_id": "d" * 16})
    simulation.clock.run_for(5)
    [message, *_] = simulation.fatal
    assert "belongs to cluster" in message
    simulation.stop(node)


def test_a_directory_in_use_is_refused(simulation: Simulation) -> None:
    """Two processes on one node's data would destroy it."""
    node = simulation.started()
    with pytest.raises(StartupError, match="Another process uses the data directory /data"):
        simulation.build("127.0.0.3")
    simulation.stop(node)


def test_a_port_that_is_taken_is_refused(simulation: Simulation) -> None:
    """At once, not by a process that runs on deaf."""
    node = simulation.started()
    second = simulation.build(data="/other")
    with pytest.raises(SystemExit, match=r"storenode: Cannot listen on tcp:8101"):
        second.startService()
    simulation.stop(node)


def test_other_machines_are_served_only_with_a_secret_or_on_demand(
    simulation: Simulation,
) -> None:
    """By default nobody else can reach what is stored."""
    with pytest.raises(SystemExit, match="--secret-file"):
        simulation.build("10.0.0.1").startService()
    with capturedLogs() as events:
        guarded = simulation.started("10.0.0.2", data="/guarded", secret="s3cret")
        assert not any("--insecure" in (formatEvent(event) or "") for event in events)
        unguarded = simulation.started("10.0.0.3", data="/unguarded", insecure=True)
    assert any("--insecure" in (formatEvent(event) or "") for event in events)
    simulation.stop(guarded)
    simulation.stop(unguarded)


@implementer(IListeningPort)
class Port:
    """Listens at any address."""

    def __init__(self, address: object) -> None:
        self._address = address

    def startListening(self) -> None:  # noqa: N802
        """Done."""

    def stopListening(self) -> "Deferred[None]":  # noqa: N802
        """Done."""
        return succeed(None)

    def getHost(self) -> Any:
        """As the test wants it."""
        return self._address


class Endpoint:
    """Gives a `Port`."""

    def __init__(self, address: object) -> None:
        self._port = Port(address)

    def listen(self, _: object) -> "Deferred[Any]":
        """At once."""
        return succeed(self._port)


@pytest.mark.parametrize(
    "address",
    [IPv4Address("TCP", "0.0.0.0", 8101), IPv4Address("TCP", "::", 8101), UNIXAddress("/socket")],
)
def test_an_address_that_is_none_for_others_must_be_replaced(
    simulation: Simulation, address: object
) -> None:
    """All interfaces, or a socket: the api needs to be told where."""
    endpoint: Any = Endpoint(address)
    seams = replace(simulation.seams("10.0.0.1"), listen=lambda _: endpoint)
    with pytest.raises(SystemExit, match="--advertise http://HOST:PORT"):
        build(replace(CONFIG, insecure=True), seams).startService()
    advertised = build(
        replace(CONFIG, data="/other", insecure=True, advertise_url="http://node7:8101"), seams
    )
    advertised.startService()
    simulation.stop(advertised)


def test_the_reserve_may_be_a_part_of_the_disk(simulation: Simulation) -> None:
    """Of all of it, however much is taken."""
    whole = simulation.build(data="/whole")
    half = simulation.build(data="/half", reserve=Share(fraction=0.5))
    assert half.store.free_bytes == pytest.approx(whole.store.free_bytes / 2, rel=0.01)


def outcome(stopping: "Deferred[None]") -> list[None]:
    """Filled when the node has stopped."""
    stopped: list[None] = []
    stopping.addCallback(stopped.append)
    return stopped


def test_a_request_under_way_may_end_when_the_node_stops(simulation: Simulation) -> None:
    """No new ones come meanwhile, and idle connections are closed."""
    node = simulation.started()
    idle, busy = connect(simulation), connect(simulation)
    body = framed(b"bytes")
    busy.send(head(f"PUT {path()}", f"Content-Length: {len(body)}") + body[:20])
    simulation.clock.run_for(1)
    stopped = outcome(node.stopService())
    simulation.clock.run_for(1)
    assert idle.lost
    assert (busy.lost, stopped) == (False, [])
    with pytest.raises(ConnectionRefusedError):
        connect(simulation)
    busy.send(body[20:])
    simulation.clock.run_for(1)
    assert busy.received.startswith(b"HTTP/1.1 201 ")
    assert (busy.lost, stopped) == (True, [None])


def test_a_request_that_does_not_end_is_broken_off(simulation: Simulation) -> None:
    """A stop takes seconds, whatever a client does, and leaves nothing half written."""
    node = simulation.started()
    busy = connect(simulation)
    busy.send(head(f"PUT {path()}", "Content-Length: 1000") + framed(b"bytes")[:20])
    simulation.clock.run_for(1)
    stopped = outcome(node.stopService())
    simulation.clock.run_for(STOP_SECONDS + 1)
    assert (busy.lost, stopped) == (True, [None])
    assert node.store.used_bytes == 0


@pytest.mark.parametrize("with_api", [True, False])
def test_a_node_that_stopped_leaves_nothing_running(with_api: bool) -> None:
    """No timer, no connection, no lock; whether the api is there or away."""
    simulation = Simulation()
    if with_api:
        simulation.start_api()
    node = simulation.started()
    simulation.clock.run_for(3)
    simulation.stop(node)
    simulation.clock.run_for(1)
    assert not simulation.clock.getDelayedCalls()
    simulation.build()


def test_a_node_is_started_once(simulation: Simulation) -> None:
    """After a stop its data may belong to another process."""
    node = simulation.started()
    with pytest.raises(RuntimeError):
        node.startService()
    simulation.stop(node)
    with pytest.raises(RuntimeError):
        node.startService()
