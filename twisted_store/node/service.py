"""The role `storenode`: everything of it is made here, and nowhere else."""

import ipaddress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from twisted.application.service import IService, Service
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from twisted_store import __version__
from twisted_store.cluster.compact import LOOK_SECONDS, Compactor
from twisted_store.cluster.heartbeat import Heartbeat
from twisted_store.cluster.loop import Loop
from twisted_store.cluster.scrub import PAUSE_SECONDS, Scrub
from twisted_store.cluster.sweep import SWEEP_SECONDS, Sweep
from twisted_store.core.ids import NODE_ID_BITS, hex_id
from twisted_store.core.sizes import format_size
from twisted_store.errors import StartupError
from twisted_store.node.api_client import ApiClient
from twisted_store.node.batches import Batches
from twisted_store.node.chunk_answer import ChunkAnswers
from twisted_store.node.copies import Copies
from twisted_store.node.health import CHECK_SECONDS, NodeHealth
from twisted_store.node.marking import Marking
from twisted_store.node.options import NodeConfig, Options
from twisted_store.node.reports import Reports
from twisted_store.node.resource import GuardedResource, NodeResource
from twisted_store.node.uploads import Uploads
from twisted_store.node_client.client import NodeClient
from twisted_store.seams import Seams, real_seams
from twisted_store.storage.identity import NodeIdentity
from twisted_store.storage.limits import StoreLimits
from twisted_store.storage.store import ChunkStore
from twisted_store.web.secret import secret_headers
from twisted_store.web.server import Server
from twisted_store.web.site import StreamingSite

__all__ = ["NodeConfig", "Options", "build", "makeService"]

CLIENT_TIMEOUT_SECONDS = 3600.0
"""
A client that neither sends nor takes anything for so long is dropped.

The api watches over its own clients. A slow one leaves the connection to a node idle while the
bytes of other nodes pass, for minutes on a thin line; an api that is gone closes its connections.
"""

SOURCE_STALL_SECONDS = 10.0
"""Another node that makes no progress for so long, while a chunk is copied from it, has failed."""

_NO_SECRET = (
    "and there is no secret to ask them for: give --secret-file, listen on 127.0.0.1, or say "
    "--insecure."
)

log = Logger()


@dataclass(eq=False)
class NodeService(Service):
    """Starts the parts in order, and stops them in the opposite one; it runs once."""

    config: NodeConfig
    seams: Seams
    identity: NodeIdentity
    store: ChunkStore
    reports: Reports
    api: ApiClient
    nodes: NodeClient
    server: Server
    loops: tuple[Loop, ...]
    _was_started: bool = field(default=False, init=False)

    def startService(self) -> None:
        """Listen first: what cannot be listened on ends the process with a message."""
        if self._was_started:
            raise RuntimeError("a node that was stopped has let its data go: build another one")
        self._was_started = True
        super().startService()  # type: ignore[no-untyped-call]
        try:
            urls = self.server.start()
            self.reports.url = self.config.advertise_url or _reachable(urls[0])
        except StartupError as error:
            raise SystemExit(f"storenode: {error.message}") from error
        if self.config.insecure and self.config.secret is None:
            log.warn("--insecure: whoever reaches the port can read and change everything")
        for loop in self.loops:
            loop.start()
        self.seams.announce(
            f"storenode {__version__} listening on {' '.join(urls)}, "
            f"node {self.identity.node_id}, durability as each write asks, "
            f"{format_size(self.store.used_bytes)} of {format_size(self.store.capacity_bytes)} used"
        )

    def stopService(self) -> "Deferred[None]":
        """Let requests end, then sync and close the store."""
        super().stopService()  # type: ignore[no-untyped-call]
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        await self.server.stop()
        for loop in self.loops:
            await loop.stop()
        await self.api.close()
        await self.nodes.close()
        await self.store.stop()
        await self.identity.close()


def build(config: NodeConfig, seams: Seams) -> IService:
    """The role with its data directory open; raises `StartupError` when it cannot be."""
    identity = NodeIdentity(
        seams.disk, config.data, seams.random, seams.run_blocking, seams.monotonic
    )
    store = ChunkStore(
        seams.disk,
        config.data,
        seams.run_blocking,
        seams.open_database,
        seams.clock,
        seams.monotonic,
        seams.random,
        StoreLimits(
            reserve_bytes=config.reserve.of(seams.disk.space(config.data).total_bytes),
            capacity_bytes_max=config.capacity_bytes_max,
            needle_bytes_max=config.needle_bytes_max,
            volume_bytes_max=config.volume_bytes_max,
        ),
    )
    health = NodeHealth(store)
    instance = hex_id(seams.random.getrandbits(NODE_ID_BITS))
    reports = Reports(store, identity, health, config.zone, config.zone_named, instance)
    api = ApiClient(
        seams.clock, seams.agent_endpoints, config.api_url, identity.node_id, config.secret
    )
    nodes = NodeClient(
        seams.clock, seams.agent_endpoints, SOURCE_STALL_SECONDS, secret_headers(config.secret)
    )
    resource = _resource(seams, identity, store, health, nodes, instance)
    return NodeService(
        config=config,
        seams=seams,
        identity=identity,
        store=store,
        reports=reports,
        api=api,
        nodes=nodes,
        server=_server(config, seams, resource),
        loops=_loops(config, seams, identity, store, health, reports, api),
    )


def makeService(options: Options) -> IService:
    """What `twistd storenode` runs."""
    from twisted.internet import reactor

    try:
        return build(options.config, real_seams(reactor))
    except StartupError as error:
        raise SystemExit(f"storenode: {error.message}") from error


def _resource(
    seams: Seams,
    identity: NodeIdentity,
    store: ChunkStore,
    health: NodeHealth,
    nodes: NodeClient,
    instance: str,
) -> NodeResource:
    uploads = Uploads(store, health)
    marking = Marking(store, identity)
    return NodeResource(
        store=store,
        identity=identity,
        health=health,
        uploads=uploads,
        copies=Copies(nodes, uploads),
        chunk_answers=ChunkAnswers(store, seams.clock, CLIENT_TIMEOUT_SECONDS),
        marking=marking,
        batches=Batches(store, health, marking),
        instance=instance,
    )


def _server(config: NodeConfig, seams: Seams, resource: NodeResource) -> Server:
    site = StreamingSite(
        GuardedResource(resource.app.resource(), config.secret, resource.identity.node_id),
        seams.clock,
        seams.random,
        CLIENT_TIMEOUT_SECONDS,
        tails=(),
    )
    objection = _NO_SECRET if config.secret is None and not config.insecure else ""
    return Server(site, config.listen, seams.listen, seams.clock, objection)


def _loops(
    config: NodeConfig,
    seams: Seams,
    identity: NodeIdentity,
    store: ChunkStore,
    health: NodeHealth,
    reports: Reports,
    api: ApiClient,
) -> tuple[Loop, ...]:
    heartbeat = Heartbeat(
        api,
        reports.current,
        identity.adopt_cluster,
        lambda message: seams.fatal(f"storenode: {message}"),
        config.heartbeat_seconds,
    )
    sweep = Sweep(
        api, store, seams.monotonic, config.provisional_age_seconds, config.dead_grace_seconds
    )
    compactor = Compactor(store, seams.clock, config.compact_rate_bytes)
    scrub = Scrub(store, seams.clock, seams.random, config.scrub_rate_bytes)
    return (
        Loop(seams.clock, seams.random, health.check, CHECK_SECONDS),
        Loop(seams.clock, seams.random, heartbeat.beat, config.heartbeat_seconds),
        Loop(seams.clock, seams.random, sweep.sweep, SWEEP_SECONDS),
        Loop(seams.clock, seams.random, scrub.scrub, PAUSE_SECONDS),
        Loop(seams.clock, seams.random, compactor.compact, LOOK_SECONDS),
    )


def _reachable(url: str) -> str:
    """The URL, if others can reach this node there; raises `StartupError`."""
    parts = urlsplit(url)
    if parts.scheme != "http" or _is_wildcard(parts.hostname or ""):
        raise StartupError(
            f"The api cannot reach this node at {url}: say where it can, --advertise "
            "http://HOST:PORT."
        )
    return url


def _is_wildcard(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False
