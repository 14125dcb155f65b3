"""A whole cluster in one process: the daemons' own `build`, each on a host of its own."""

from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path
from random import Random
from typing import TypeVar

from treq.client import HTTPClient
from twisted.application.service import IService
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.endpoints import serverFromString
from twisted.web.client import Agent

from twisted_store.api.options import ApiConfig
from twisted_store.api.service import build as build_api
from twisted_store.coding.choice import best_coder
from twisted_store.core.ids import ChunkId
from twisted_store.core.sizes import Share
from twisted_store.database import DatabaseOpener, open_in_memory
from twisted_store.node.options import NodeConfig
from twisted_store.node.service import build as build_node
from twisted_store.node_client.client import NodeClient
from twisted_store.seams import Seams
from twisted_store.simulation.burial import bury
from twisted_store.simulation.clock import SimulatedClock
from twisted_store.simulation.faults import flip_bits
from twisted_store.simulation.network import SimulatedHost, SimulatedNetwork
from twisted_store.simulation.process_disk import ProcessDisk, process_opener
from twisted_store.simulation.setting import API, DEFAULT, Setting
from twisted_store.simulation.wire import LATENCY_SECONDS_MAX, NetworkEvent
from twisted_store.storage.disk import Disk

T = TypeVar("T")

API_PORT = 8080
NODE_PORT = 8101
SUSPECT_AFTER_SECONDS = 15.0
"""After so long without a heartbeat a node takes no chunks."""

JOIN_SECONDS = 10.0
"""In so much simulated time a cluster that was started is ready."""

NODE_TIMEOUT_SECONDS = 10.0
"""The daemons' default."""

NODE_ROOT = "/data"
"""Where a node keeps what it has."""

_API_HOST = "127.0.0.1"


class FatalError(Exception):
    """A role asked to be ended."""


class SimulatedCluster:
    """
    One api and some nodes, driven by a seed.

    Catalogs are SQLite files below ``directory``; all else, time included, is simulated. Use it as
    a context manager: what runs or is paused is stopped at the end, in a network that is whole.

    Each of ``observers`` is told of all that arrives anywhere, just before it is looked at, and may
    strike in that very moment: kill, pause, partition.
    """

    def __init__(
        self,
        directory: Path,
        seed: int,
        nodes: int,
        setting: Setting = DEFAULT,
        clock: SimulatedClock | None = None,
    ) -> None:
        self.clock = clock or SimulatedClock()
        self.random = Random(seed)
        self.services: dict[str, IService] = {}
        self.announced: list[str] = []
        self._directory = directory
        self.observers: list[Callable[[NetworkEvent], object]] = []
        self._network = SimulatedNetwork(
            self.clock, Random(self.random.getrandbits(64)), self._observe
        )
        self._setting = setting
        self._disks: dict[str, Disk] = {}
        self._hosts: dict[str, str] = {}
        self._dead: list[object] = []
        self._client_host = self._network.host("127.0.1.1")
        self.client = HTTPClient(Agent.usingEndpointFactory(self.clock, self._client_host))
        self.start_api()
        for _ in range(nodes):
            self.add_node()
        self.clock.run_for(JOIN_SECONDS)

    def __enter__(self) -> "SimulatedCluster":
        return self

    def __exit__(self, *_: object) -> None:
        self.heal()
        for name in self.services:
            self.resume(name)
        for name in reversed(list(self.services)):
            self.stop(name)
        if self._dead:
            self.clock.run_for(LATENCY_SECONDS_MAX)  # what is on its way to them
            bury(self._dead)

    @property
    def url(self) -> str:
        """Where the api listens."""
        return f"http://{_API_HOST}:{API_PORT}"

    def node_client(self) -> NodeClient:
        """A client of nodes like the api's, on the host of `client`."""
        return NodeClient(self.clock, self._client_host, NODE_TIMEOUT_SECONDS, {})

    def run(self, deferred: "Deferred[T]", limit_seconds: float = 120.0) -> T:
        """The result, after as much simulated time as it takes."""
        return self.clock.run_until(deferred, limit_seconds)

    def start_api(self) -> None:
        """Start the api, on the data of one that was stopped before."""
        config = ApiConfig(
            data=str(self._directory / "api"),
            listen=(f"tcp:{API_PORT}",),
            secret=None,
            insecure=False,
            durability=self._setting.durability,
            suspect_after_seconds=SUSPECT_AFTER_SECONDS,
            lost_after_seconds=self._setting.lost_after_seconds,
            move_rate_bytes=self._setting.move_rate_bytes,
            node_timeout_seconds=NODE_TIMEOUT_SECONDS,
            client_timeout_seconds=60.0,
            upload_memory_bytes=256 * 2**20,
            download_memory_bytes=256 * 2**20,
            object_bytes_max=None,
            rules=self._setting.rules,
        )
        host = self._network.host(_API_HOST)
        self._hosts[API] = host.name
        seams = self._seams(host, self.disk(API), self._setting.open_database)
        self._start(API, build_api(config, seams))

    def add_node(self) -> str:
        """Start a node on an empty disk and give its name."""
        name = next(name for number in count() if (name := f"node{number}") not in self._disks)
        self.start_node(name)
        return name

    def start_node(self, name: str) -> None:
        """Start a node, on the data of the one of that name that was stopped before."""
        number = int(name.removeprefix("node"))
        config = NodeConfig(
            data=NODE_ROOT,
            listen=(f"tcp:{NODE_PORT}",),
            api_url=self.url,
            advertise_url=None,
            zone=self._setting.zones.get(name, name),
            zone_named=name in self._setting.zones,
            capacity_bytes_max=None,
            reserve=Share(),
            secret=None,
            insecure=False,
            provisional_age_seconds=self._setting.provisional_age_seconds,
            dead_grace_seconds=self._setting.dead_grace_seconds,
            heartbeat_seconds=2.0,
            scrub_rate_bytes=self._setting.scrub_rate_bytes,
            compact_rate_bytes=self._setting.compact_rate_bytes,
            needle_bytes_max=self._setting.needle_bytes_max,
            volume_bytes_max=self._setting.volume_bytes_max,
        )
        host = self._network.host(f"127.0.0.{number + 2}")
        self._hosts[name] = host.name
        self._start(name, build_node(config, self._seams(host, self.disk(name), open_in_memory)))

    def node_name(self, url: str) -> str:
        """The name of the node that listens there; empty for none."""
        host = url.rpartition(":")[0].removeprefix("http://")
        return next((name for name, known in self._hosts.items() if known == host), "")

    def disk(self, name: str) -> Disk:
        """The disk of a role, which stays when the role is stopped."""
        if name not in self._disks:
            self._disks[name] = self._setting.disk(name)
        return self._disks[name]

    def stop(self, name: str) -> None:
        """Stop a role cleanly."""
        service = self.services.pop(name)
        self.run(maybeDeferred(service.stopService))

    def kill(self, name: str) -> None:
        """
        End a role in mid-air, as SIGKILL does: its peers get a RST, its port refuses.

        What it had written is there for the next one of its name.
        """
        host = self._running(name)
        # Kept until the end, or its coroutines would be collected at a moment of chance.
        self._dead += [self.services.pop(name), host]
        host.kill()

    def pause(self, name: str) -> None:
        """
        Suspend a role, as SIGSTOP does: nothing of it goes on.

        Its host still takes connections, and bytes as long as there is room for them.
        """
        self._running(name).clock.pause()

    def resume(self, name: str) -> None:
        """Let a role go on, first with all that has become due."""
        self._running(name).clock.resume()

    def partition(self, *names: str) -> None:
        """Cut these roles off from all others, clients included, but not from each other."""
        self._network.wire.partition.part(*(self._hosts[name] for name in names))

    def heal(self) -> None:
        """End all partitions; what is under way arrives."""
        self._network.wire.heal()

    def corrupt(self, name: str, chunk_id: ChunkId, position: int, mask: int = 1) -> None:
        """
        Flip bits of a byte of a chunk on the disk of a node, whether it runs or not.

        Raises KeyError when the chunk is not there, ValueError when it has no such byte.
        """
        flip_bits(self._disks[name], NODE_ROOT, chunk_id, position, mask)

    def _running(self, name: str) -> SimulatedHost:
        if name not in self.services:
            raise KeyError(f"{name} does not run")
        return self._network.host(self._hosts[name])

    def _observe(self, event: NetworkEvent) -> None:
        for observer in list(self.observers):
            observer(event)

    def _start(self, name: str, service: IService) -> None:
        service.startService()
        self.services[name] = service

    def _seams(self, host: SimulatedHost, disk: Disk, opener: DatabaseOpener) -> Seams:
        return Seams(
            clock=host.clock,
            monotonic=self.clock.seconds,
            wall=self.clock.wall_seconds,
            random=Random(self.random.getrandbits(64)),
            listen=partial(serverFromString, host),
            agent_endpoints=host,
            run_blocking=host.clock.run_blocking,
            disk=ProcessDisk(disk, host.holdings),
            open_database=process_opener(opener, host.holdings),
            coder=best_coder(),
            announce=self.announced.append,
            fatal=_fatal,
        )


def _fatal(message: str) -> None:
    raise FatalError(message)
