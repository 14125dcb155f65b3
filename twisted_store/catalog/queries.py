"""What is read from the catalog, each on a connection inside a read transaction."""

from collections.abc import Iterable
from typing import Any

from twisted_store.catalog.database import Database
from twisted_store.catalog.entries import Entry, Explained, KnownNode
from twisted_store.catalog.rows import (
    entry_of,
    pack_object_id,
    unpack_object_id,
    unpack_placement,
)
from twisted_store.core.ids import ObjectId, Placement
from twisted_store.core.reasons import NO_REASONS, Reasons
from twisted_store.core.versions import DeadVersion, Version

_ENTRY = "SELECT sequence, manifest, nodes FROM objects JOIN placements USING (placement_id) "
_EXPLAINED = """
    SELECT reasons, sequence, manifest, nodes FROM objects
    JOIN placements USING (placement_id) LEFT JOIN decisions USING (decision_id)
    WHERE name = ?
"""
_DEAD = """
    SELECT dead.sequence, dead.object_id, own.nodes, dead.successor_object_id, successor.nodes
    FROM dead
    JOIN placements AS own ON own.placement_id = dead.placement_id
    LEFT JOIN placements AS successor ON successor.placement_id = dead.successor_placement_id
    WHERE dead.sequence > ? AND dead.sequence <= ?
    ORDER BY dead.sequence LIMIT ?
"""
_DYING = "SELECT 1 FROM dead WHERE object_id = ?"
_NODES = """
    SELECT node_id, url, zone, capacity_bytes, first_seen_us, last_seen_us
    FROM nodes ORDER BY node_id
"""


def get(database: Database, name: bytes) -> Entry | None:
    """The object of this name."""
    row = database.execute(_ENTRY + "WHERE name = ?", (name,)).fetchone()
    return None if row is None else entry_of(row)


def explain(database: Database, name: bytes) -> Explained | None:
    """The object of this name with the reasons for its placement."""
    row = database.execute(_EXPLAINED, (name,)).fetchone()
    if row is None:
        return None
    reasons, *entry = row
    return Explained(
        entry_of(tuple(entry)), NO_REASONS if reasons is None else Reasons.decode(reasons)
    )


def placements(database: Database) -> tuple[tuple[Placement, int], ...]:
    """The placements of current objects, and how many objects have each."""
    rows = database.execute("SELECT nodes, objects FROM placements WHERE objects > 0")
    return tuple((unpack_placement(nodes), objects) for nodes, objects in rows)


def find(database: Database, object_ids: Iterable[ObjectId]) -> dict[ObjectId, Entry]:
    """Those of the versions that are current."""
    found = {}
    for object_id in object_ids:
        packed = pack_object_id(object_id)
        row = database.execute(_ENTRY + "WHERE object_id = ?", (packed,)).fetchone()
        if row is not None:
            found[object_id] = entry_of(row)
    return found


def dying(database: Database, object_ids: Iterable[ObjectId]) -> frozenset[ObjectId]:
    """Those of the versions whose nodes have still to be told of their end."""
    return frozenset(
        object_id
        for object_id in object_ids
        if database.execute(_DYING, (pack_object_id(object_id),)).fetchone() is not None
    )


def dead_work(
    database: Database, after_sequence: int, last_sequence: int, limit: int
) -> tuple[DeadVersion, ...]:
    """Dead versions in order of their commits, from after one of these to the other."""
    rows = database.execute(_DEAD, (after_sequence, last_sequence, limit))
    return tuple(_dead_version(*row) for row in rows)


def nodes(database: Database) -> tuple[KnownNode, ...]:
    """All nodes, in order of their ids."""
    return tuple(KnownNode(*row) for row in database.execute(_NODES))


def _dead_version(
    sequence: int, object_id: bytes, nodes: str, successor_id: bytes | None, successor_nodes: Any
) -> DeadVersion:
    successor = None if successor_id is None else _version(successor_id, successor_nodes)
    return DeadVersion(sequence, _version(object_id, nodes), successor)


def _version(object_id: bytes, nodes: str) -> Version:
    return Version(unpack_object_id(object_id), unpack_placement(nodes))
