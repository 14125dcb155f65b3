"""A node built as in a daemon, and an api that answers what a test wants, in simulated time."""

import json
from dataclasses import dataclass, field, replace
from functools import partial
from random import Random
from typing import Any, TypeVar

from klein import Klein
from twisted.application.service import IService
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.endpoints import connectProtocol, serverFromString
from twisted.internet.protocol import Protocol

from twisted_store.coding.choice import best_coder
from twisted_store.core.sizes import Share
from twisted_store.database import open_in_memory
from twisted_store.node.options import NodeConfig
from twisted_store.node.service import NodeService, build
from twisted_store.node_client.client import NodeClient
from twisted_store.seams import Seams
from twisted_store.simulation.clock import SimulatedClock
from twisted_store.simulation.disk import MemoryDisk
from twisted_store.simulation.network import SimulatedNetwork
from twisted_store.simulation.wire import NetworkEvent
from twisted_store.web.answers import answer_errors
from twisted_store.web.bodies import read_json_object
from twisted_store.web.request import StreamingRequest
from twisted_store.web.secret import secret_headers
from twisted_store.web.site import StreamingSite

T = TypeVar("T")

API_URL = "http://127.0.0.1:8080"
NODE_URL = "http://127.0.0.2:8101"
CLUSTER = "c" * 16

CONFIG = NodeConfig(
    data="/data",
    listen=("tcp:8101",),
    api_url=API_URL,
    advertise_url=None,
    zone="here",
    zone_named=True,
    capacity_bytes_max=None,
    reserve=Share(),
    secret=None,
    insecure=False,
    provisional_age_seconds=60.0,
    dead_grace_seconds=600.0,
    heartbeat_seconds=2.0,
    scrub_rate_bytes=4 * 2**20,
    compact_rate_bytes=32 * 2**20,
    needle_bytes_max=256 * 2**10,
    volume_bytes_max=2**30,
)

JOINED = {
    "cluster_id": CLUSTER,
    "incarnation": 1,
    "membership": "up",
    "reason": "",
    "interval_seconds": 5.0,
}


@dataclass(frozen=True)
class Call:
    """A call that came to the api."""

    path: str
    authorization: str | None
    body: dict[str, Any]


@dataclass
class FakeApi:
    """
    Answers calls by their name, like ``heartbeat`` or ``ask``, with a status and raw bytes.

    ``gate`` is awaited before an answer, if there is one.
    """

    app = Klein()
    answer_errors(app)

    calls: list[Call] = field(default_factory=list)
    answers: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    gate: Deferred[None] | None = None

    def answer(self, name: str, value: object, status: int = 200) -> None:
        """Answer with JSON from now on."""
        self.answers[name] = (status, json.dumps(value).encode())

    def bodies(self, name: str) -> list[dict[str, Any]]:
        """What came with the calls of that name."""
        return [call.body for call in self.calls if call.path.endswith(f"/{name}")]

    @app.route("/nodes/<node_id>/<name>", methods=["POST"])
    async def call(self, request: StreamingRequest, node_id: str, name: str) -> None:
        """Take any call of a node."""
        body = await read_json_object(request, 1024 * 1024)
        path = f"/nodes/{node_id}/{name}"
        self.calls.append(Call(path, request.getHeader("Authorization"), body))
        if self.gate is not None:
            await self.gate
        status, content = self.answers[name]
        request.setResponseCode(status)
        request.write(content)


class Connection(Protocol):
    """Keeps what comes."""

    def __init__(self) -> None:
        self.received = b""
        self.lost = False

    def send(self, data: bytes) -> None:
        """Send it."""
        assert self.transport is not None
        self.transport.write(data)

    def dataReceived(self, data: bytes) -> None:
        """Keep it."""
        self.received += data

    def connectionLost(self, reason: object = None) -> None:
        """Note it."""
        self.lost = True


class Simulation:
    """The api, room for nodes, and a client, each on a host of its own."""

    def __init__(self) -> None:
        self.clock = SimulatedClock()
        self.events: list[NetworkEvent] = []
        self.network = SimulatedNetwork(self.clock, Random(7), self.events.append)
        self.api = FakeApi()
        self.api.answer("heartbeat", JOINED)
        self.api.answer("ask", {"confirm": [], "drop": []})
        self.api.answer("quarantined", {"drop": []})
        self.disk = MemoryDisk(2**40)
        self.announced: list[str] = []
        self.fatal: list[str] = []
        self._api_port: Any = None

    def start_api(self) -> None:
        """Let the api listen."""
        site = StreamingSite(self.api.app.resource(), self.clock, Random(8))
        endpoint = serverFromString(self.network.host("127.0.0.1"), "tcp:8080")
        self._api_port = self.run(endpoint.listen(site))

    def build(self, host: str = "127.0.0.2", **changes: Any) -> NodeService:
        """A node on that host; ``changes`` are those of its config."""
        service = build(replace(CONFIG, **changes), self.seams(host))
        assert isinstance(service, NodeService)
        return service

    def started(self, host: str = "127.0.0.2", **changes: Any) -> NodeService:
        """A node that runs."""
        service = self.build(host, **changes)
        service.startService()
        return service

    def seams(self, host: str) -> Seams:
        """The seams of a role on that host."""
        machine = self.network.host(host)
        return Seams(
            clock=self.clock,
            monotonic=self.clock.seconds,
            wall=self.clock.wall_seconds,
            random=Random(host),
            listen=partial(serverFromString, machine),
            agent_endpoints=machine,
            run_blocking=self.clock.run_blocking,
            disk=self.disk,
            open_database=open_in_memory,
            coder=best_coder(),
            announce=self.announced.append,
            fatal=self.fatal.append,
        )

    def run(self, deferred: "Deferred[T]", limit_seconds: float = 60.0) -> T:
        """The result, after as much simulated time as it takes."""
        return self.clock.run_until(deferred, limit_seconds)

    def stop(self, service: IService) -> None:
        """Stop a node cleanly."""
        self.run(maybeDeferred(service.stopService))

    def node_client(self, secret: str | None = None) -> NodeClient:
        """The api's client of nodes, on a host of its own."""
        host = self.network.host("127.0.0.9")
        return NodeClient(self.clock, host, 10.0, secret_headers(secret))


def connect(simulation: Simulation) -> Connection:
    """A raw connection to the node."""
    endpoint = simulation.network.host("127.0.0.9").connect_endpoint("127.0.0.2", 8101)
    connection = Connection()
    simulation.run(connectProtocol(endpoint, connection))
    return connection
