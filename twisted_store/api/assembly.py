"""The parts of an api, each made once and given what it needs of the others."""

from pathlib import Path

from twisted_store.api.budget import MemoryBudget
from twisted_store.api.chunk_maker import ChunkMaker
from twisted_store.api.cluster_calls import ClusterCalls
from twisted_store.api.cluster_metrics import ClusterCollector
from twisted_store.api.damage import Damage
from twisted_store.api.download import Downloads
from twisted_store.api.file_answer import FileAnswers
from twisted_store.api.in_flight import InFlight
from twisted_store.api.lanes import LaneSources
from twisted_store.api.metrics import Metrics
from twisted_store.api.node_calls import NodeCalls
from twisted_store.api.options import ApiConfig
from twisted_store.api.ownership import Ownership
from twisted_store.api.resource import ApiResource
from twisted_store.api.transfer import Transfers
from twisted_store.api.upload import Uploads
from twisted_store.catalog.catalog import Catalog, open_catalog
from twisted_store.catalog.entries import KnownNode
from twisted_store.cluster.arrivals import Arrivals
from twisted_store.cluster.jobs import Jobs
from twisted_store.cluster.losses import LossWatch
from twisted_store.cluster.marks import MarkDelivery
from twisted_store.cluster.member import Member
from twisted_store.cluster.members import Members
from twisted_store.cluster.merge import Merge
from twisted_store.cluster.mover import MovePorts, Mover
from twisted_store.cluster.setbacks import Setbacks
from twisted_store.cluster.throttle import Throttle
from twisted_store.cluster.worklist import Worklist
from twisted_store.core.hedging import HedgingDelay
from twisted_store.core.peer import Peer
from twisted_store.node_client.client import NodeClient
from twisted_store.seams import Seams
from twisted_store.web.secret import secret_headers


class Parts:
    """Opens the catalog; raises `StartupError` when it cannot be."""

    def __init__(self, config: ApiConfig, seams: Seams) -> None:
        self._config = config
        self._seams = seams
        self.catalog = open_catalog(
            seams.open_database,
            Path(config.data) / "catalog.sqlite",
            config.durability,
            random=seams.random,
            run_blocking=seams.run_blocking,
            clock=seams.clock,
            fatal=seams.fatal,
        )
        self.client = NodeClient(
            seams.clock,
            seams.agent_endpoints,
            config.node_timeout_seconds,
            secret_headers(config.secret),
            config.batch_chunks_max,
            config.durability,
        )
        self.members = _members(config, seams, self.catalog, self.client)
        self.losses = LossWatch(self.members, config.lost_after_seconds)
        self.in_flight = InFlight(self.catalog.incarnation, seams.random)
        self.ownership = Ownership(self.catalog, self.in_flight)
        self.damage = Damage(self.catalog, self.members, self.client, self.ownership)
        self.marks = MarkDelivery(self.catalog, self.client, self.members, self.damage.absent)
        merge = Merge(self.client, self.ownership, self.catalog, self.damage.absent, seams.clock)
        self.arrivals = Arrivals(self.members, self.catalog.cluster_id, self.client, merge.merge)
        self.setbacks = Setbacks(seams.monotonic)
        self.worklist = Worklist(self.catalog, self.members, self.setbacks)
        self.jobs = Jobs(
            Throttle(seams.clock, seams.monotonic, config.move_rate_bytes),
            seams.monotonic,
            self.catalog.settings(),
            self.catalog.save_setting,
        )
        hedging = HedgingDelay()
        self.metrics = Metrics(hedging)
        self.sources = LaneSources(
            self.members,
            self.client,
            self.metrics,
            hedging,
            seams.monotonic,
            self.damage.absent,
        )
        self.mover = self._mover()
        self.metrics.add(ClusterCollector(self.members, self.worklist, self.mover, self.jobs))

    def resource(self) -> ApiResource:
        """All routes, over these parts."""
        config, seams = self._config, self._seams
        upload_budget = MemoryBudget("uploads", config.upload_memory_bytes, seams.clock)
        return ApiResource(
            catalog=self.catalog,
            members=self.members,
            uploads=self._uploads(upload_budget),
            file_answers=FileAnswers(
                Downloads(self.catalog, self.sources, seams.coder.combine),
                MemoryBudget("downloads", config.download_memory_bytes, seams.clock),
                seams.clock,
                config.client_timeout_seconds,
            ),
            node_calls=NodeCalls(
                arrivals=self.arrivals,
                ownership=self.ownership,
                damage=self.damage,
                secret=config.secret,
                cluster_id=self.catalog.cluster_id,
                incarnation=self.catalog.incarnation,
                suspect_after_seconds=config.suspect_after_seconds,
            ),
            cluster_calls=self._cluster_calls(),
            upload_budget=upload_budget,
            clock=seams.clock,
            rules=config.rules,
            metrics=self.metrics,
        )

    def _mover(self) -> Mover:
        seams = self._seams
        maker = ChunkMaker(
            self.sources, self.client, self.jobs, seams.coder.combine, self._config.durability
        )
        ports = MovePorts(self.catalog, maker, self.in_flight, self.marks.committed)
        return Mover(
            self.worklist,
            self.jobs,
            self.members,
            self.losses,
            self.setbacks,
            ports,
            seams.clock,
        )

    def _uploads(self, budget: MemoryBudget) -> Uploads:
        config, seams = self._config, self._seams
        transfers = Transfers(
            self.members,
            self.client,
            self.metrics,
            seams.coder.combine,
            config.rules,
            config.durability,
        )
        return Uploads(
            self.catalog,
            transfers,
            self.marks,
            self.in_flight,
            budget,
            seams.wall,
            config.object_bytes_max,
        )

    def _cluster_calls(self) -> ClusterCalls:
        return ClusterCalls(
            catalog=self.catalog,
            members=self.members,
            losses=self.losses,
            worklist=self.worklist,
            mover=self.mover,
            jobs=self.jobs,
            setbacks=self.setbacks,
            marks=self.marks,
            damage=self.damage,
            durability=self._config.durability,
            rules=self._config.rules,
        )


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
                zone_named=member.zone_named,
                lost=member.lost,
                draining=member.draining,
            )
        )

    known = [
        Member(
            Peer(node.node_id, node.url),
            node.zone,
            node.capacity_bytes,
            zone_named=node.zone_named,
            lost=node.lost,
            draining=node.draining,
        )
        for node in catalog.known_nodes()
    ]
    return Members(
        known, client, remember, seams.monotonic, seams.random, config.suspect_after_seconds
    )
