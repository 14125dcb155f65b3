"""Orders of the api that move chunks on in their life, obeyed only if its catalog is not older."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from twisted_store.core.ids import ChunkId
from twisted_store.core.peer import Marks
from twisted_store.errors import BadRequestError, CatalogRolledBackError
from twisted_store.storage.identity import NodeIdentity, Seen
from twisted_store.storage.store import ChunkStore, Missing


@dataclass(frozen=True, slots=True)
class Marking:
    """Applies marks and discards to the store."""

    store: ChunkStore
    identity: NodeIdentity

    async def mark(self, marks: Marks) -> Missing:
        """
        Confirm and bury; durable when this returns. Gives what could not be.

        Raises `CatalogRolledBackError` when this node was called with a later incarnation, or with
        later commits, before.
        """
        self._check(Seen(marks.incarnation, marks.sequence))
        await self.identity.remember(marks.incarnation, marks.sequence)
        return await self.store.mark(marks.confirm, marks.dead)

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


def parse_marks(fields: dict[str, Any]) -> Marks:
    """The marks in a JSON object, or `BadRequestError`."""
    return Marks(
        incarnation=_number(fields, "incarnation"),
        sequence=_number(fields, "sequence"),
        confirm=_chunk_ids(fields, "confirm"),
        dead=_chunk_ids(fields, "dead"),
    )


def _number(fields: dict[str, Any], name: str) -> int:
    value = fields.get(name)
    if type(value) is not int or value < 0:
        raise BadRequestError(f"{name} must be a number from 0 on, not {value!r}.")
    return value


def _chunk_ids(fields: dict[str, Any], name: str) -> Sequence[ChunkId]:
    texts = fields.get(name)
    if not isinstance(texts, list):
        raise BadRequestError(f"{name} must be a list of chunk ids.")
    return [ChunkId.parse(str(text)) for text in texts]
