"""The answer to a node that asks what became of chunks it holds provisionally."""

from collections.abc import Awaitable, Iterable, Sequence
from typing import Protocol

from twisted_store.api.in_flight import InFlight
from twisted_store.catalog.entries import Entry
from twisted_store.cluster.sweep import Fates
from twisted_store.core.ids import ChunkId, NodeId, ObjectId, incarnation_of


class Rows(Protocol):
    """The catalog, as far as it is asked here."""

    @property
    def synced_sequence(self) -> int:
        """The last commit that survives a power loss."""

    def find(self, object_ids: Iterable[ObjectId]) -> Awaitable[dict[ObjectId, Entry]]:
        """The versions that are current."""

    def dying(self, object_ids: Iterable[ObjectId]) -> Awaitable[frozenset[ObjectId]]:
        """The versions whose end nodes have still to be told."""


class Ownership:
    """
    Says `drop` only of a chunk that no row refers to and no upload can still commit.

    A version that was overwritten is not dropped but declared dead in its turn, after its successor
    is safe, and a commit that a power loss could still undo confirms nothing. Ids of an incarnation
    that this catalog has not lived yet come from a later life of it: it was rolled back, and drops
    nothing of that.
    """

    def __init__(self, rows: Rows, in_flight: InFlight) -> None:
        self._rows = rows
        self._in_flight = in_flight

    async def rule(self, node_id: NodeId, chunk_ids: Sequence[ChunkId]) -> Fates:
        """What ``node_id`` is to do with its chunks."""
        undecided = self._in_flight.snapshot()
        object_ids = {chunk_id.object_id for chunk_id in chunk_ids} - undecided
        current = await self._rows.find(object_ids)
        # In this order: what is overwritten in between is dying by then.
        dying = await self._rows.dying(object_ids)
        unknown = object_ids - dying
        confirm: list[ChunkId] = []
        drop: list[ChunkId] = []
        for chunk_id in chunk_ids:
            entry = current.get(chunk_id.object_id)
            if entry is not None and holds(entry, chunk_id.index, node_id):
                if entry.sequence <= self._rows.synced_sequence:
                    confirm.append(chunk_id)
            elif chunk_id.object_id in unknown and self._is_past(chunk_id):
                drop.append(chunk_id)
        return Fates(confirm, drop)

    def _is_past(self, chunk_id: ChunkId) -> bool:
        return incarnation_of(chunk_id.object_id) <= self._in_flight.incarnation


def holds(entry: Entry, index: int, node_id: NodeId) -> bool:
    """Whether the object has that chunk on that node."""
    return index < len(entry.placement) and entry.placement[index] == node_id
