"""Chunks that the catalog expects on a node that does not hold them, or holds them damaged."""

from collections.abc import Sequence
from functools import partial

from twisted.logger import Logger

from twisted_store.api.ownership import Ownership, holds
from twisted_store.catalog.catalog import Catalog
from twisted_store.catalog.entries import Entry
from twisted_store.cluster.members import Members
from twisted_store.cluster.tasks import Tasks
from twisted_store.core.ids import ChunkId, NodeId, Placement
from twisted_store.core.layout import only
from twisted_store.core.redundancy import losses_survived
from twisted_store.errors import StoreError
from twisted_store.node_client.client import NodeClient

CHECKS_MAX = 64
"""Chunks that are looked for at the same time; of others nodes and readers will tell again."""

REPORT_SECONDS = 30.0
"""What is beyond repair is told by its node again within so long, if it is so still."""

log = Logger()


class Damage:
    """
    Makes a hole in the placement of the object, which repair fills, unless the object could then
    not be read at all: it is `beyond_repair` then, and stays as it is.
    """

    def __init__(
        self, catalog: Catalog, members: Members, client: NodeClient, ownership: Ownership
    ) -> None:
        self._catalog = catalog
        self._members = members
        self._client = client
        self._ownership = ownership
        self._checks = Tasks[tuple[NodeId, ChunkId]]()
        self._beyond: dict[ChunkId, float] = {}

    @property
    def beyond_repair(self) -> int:
        """Chunks that nodes have set aside and that cannot be made anew."""
        latest = self._members.now_seconds - REPORT_SECONDS
        return sum(told_seconds > latest for told_seconds in self._beyond.values())

    def absent(self, node_id: NodeId, chunk_id: ChunkId) -> None:
        """The node says that it does not hold the chunk: look for it once more."""
        if len(self._checks) < CHECKS_MAX:
            self._checks.start((node_id, chunk_id), partial(self._check, node_id, chunk_id))

    async def quarantined(self, node_id: NodeId, chunk_ids: Sequence[ChunkId]) -> Sequence[ChunkId]:
        """The node has set these chunks aside, as they are damaged; those that nobody needs."""
        fates = await self._ownership.rule(node_id, chunk_ids)
        entries = await self._catalog.find(chunk_id.object_id for chunk_id in fates.confirm)
        for chunk_id in fates.confirm:
            entry = entries.get(chunk_id.object_id)
            if entry is not None:
                await self._make_hole(entry, chunk_id, node_id)
        return fates.drop

    async def stop(self) -> None:
        """Look for nothing more."""
        await self._checks.stop()

    async def _check(self, node_id: NodeId, chunk_id: ChunkId) -> None:
        peer = self._members.reachable(node_id)
        entry = (await self._catalog.find([chunk_id.object_id])).get(chunk_id.object_id)
        if peer is None or entry is None or not holds(entry, chunk_id.index, node_id):
            return
        try:
            if not await self._client.holds(peer, chunk_id):
                await self._make_hole(entry, chunk_id, node_id)
        except StoreError as failure:
            log.info(
                "chunk {chunk_id} could not be looked for: {reason}",
                chunk_id=str(chunk_id),
                reason=failure.message,
            )

    async def _make_hole(self, entry: Entry, chunk_id: ChunkId, node_id: NodeId) -> None:
        placement: Placement = tuple(
            None if index == chunk_id.index else holder
            for index, holder in enumerate(entry.placement)
        )
        scheme, standing = entry.manifest.scheme, self._members.standing()
        if losses_survived(scheme, only(placement, standing.present)) < 0:
            self._beyond[chunk_id] = self._members.now_seconds
            return
        self._beyond.pop(chunk_id, None)
        sequence = await self._catalog.move(entry.manifest, entry.placement, placement)
        if sequence is not None:
            log.warn(
                "chunk {chunk_id} of node {node_id} is gone or damaged, it will be made anew",
                chunk_id=str(chunk_id),
                node_id=node_id,
            )
