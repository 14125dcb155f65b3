"""A simulated cluster whose api is set as a test needs it, and ways to be rude to it."""

from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any, Self, TypeVar

from twisted.application.service import IService
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IStreamServerEndpoint
from twisted.internet.protocol import Factory, Protocol

from tests.web.wire import Answer, parse_answers
from twisted_store.api.budget import MemoryBudget
from twisted_store.api.digests import ExpectedDigests
from twisted_store.api.download import Downloads
from twisted_store.api.in_flight import InFlight
from twisted_store.api.lanes import LaneSources
from twisted_store.api.metrics import Metrics
from twisted_store.api.options import ApiConfig
from twisted_store.api.service import ApiService
from twisted_store.api.service import build as build_api
from twisted_store.api.transfer import Transfers
from twisted_store.api.upload import FileToStore, Uploads
from twisted_store.catalog.catalog import Catalog
from twisted_store.catalog.entries import Committed, Entry
from twisted_store.cluster.marks import MarkDelivery
from twisted_store.core.conditions import NO_CONDITIONS, Conditions
from twisted_store.core.durability import STRICT
from twisted_store.core.hedging import HedgingDelay
from twisted_store.core.ids import NodeId, Placement
from twisted_store.core.manifest import Manifest
from twisted_store.core.reasons import NO_REASONS, Reasons
from twisted_store.core.scheme import Scheme, SchemeRules
from twisted_store.database import DatabaseOpener
from twisted_store.seams import Seams
from twisted_store.simulation.cluster import API_PORT, NODE_ROOT, SimulatedCluster
from twisted_store.simulation.network import SimulatedHost
from twisted_store.simulation.setting import API, Setting
from twisted_store.storage.contents import chunks_in
from twisted_store.storage.disk import Disk

T = TypeVar("T")

MIB = 2**20
STRIPE = 5 * MIB

CONFIG = ApiConfig(
    data="",
    listen=(f"tcp:{API_PORT}",),
    secret=None,
    insecure=False,
    durability=STRICT,
    suspect_after_seconds=15.0,
    lost_after_seconds=1800.0,
    node_timeout_seconds=10.0,
    client_timeout_seconds=60.0,
    upload_memory_bytes=256 * MIB,
    download_memory_bytes=256 * MIB,
    object_bytes_max=None,
    rules=SchemeRules(Scheme.PLAIN),
)


FILES = Setting(needle_bytes_max=0)
"""A file for each chunk, so that a test can lay its hands on it."""


class ApiCluster(SimulatedCluster):
    """A simulated cluster; ``changes`` are those of the api's config."""

    def __init__(
        self, directory: Path, nodes: int, setting: Setting | None = None, **changes: Any
    ) -> None:
        self._config = replace(CONFIG, data=str(directory / "api"), **changes)
        self._gates: dict[str, Deferred[None]] = {}
        super().__init__(directory, seed=3, nodes=nodes, setting=setting or FILES)

    def __enter__(self) -> Self:
        return self

    def start_api(self) -> None:
        """As set."""
        host = self._network.host("127.0.0.1")
        self._hosts[API] = host.name
        seams = self._seams(host, self.disk(API), self._setting.open_database)
        self._start(API, build_api(self._config, seams))

    @property
    def api(self) -> ApiService:
        """The service."""
        service: IService = self.services[API]
        assert isinstance(service, ApiService)
        return service

    def chunk_files(self) -> dict[str, str]:
        """The states of all chunks, by node and chunk."""
        found = {}
        for name in self._disks.keys() - {API}:
            for chunk_id, held in chunks_in(self.disk(name), NODE_ROOT).items():
                found[f"{name}/{chunk_id}"] = held.state.value
        return found

    def node_ids(self) -> dict[NodeId, str]:
        """The names of nodes by their ids."""
        return {
            status.member.peer.node_id: f"node{_host_number(status.member.peer.url) - 2}"
            for status in self.api.members.status()
        }

    def receiving(self) -> list[str]:
        """The nodes that chunks are on their way to."""
        names = self.node_ids()
        return [
            names[status.member.peer.node_id]
            for status in self.api.members.status()
            if status.member.traffic.assigned_bytes
        ]

    def suspects(self) -> list[str]:
        """The nodes that the api does not trust."""
        names = self.node_ids()
        return [
            names[status.member.peer.node_id]
            for status in self.api.members.status()
            if status.verdict.reason
        ]

    def hold_disk(self, name: str) -> "Deferred[None]":
        """Let no disk call of a node come back before this gate opens; its loop goes on."""
        gate: Deferred[None] = Deferred()
        self._gates[_address(name)] = gate
        return gate

    def usurp(self, name: str, takes_bytes: int, hangs_up: bool) -> None:
        """
        Put another process in the place of a node, which nobody notices yet.

        It takes so many bytes of each connection, and then no more; or it hangs up.
        """
        self.stop(name)
        host = self._network.host(_address(name))
        factory = Factory.forProtocol(lambda: Usurper(takes_bytes, hangs_up))
        self.run(host.listen_endpoint(8101).listen(factory))

    def lose_chunks(self, name: str) -> None:
        """Let a node find its disk without any chunk; they must be files."""
        for path in self.chunk_paths(name):
            self.disk(name).remove(path)

    def chunk_paths(self, name: str) -> list[str]:
        """The chunk files of a node."""
        disk = self.disk(name)
        shards = [f"/data/chunks/{shard.name}" for shard in disk.entries("/data/chunks")]
        return [f"{shard}/{file.name}" for shard in shards for file in disk.entries(shard)]

    def endpoint(self, port: int) -> IStreamServerEndpoint:
        """Where something else can listen beside the api."""
        return self._network.host("127.0.0.1").listen_endpoint(port)

    def dial(self) -> "RawClient":
        """A connection to the api."""
        client = RawClient(self)
        host = self._network.host("127.0.1.2")
        self.run(host.connect_endpoint("127.0.0.1", API_PORT).connect(client.factory))
        return client

    def _seams(self, host: SimulatedHost, disk: Disk, opener: DatabaseOpener) -> Seams:
        def run_blocking(call: Callable[[], T], /) -> "Deferred[T]":
            done = host.clock.run_blocking(call)
            gate = self._gates.get(host.name)
            return done if gate is None else _held(done, gate)

        return replace(super()._seams(host, disk, opener), run_blocking=run_blocking)


def _held(done: "Deferred[T]", gate: "Deferred[None]") -> "Deferred[T]":
    waiting: Deferred[T] = Deferred()

    def opened(_: None) -> None:
        done.chainDeferred(waiting)

    gate.addCallback(opened)
    return waiting


def _address(name: str) -> str:
    return f"127.0.0.{int(name.removeprefix('node')) + 2}"


def _host_number(url: str) -> int:
    return int(url.rpartition(":")[0].rpartition(".")[2])


class Usurper(Protocol):
    """Takes some bytes and then hangs up, or says nothing and reads nothing."""

    def __init__(self, takes_bytes: int, hangs_up: bool) -> None:
        self._left_bytes = takes_bytes
        self._hangs_up = hangs_up

    def dataReceived(self, data: bytes) -> None:
        """Count."""
        self._left_bytes -= len(data)
        if self._left_bytes <= 0:
            transport: Any = self.transport
            transport.abortConnection() if self._hangs_up else transport.stopReading()


class RawClient(Protocol):
    """Speaks in bytes and keeps what comes back."""

    def __init__(self, cluster: SimulatedCluster) -> None:
        self.received = b""
        self.closed = False
        self.factory = Factory.forProtocol(lambda: self)
        self._cluster = cluster

    def dataReceived(self, data: bytes) -> None:
        """Keep it."""
        self.received += data

    def connectionLost(self, reason: Any = None) -> None:
        """The api closed."""
        self.closed = True

    def say(self, raw: bytes, seconds: float = 1.0) -> bytes:
        """Send, and give all that came until so much later."""
        transport: Any = self.transport
        transport.write(raw)
        self._cluster.clock.run_for(seconds)
        return self.received

    def call(self, request_line: str, *fields: str, body: bytes = b"") -> Answer:
        """Send a whole request, and give its answer."""
        lines = [f"{request_line} HTTP/1.1", "Host: x", *fields, f"Content-Length: {len(body)}"]
        head = "\r\n".join([*lines, "", ""]).encode("latin-1")
        self.received = b""
        return parse_answers(self.say(head + body, 15.0))[-1]

    def leave(self) -> None:
        """Reset the connection."""
        transport: Any = self.transport
        transport.abortConnection()
        self._cluster.clock.run_for(1)


class HandFed:
    """A body that a test gives piece by piece; ``asked`` tells whether somebody wants one."""

    def __init__(self) -> None:
        self.asked = False
        self._pieces: deque[bytes | Exception | None] = deque()
        self._waiter: Deferred[None] | None = None

    def give(self, *pieces: bytes | Exception | None) -> None:
        """Some bytes, an error, or None for the end."""
        self._pieces += pieces
        waiter, self._waiter = self._waiter, None
        if waiter is not None:
            waiter.callback(None)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        self.asked = True
        while not self._pieces:
            self._waiter = Deferred(lambda _: setattr(self, "_waiter", None))
            await self._waiter
        piece = self._pieces.popleft()
        if isinstance(piece, Exception):
            raise piece
        if piece is None:
            raise StopAsyncIteration
        return piece


async def body_of(*pieces: bytes) -> AsyncIterator[bytes]:
    """A body that is there already."""
    for piece in pieces:
        yield piece


class GatedCatalog:
    """
    The catalog of an api, but a commit waits for `gate`, which may also fail.

    ``looked_up`` are the names that were asked for.
    """

    def __init__(self, catalog: Catalog) -> None:
        self.gate: Deferred[None] = Deferred()
        self.committing = False
        self.looked_up: list[str] = []
        self._catalog = catalog

    def __getattr__(self, name: str) -> Any:
        return getattr(self._catalog, name)

    async def get(self, name: str) -> Entry | None:
        """The object of this name."""
        self.looked_up.append(name)
        return await self._catalog.get(name)

    async def commit(
        self,
        manifest: Manifest,
        placement: Placement,
        conditions: Conditions = NO_CONDITIONS,
        reasons: Reasons = NO_REASONS,
        auto: bool = True,
    ) -> Committed:
        """Commit when the gate opens."""
        self.committing = True
        await self.gate
        return await self._catalog.commit(manifest, placement, conditions, reasons, auto)


class UploadWorld:
    """The use case on the parts of a running api, with a budget of its own to look at."""

    def __init__(
        self,
        cluster: ApiCluster,
        budget_bytes: int = 64 * MIB,
        object_bytes_max: int | None = None,
    ) -> None:
        api = cluster.api
        catalog: Any = GatedCatalog(api.catalog)
        self.cluster = cluster
        self.catalog: GatedCatalog = catalog
        self.budget = MemoryBudget("uploads", budget_bytes, cluster.clock)
        self.in_flight = InFlight(api.catalog.incarnation, Random(5))
        self.uploads = Uploads(
            catalog,
            transfers_of(cluster),
            MarkDelivery(api.catalog, api.client, api.members, lambda *_: None),
            self.in_flight,
            self.budget,
            cluster.clock.wall_seconds,
            object_bytes_max,
        )

    def begin(
        self, body: AsyncIterator[bytes], size_bytes: int | None, **changes: Any
    ) -> "Deferred[Any]":
        """Begin to store a file called ``a``."""
        file = replace(file_of(size_bytes), **changes)
        upload = Deferred.fromCoroutine(self.uploads.put(file, body))
        self.cluster.clock.run_for(0.5)
        return upload

    def open_gate(self) -> None:
        """Let commits happen."""
        self.catalog.gate.callback(None)
        self.cluster.clock.run_for(0.5)

    @property
    def idle(self) -> bool:
        """Whether nothing is reserved, in flight or on its way any more."""
        assigned = any(self.cluster.receiving())
        return not (self.budget.reserved_bytes or self.in_flight.snapshot() or assigned)


def transfers_of(cluster: ApiCluster) -> Transfers:
    """Transfers on the parts of a running api."""
    api, seams = cluster.api, cluster.api.seams
    rules = api.config.rules
    metrics = Metrics(HedgingDelay())
    return Transfers(api.members, api.client, metrics, seams.coder.combine, rules, STRICT)


def downloads_of(cluster: ApiCluster, catalog: Any = None) -> Downloads:
    """Downloads on the parts of a running api, with another catalog if need be."""
    api, hedging = cluster.api, HedgingDelay()
    metrics, seconds = Metrics(hedging), cluster.clock.seconds
    sources = LaneSources(
        api.members, api.client, metrics, hedging, seconds, absent=lambda *_: None
    )
    return Downloads(catalog or api.catalog, sources, api.seams.coder.combine)


def file_of(size_bytes: int | None) -> FileToStore:
    """What a client says of a plain file called ``a``."""
    return FileToStore("a", size_bytes, "text/plain", (), NO_CONDITIONS, ExpectedDigests())
