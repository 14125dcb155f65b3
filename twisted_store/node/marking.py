"""Orders of the api that move chunks on in their life, obeyed only if its catalog is not older."""

from dataclasses import dataclass, replace

from twisted_store.core.durability import Durability
from twisted_store.core.ids import ChunkId
from twisted_store.core.peer import Marks, Missing
from twisted_store.errors import CatalogRolledBackError
from twisted_store.storage.identity import NodeIdentity, Seen
from twisted_store.storage.store import ChunkStore


@dataclass(frozen=True, slots=True)
class Marking:
    """Applies marks and discards to the store."""

    store: ChunkStore
    identity: NodeIdentity

    async def mark(self, marks: Marks, durability: Durability) -> Missing:
        """
        Confirm and bury; as durable as that when this returns. Gives what could not be.

        Raises `CatalogRolledBackError` when this node was called with a later incarnation, or with
        later commits, before.
        """
        self._check(Seen(marks.incarnation, marks.sequence))
        await self.identity.remember(marks.incarnation, marks.sequence)
        return await self.store.mark(marks.confirm, marks.dead, durability)

    async def discard(self, chunk_id: ChunkId, incarnation: int) -> None:
        """Remove a provisional chunk whose upload failed in the api's ``incarnation``."""
        self._check(replace(self.identity.seen, incarnation=incarnation))
        await self.store.discard(chunk_id)

    def _check(self, caller: Seen) -> None:
        seen = self.identity.seen
        if caller.raised(seen.incarnation, seen.sequence) != caller:
            raise CatalogRolledBackError(
                f"Node {self.identity.node_id} has seen incarnation {seen.incarnation} and commit "
                f"{seen.sequence} of the catalog, this call comes from incarnation "
                f"{caller.incarnation} and commit {caller.sequence}: the api's catalog is older "
                "than the chunks."
            )
