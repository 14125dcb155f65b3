"""The role `storeapi`: everything of it is made here, and nowhere else."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from twisted.application.service import IService, Service
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from twisted_store import __version__
from twisted_store.api.budget import MemoryBudget
from twisted_store.api.directory import hold_directory
from twisted_store.api.download import Downloads
from twisted_store.api.file_answer import FileAnswers
from twisted_store.api.in_flight import InFlight
from twisted_store.api.lanes import LaneSources
from twisted_store.api.metrics import Metrics
from twisted_store.api.node_calls import NodeCalls
from twisted_store.api.options import ApiConfig, Options
from twisted_store.api.ownership import Ownership
from twisted_store.api.resource import ApiResource
from twisted_store.api.transfer import Transfers
from twisted_store.api.upload import Uploads
from twisted_store.catalog.catalog import Catalog, open_catalog
from twisted_store.catalog.entries import KnownNode
from twisted_store.cluster.loop import Loop
from twisted_store.cluster.marks import MarkDelivery
from twisted_store.cluster.members import TICK_SECONDS, Member, Members
from twisted_store.core.hedging import HedgingDelay
from twisted_store.core.peer import Peer
from twisted_store.errors import StartupError
from twisted_store.node_client.client import NodeClient
from twisted_store.seams import Seams, real_seams
from twisted_store.web.secret import secret_headers
from twisted_store.web.server import Server
from twisted_store.web.site import StreamingSite

__all__ = ["Options", "build", "makeService"]

_OPEN_TO_CLIENTS = (
    "and clients are not asked for anything, whether there is a secret or not: listen on "
    "127.0.0.1, or say --insecure."
)

log = Logger()


@dataclass
class ApiService(Service):
    """Starts the parts in order, and stops them in the opposite one."""

    config: ApiConfig
    seams: Seams
    catalog: Catalog
    members: Members
    client: NodeClient
    server: Server
    loops: tuple[Loop, ...]
    release: Callable[[], None]

    def startService(self) -> None:
        """Listen first: what cannot be listened on ends the process with a message."""
        super().startService()  # type: ignore[no-untyped-call]
        try:
            urls = self.server.start()
        except StartupError as error:
            raise SystemExit(f"storeapi: {error.message}") from error
        if self.config.insecure:
            log.warn(
                "--insecure: clients are not asked for anything, whoever reaches the port can read "
                "and change everything"
            )
        for loop in self.loops:
            loop.start()
        self.seams.announce(
            f"storeapi {__version__} listening on {' '.join(urls)}, "
            f"durability {self.config.durability}, scheme {self.config.rules.default} "
            f"by {self.seams.coder.text}, cluster {self.catalog.cluster_id}"
        )

    def stopService(self) -> "Deferred[None]":
        """Let requests end, then commits, then close the catalog."""
        super().stopService()  # type: ignore[no-untyped-call]
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        await self.server.stop()
        for loop in self.loops:
            await loop.stop()
        await self.catalog.close()
        await self.client.close()
        self.release()


def build(config: ApiConfig, seams: Seams) -> IService:
    """The role with its data directory open; raises `StartupError` when it cannot be."""
    release = hold_directory(seams.disk, config.data)
    catalog = open_catalog(
        seams.open_database,
        Path(config.data) / "catalog.sqlite",
        config.durability,
        random=seams.random,
        run_blocking=seams.run_blocking,
        clock=seams.clock,
        fatal=seams.fatal,
    )
    client = NodeClient(
        seams.clock,
        seams.agent_endpoints,
        config.node_timeout_seconds,
        secret_headers(config.secret),
    )
    members = _members(config, seams, catalog, client)
    marks = MarkDelivery(catalog, client, members)
    resource = _resource(config, seams, catalog, client, members, marks)
    site = StreamingSite(
        resource.app.resource(), seams.clock, seams.random, config.client_timeout_seconds
    )
    return ApiService(
        config=config,
        seams=seams,
        catalog=catalog,
        members=members,
        client=client,
        server=Server(
            site,
            config.listen,
            seams.listen,
            seams.clock,
            objection="" if config.insecure else _OPEN_TO_CLIENTS,
        ),
        loops=(
            Loop(seams.clock, seams.random, members.tick, TICK_SECONDS),
            Loop(seams.clock, seams.random, marks.run_round, TICK_SECONDS),
        ),
        release=release,
    )


def makeService(options: Options) -> IService:
    """What `twistd storeapi` runs."""
    from twisted.internet import reactor

    try:
        return build(options.config, real_seams(reactor))
    except StartupError as error:
        raise SystemExit(f"storeapi: {error.message}") from error


def _members(config: ApiConfig, seams: Seams, catalog: Catalog, client: NodeClient) -> Members:
    async def remember(member: Member) -> None:
        now_us = int(seams.wall() * 1_000_000)
        await catalog.save_node(
            KnownNode(
                node_id=member.peer.node_id,
                url=member.peer.url,
                zone=member.zone,
                capacity_bytes=member.capacity_bytes,
                first_seen_us=now_us,
                last_seen_us=now_us,
            )
        )

    known = [
        Member(Peer(node.node_id, node.url), node.zone, node.capacity_bytes)
        for node in catalog.known_nodes()
    ]
    return Members(
        catalog.cluster_id,
        known,
        client,
        remember,
        seams.monotonic,
        seams.random,
        config.suspect_after_seconds,
    )


def _resource(
    config: ApiConfig,
    seams: Seams,
    catalog: Catalog,
    client: NodeClient,
    members: Members,
    marks: MarkDelivery,
) -> ApiResource:
    in_flight = InFlight(catalog.incarnation, seams.random)
    hedging = HedgingDelay()
    metrics = Metrics(hedging)
    upload_budget = MemoryBudget("uploads", config.upload_memory_bytes, seams.clock)
    download_budget = MemoryBudget("downloads", config.download_memory_bytes, seams.clock)
    return ApiResource(
        catalog=catalog,
        members=members,
        uploads=Uploads(
            catalog,
            Transfers(
                members, client, metrics, seams.coder.combine, config.rules, config.durability
            ),
            marks,
            in_flight,
            upload_budget,
            seams.wall,
            config.object_bytes_max,
        ),
        file_answers=FileAnswers(
            Downloads(
                catalog,
                LaneSources(members, client, metrics, hedging, seams.monotonic),
                seams.coder.combine,
            ),
            download_budget,
            seams.clock,
            config.client_timeout_seconds,
        ),
        marks=marks,
        node_calls=NodeCalls(
            members,
            Ownership(catalog, in_flight),
            config.secret,
            catalog.cluster_id,
            catalog.incarnation,
            config.suspect_after_seconds,
        ),
        upload_budget=upload_budget,
        clock=seams.clock,
        durability=config.durability,
        rules=config.rules,
        metrics=metrics,
    )
