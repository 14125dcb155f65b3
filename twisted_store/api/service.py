"""The role `storeapi`: everything of it is made here and in `api.assembly`, and nowhere else."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from twisted.application.service import IService, Service
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from twisted_store import __version__
from twisted_store.api.assembly import Parts
from twisted_store.api.directory import hold_directory
from twisted_store.api.options import ApiConfig, Options
from twisted_store.catalog.catalog import Catalog
from twisted_store.cluster.loop import Loop
from twisted_store.cluster.members import Members
from twisted_store.cluster.mover import Mover
from twisted_store.errors import StartupError
from twisted_store.node_client.client import NodeClient
from twisted_store.seams import Seams, real_seams
from twisted_store.web.server import Server
from twisted_store.web.site import StreamingSite

__all__ = ["Options", "build", "makeService"]

RETRY_SECONDS = 1.0
"""After a step of a loop that failed."""

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
    mover: Mover
    server: Server
    loops: tuple[Loop, ...]
    background: tuple[Callable[[], Awaitable[None]], ...]
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
        await self.mover.stop()
        for stop in self.background:
            await stop()
        await self.catalog.close()
        await self.client.close()
        self.release()


def build(config: ApiConfig, seams: Seams) -> IService:
    """The role with its data directory open; raises `StartupError` when it cannot be."""
    release = hold_directory(seams.disk, config.data)
    parts = Parts(config, seams)
    site = StreamingSite(
        parts.resource().app.resource(), seams.clock, seams.random, config.client_timeout_seconds
    )
    objection = "" if config.insecure else _OPEN_TO_CLIENTS
    steps = (parts.losses.look, parts.marks.run_round, parts.mover.run)
    return ApiService(
        config=config,
        seams=seams,
        catalog=parts.catalog,
        members=parts.members,
        client=parts.client,
        mover=parts.mover,
        server=Server(site, config.listen, seams.listen, seams.clock, objection=objection),
        loops=tuple(Loop(seams.clock, seams.random, step, RETRY_SECONDS) for step in steps),
        background=(parts.arrivals.stop, parts.damage.stop),
        release=release,
    )


def makeService(options: Options) -> IService:
    """What `twistd storeapi` runs."""
    from twisted.internet import reactor

    try:
        return build(options.config, real_seams(reactor))
    except StartupError as error:
        raise SystemExit(f"storeapi: {error.message}") from error
