"""What a node holds that comes back is compared with the catalog, in both directions."""

from collections.abc import Awaitable, Iterable, Sequence
from typing import Protocol

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from twisted_store.cluster.marks import Absent
from twisted_store.cluster.sweep import Fates
from twisted_store.core.ids import ChunkId, NodeId
from twisted_store.core.moves import Group, MovableObject
from twisted_store.core.peer import Marks, Peer

PAGE_CHUNKS = 1000
"""Chunks that are compared at once."""

SETTLE_SECONDS = 5.0
"""Chunks of uploads and moves under way are looked at again after so long."""

log = Logger()


class Held(Protocol):
    """A page of what a node holds, in its order."""

    @property
    def chunks(self) -> Sequence[tuple[ChunkId, str]]:
        """Each chunk and its state."""

    @property
    def next_after(self) -> ChunkId | None:
        """Where the next page begins; None at the end."""


class Nodes(Protocol):
    """Calls to nodes."""

    def list(self, peer: Peer, after: ChunkId | None, limit: int) -> Awaitable[Held]:
        """A page of the chunks that the node holds."""

    def mark(self, peer: Peer, marks: Marks) -> Awaitable[frozenset[ChunkId]]:
        """Send marks; gives, when they are durable, the chunks that cannot be confirmed."""


class Ruling(Protocol):
    """Says what becomes of chunks."""

    def rule(self, node_id: NodeId, chunk_ids: Sequence[ChunkId]) -> Awaitable[Fates]:
        """Chunks to be kept, and to be dropped; neither of those that are not decided."""


class Rows(Protocol):
    """The catalog, as far as it is compared."""

    @property
    def incarnation(self) -> int:
        """Which life of the api this is."""

    @property
    def synced_sequence(self) -> int:
        """The last commit that survives a power loss."""

    def groups(self) -> Awaitable[Sequence[Group]]:
        """The placements of all current objects."""

    def movable(
        self, placement_id: int, after_sequence: int, limit: int
    ) -> Awaitable[Sequence[MovableObject]]:
        """Objects of one placement in order of their commits, beginning after one of these."""


class Merge:
    """
    Chunks that no object needs are declared dead; those that are needed are confirmed.

    ``absent`` is told of chunks that the node should hold and does not.
    """

    def __init__(
        self, nodes: Nodes, ruling: Ruling, rows: Rows, absent: Absent, clock: IReactorTime
    ) -> None:
        self._nodes = nodes
        self._ruling = ruling
        self._rows = rows
        self._absent = absent
        self._clock = clock

    async def merge(self, peer: Peer) -> None:
        """Returns when all has been compared; raises the `StoreError` of what failed."""
        undecided = await self._clear_away(peer)
        while undecided:
            await deferLater(self._clock, SETTLE_SECONDS)
            undecided = await self._settle(peer, undecided)
        await self._confirm_needed(peer)

    async def _clear_away(self, peer: Peer) -> list[ChunkId]:
        """Look at all that the node holds; what cannot be decided yet."""
        undecided: list[ChunkId] = []
        after: ChunkId | None = None
        while True:
            page = await self._nodes.list(peer, after, PAGE_CHUNKS)
            living = [chunk_id for chunk_id, state in page.chunks if state != "dead"]
            undecided += await self._settle(peer, living)
            if page.next_after is None:
                return undecided
            after = page.next_after

    async def _settle(self, peer: Peer, chunk_ids: Sequence[ChunkId]) -> list[ChunkId]:
        undecided: list[ChunkId] = []
        for start in range(0, len(chunk_ids), PAGE_CHUNKS):
            page = chunk_ids[start : start + PAGE_CHUNKS]
            fates = await self._ruling.rule(peer.node_id, page)
            if fates.drop:
                await self._mark(peer, confirm=(), dead=fates.drop)
            decided = {*fates.confirm, *fates.drop}
            undecided += [chunk_id for chunk_id in page if chunk_id not in decided]
        return undecided

    async def _confirm_needed(self, peer: Peer) -> None:
        for group in await self._rows.groups():
            indexes = [i for i, node_id in enumerate(group.placement) if node_id == peer.node_id]
            after = 0
            while indexes:
                page = await self._rows.movable(group.placement_id, after, PAGE_CHUNKS)
                if not page:
                    break
                after = page[-1].sequence
                chunk_ids = [
                    ChunkId(found.manifest.object_id, index) for found in page for index in indexes
                ]
                for chunk_id in await self._mark(peer, confirm=chunk_ids, dead=()):
                    self._absent(peer.node_id, chunk_id)

    async def _mark(
        self, peer: Peer, confirm: Iterable[ChunkId], dead: Iterable[ChunkId]
    ) -> frozenset[ChunkId]:
        marks = Marks(
            self._rows.incarnation, self._rows.synced_sequence, tuple(confirm), tuple(dead)
        )
        return await self._nodes.mark(peer, marks)
