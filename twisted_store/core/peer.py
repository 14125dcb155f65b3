"""What the api says to nodes, and to whom."""

from collections.abc import Sequence
from dataclasses import dataclass

from twisted_store.core.ids import ChunkId, NodeId

NODE_ID_HEADER = "X-Node-Id"
"""Whom a call is meant for: the address of a node that is gone may be another one's by now."""

SOURCE_NODE_HEADER = "X-Source-Node"
SOURCE_URL_HEADER = "X-Source-URL"
"""From whom, and from where, a node is to copy a chunk."""


INCARNATION_HEADER = "X-Incarnation"
SEQUENCE_HEADER = "X-Commit-Sequence"
"""Which life of the api marks or discards chunks, and the last commit that it knows to be safe."""


@dataclass(frozen=True, slots=True)
class Peer:
    """A node and where it listens."""

    node_id: NodeId
    url: str

    def chunk_url(self, chunk_id: ChunkId) -> str:
        """Where the node keeps that chunk."""
        return f"{self.url}/chunks/{chunk_id.object_id}/{chunk_id.index}"


@dataclass(frozen=True, slots=True)
class Marks:
    """What commits up to ``sequence`` of the api's ``incarnation`` mean for a node's chunks."""

    incarnation: int
    sequence: int
    confirm: Sequence[ChunkId]
    dead: Sequence[ChunkId]


@dataclass(frozen=True, slots=True)
class Missing:
    """Chunks named in marks that a node does not have in a state that the mark can apply to."""

    confirm: tuple[ChunkId, ...]
    dead: tuple[ChunkId, ...]
