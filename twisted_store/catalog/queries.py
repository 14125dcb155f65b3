"""What is read from the catalog, each on a connection inside a read transaction."""

from collections.abc import Iterable
from typing import Any

from twisted_store.catalog.entries import Entry, Explained, KnownNode
from twisted_store.catalog.rows import (
    entry_of,
    pack_object_id,
    unpack_object_id,
    unpack_placement,
)
from twisted_store.core.ids import NodeId, ObjectId
from twisted_store.core.moves import Group, MovableObject
from twisted_store.core.reasons import NO_REASONS, Reasons
from twisted_store.core.versions import DeadVersion, Version
from twisted_store.database import Database

_ENTRY = """
    SELECT sequence, manifest, nodes, auto FROM objects JOIN placements USING (placement_id)
"""
_EXPLAINED = """
    SELECT reasons, sequence, manifest, nodes, auto FROM objects
    JOIN placements USING (placement_id) LEFT JOIN decisions USING (decision_id)
"""
_ENTRY_BY_NAME = _ENTRY + "WHERE name = ?"
_ENTRY_BY_ID = _ENTRY + "WHERE object_id = ?"
_EXPLAINED_BY_NAME = _EXPLAINED + "WHERE name = ?"
_OF_PLACEMENT = """
    WHERE objects.placement_id = ? AND sequence > ? ORDER BY sequence LIMIT ?
"""
_GROUPS = """
    SELECT placement_id, nodes, auto, objects, chunk_bytes FROM placements WHERE objects > 0
"""
_LEAVING = """
    SELECT nodes FROM dead JOIN placements USING (placement_id) WHERE object_id = ?
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
    SELECT node_id, url, zone, capacity_bytes, first_seen_us, last_seen_us,
        zone_named, lost, draining
    FROM nodes ORDER BY node_id
"""


def get(database: Database, name: bytes) -> Entry | None:
    """The object of this name."""
    row = database.execute(_ENTRY_BY_NAME, (name,)).fetchone()
    return None if row is None else entry_of(row)


def explain(database: Database, name: bytes) -> Explained | None:
    """The object of this name with the reasons for its placement."""
    row = database.execute(_EXPLAINED_BY_NAME, (name,)).fetchone()
    return None if row is None else _explained(row)


def groups(database: Database) -> tuple[Group, ...]:
    """The placements of current objects, and how many and how large these are."""
    return tuple(
        Group(placement_id, unpack_placement(nodes), bool(auto), objects, chunk_bytes)
        for placement_id, nodes, auto, objects, chunk_bytes in database.execute(_GROUPS)
    )


def movable(
    database: Database, placement_id: int, after_sequence: int, limit: int
) -> tuple[MovableObject, ...]:
    """Objects of one placement in order of their commits, beginning after one of these."""
    rows = database.execute(_EXPLAINED + _OF_PLACEMENT, (placement_id, after_sequence, limit))
    return tuple(_movable(database, _explained(row)) for row in rows)


def leaving(database: Database, object_id: bytes) -> frozenset[tuple[int, NodeId]]:
    """The chunks of an object that nodes have still to be told are dead, and these nodes."""
    return frozenset(
        (index, node_id)
        for (nodes,) in database.execute(_LEAVING, (object_id,))
        for index, node_id in enumerate(unpack_placement(nodes))
        if node_id is not None
    )


def find(database: Database, object_ids: Iterable[ObjectId]) -> dict[ObjectId, Entry]:
    """Those of the versions that are current."""
    found = {}
    for object_id in object_ids:
        packed = pack_object_id(object_id)
        row = database.execute(_ENTRY_BY_ID, (packed,)).fetchone()
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
    return tuple(
        KnownNode(*row[:6], *(bool(flag) for flag in row[6:])) for row in database.execute(_NODES)
    )


def settings(database: Database) -> dict[str, int | None]:
    """What operators asked for, by name."""
    return dict(database.execute("SELECT name, value FROM settings"))


def _explained(row: tuple[Any, ...]) -> Explained:
    reasons, *entry = row
    return Explained(
        entry_of(tuple(entry)), NO_REASONS if reasons is None else Reasons.decode(reasons)
    )


def _movable(database: Database, explained: Explained) -> MovableObject:
    entry = explained.entry
    dead = leaving(database, pack_object_id(entry.manifest.object_id))
    nodes = frozenset(node_id for _, node_id in dead)
    return MovableObject(entry.manifest, entry.placement, entry.sequence, explained.reasons, nodes)


def _dead_version(
    sequence: int, object_id: bytes, nodes: str, successor_id: bytes | None, successor_nodes: Any
) -> DeadVersion:
    successor = None if successor_id is None else _version(successor_id, successor_nodes)
    return DeadVersion(sequence, _version(object_id, nodes), successor)


def _version(object_id: bytes, nodes: str) -> Version:
    return Version(unpack_object_id(object_id), unpack_placement(nodes))
