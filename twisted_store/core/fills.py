"""How full each node is, and whether it takes chunks: what placement and evenness go by."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from twisted_store.core.ids import NodeId
from twisted_store.core.sizes import format_size


@dataclass(frozen=True, slots=True)
class NodeFill:
    """
    One node as placement sees it; ``used_bytes`` counts what was assigned since its last heartbeat.

    ``reason`` says why it is not usable (``suspect: silent for 17 s``).
    """

    node_id: NodeId
    zone: str
    capacity_bytes: int
    used_bytes: int
    usable: bool = True
    reason: str = ""

    @property
    def fraction(self) -> float:
        """How full it is, 1 being full."""
        return self.used_bytes / self.capacity_bytes if self.capacity_bytes > 0 else 1.0

    @property
    def room_bytes(self) -> int:
        """What it may still take; negative when it holds more than it should."""
        return self.capacity_bytes - self.used_bytes

    def has_room(self, chunk_bytes: int) -> bool:
        """Whether one more chunk fits; a node without a free byte takes no empty chunk either."""
        return self.room_bytes >= max(chunk_bytes, 1)

    def objection(self, chunk_bytes: int) -> str:
        """Why a chunk of this size cannot go there; empty if it can."""
        if not self.usable:
            return self.reason or "not usable"
        if not self.has_room(chunk_bytes):
            return f"full: {format_size(max(self.room_bytes, 0))} free"
        return ""

    def grown(self, size_bytes: int) -> "NodeFill":
        """The node with so many more bytes used."""
        # Spelled out because it runs for every chunk, and `dataclasses.replace` is slow.
        used_bytes = self.used_bytes + size_bytes
        return NodeFill(
            self.node_id, self.zone, self.capacity_bytes, used_bytes, self.usable, self.reason
        )


class NodeFills(Mapping[NodeId, NodeFill]):
    """
    All nodes by id, kept by the caller and changed one node at a time.

    ``generation`` grows when a node comes, or changes its zone or whether it is usable: the sign to
    choose all open placements anew.
    """

    def __init__(self) -> None:
        self._by_id: dict[NodeId, NodeFill] = {}
        self._assigned: dict[NodeId, int] = {}
        self.generation = 0

    def __getitem__(self, node_id: NodeId) -> NodeFill:
        fill = self._by_id[node_id]
        assigned_bytes = self._assigned.pop(node_id, 0)
        if assigned_bytes:
            fill = self._by_id[node_id] = fill.grown(assigned_bytes)
        return fill

    def __iter__(self) -> Iterator[NodeId]:
        return iter(self._by_id)

    def __len__(self) -> int:
        return len(self._by_id)

    def put(self, fill: NodeFill) -> None:
        """Take a new node, or new figures of a known one."""
        before = self._by_id.get(fill.node_id)
        self._by_id[fill.node_id] = fill
        self._assigned.pop(fill.node_id, None)
        if before is None or (before.usable, before.zone) != (fill.usable, fill.zone):
            self.generation += 1

    def remove(self, node_id: NodeId) -> None:
        """Forget a node."""
        self._assigned.pop(node_id, None)
        if self._by_id.pop(node_id, None) is not None:
            self.generation += 1

    def assign(self, node_id: NodeId, size_bytes: int) -> None:
        """Count bytes as used before the node's next heartbeat says so; a negative size returns."""
        # Added up, as this is called several times for each that somebody looks.
        self._assigned[node_id] = self._assigned.get(node_id, 0) + size_bytes
