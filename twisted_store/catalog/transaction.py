"""What may happen inside one write transaction of the catalog."""

from collections.abc import Iterable
from dataclasses import astuple
from typing import NamedTuple

from twisted_store.catalog.entries import Committed, Deleted, KnownNode
from twisted_store.catalog.queries import get, leaving
from twisted_store.catalog.rows import MoveRow, ObjectRow
from twisted_store.catalog.shared_rows import SharedRows
from twisted_store.core.conditions import Conditions
from twisted_store.core.ids import NodeId
from twisted_store.core.striping import DATA_CHUNKS
from twisted_store.database import Database
from twisted_store.errors import ObjectNotFoundError


class Counters(NamedTuple):
    """The last commit's sequence number, and the totals after it."""

    sequence: int
    objects: int
    size_bytes: int


class _Current(NamedTuple):
    sequence: int
    object_id: bytes
    size_bytes: int
    etag: str
    created_us: int
    placement_id: int
    decision_id: int | None


_CURRENT = """
    SELECT sequence, object_id, size_bytes, etag, created_us, placement_id, decision_id
    FROM objects WHERE name = ?
"""
_TO_BE_MOVED = """
    SELECT sequence, object_id, size_bytes, etag, created_us, placement_id, decision_id,
        nodes, auto, (size_bytes + 4) / 5
    FROM objects JOIN placements USING (placement_id) WHERE object_id = ?
"""
_MOVE = """
    UPDATE objects SET sequence = ?, placement_id = ?, manifest = ?, decision_id = ?
    WHERE sequence = ?
"""
_SUCCEED = """
    UPDATE dead SET successor_object_id = ?, successor_placement_id = ? WHERE object_id = ?
"""
_SAVE_NODE = """
    INSERT INTO nodes (node_id, url, zone, capacity_bytes, first_seen_us, last_seen_us,
        zone_named, lost, draining)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (node_id) DO UPDATE SET url = excluded.url, zone = excluded.zone,
        capacity_bytes = excluded.capacity_bytes, last_seen_us = excluded.last_seen_us,
        zone_named = excluded.zone_named, lost = excluded.lost, draining = excluded.draining
"""


class Transaction:
    """
    The changes of one batch, between its BEGIN and its COMMIT.

    Each method decides before it writes: when it raises, it has changed nothing, so the changes
    of other callers in the same transaction stand.
    """

    def __init__(self, database: Database, counters: Counters) -> None:
        self._database = database
        self._counters = counters
        self._shared = SharedRows(database)

    def store(self, row: ObjectRow, conditions: Conditions) -> Committed:
        """Make ``row`` the object of its name, or raise `PreconditionFailedError`."""
        current = self._current(row.name)
        _check(conditions, current)
        placement_id = self._shared.placement(row.nodes, row.auto)
        decision_id = None if row.reasons is None else self._shared.decision(row.reasons)
        self._shared.use(placement_id, decision_id, 1, row.chunk_bytes)
        sequence = self._count(row, current)
        if current is not None:
            self._bury(sequence, current, (row.object_id, placement_id))
        self._database.execute(
            "INSERT INTO objects VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (sequence, *_columns(row), placement_id, row.manifest, decision_id),
        )
        return Committed(sequence, row.etag, replaced=current is not None)

    def delete(self, name: bytes, conditions: Conditions) -> Deleted:
        """
        Take the object away, or raise `ObjectNotFoundError` or `PreconditionFailedError`.

        What is not there is not found whatever the conditions (RFC 9110 section 13.2.1).
        """
        current = self._current(name)
        entry = get(self._database, name)
        if current is None or entry is None:
            raise ObjectNotFoundError("There is no file of this name.")
        _check(conditions, current)
        sequence = self._count(None, current)
        self._bury(sequence, current, (None, None))
        return Deleted(sequence, entry)

    def move(self, row: MoveRow) -> int | None:
        """
        Give an object another placement; the sequence of this commit.

        None if the object is not as it was when the move was planned, or if a node to which a chunk
        goes has still to be told that it is dead there.
        """
        found = self._database.execute(_TO_BE_MOVED, (row.object_id,)).fetchone()
        if found is None or found[-3] != row.old:
            return None
        if row.added & leaving(self._database, row.object_id):
            return None
        *columns, _, auto, chunk_bytes = found
        current = _Current(*columns)
        placement_id = self._shared.placement(row.new, auto)
        decision_id = current.decision_id
        if row.reasons is not None:
            decision_id = self._shared.decision(row.reasons)
        self._shared.use(placement_id, decision_id, 1, chunk_bytes)
        sequence = self._next_sequence()
        execute = self._database.execute
        execute(_MOVE, (sequence, placement_id, row.manifest, decision_id, current.sequence))
        self._leave(current)
        moved = (row.object_id, placement_id)
        # Those of its predecessors, and what earlier moves have left of it.
        execute(
            "UPDATE dead SET successor_placement_id = ? WHERE successor_object_id = ?",
            (placement_id, row.object_id),
        )
        if row.left.strip(","):
            left_id = self._shared.placement(row.left, auto)
            execute(
                "INSERT INTO dead VALUES (?, ?, ?, ?, ?)",
                (sequence, row.object_id, left_id, *moved),
            )
        return sequence

    def dead_done(self, sequences: Iterable[int]) -> None:
        """Forget the dead versions that all their nodes know of."""
        for sequence in sequences:
            self._database.execute("DELETE FROM dead WHERE sequence = ?", (sequence,))

    def save_node(self, node: KnownNode) -> None:
        """Add or change a node; when it was first seen stays."""
        self._database.execute(_SAVE_NODE, astuple(node))

    def forget_node(self, node_id: NodeId) -> None:
        """Remove a node."""
        self._database.execute("DELETE FROM nodes WHERE node_id = ?", (node_id,))

    def save_setting(self, name: str, value: int | None) -> None:
        """Keep what an operator asked for."""
        self._database.execute("INSERT OR REPLACE INTO settings VALUES (?, ?)", (name, value))

    def finish(self) -> Counters:
        """Write what was counted: the last thing before COMMIT, never without an effect."""
        self._shared.write()
        self._database.execute(
            "UPDATE meta SET transactions = transactions + 1,"
            " sequence = ?, objects = ?, size_bytes = ?",
            self._counters,
        )
        return self._counters

    def _current(self, name: bytes) -> _Current | None:
        row = self._database.execute(_CURRENT, (name,)).fetchone()
        return None if row is None else _Current(*row)

    def _next_sequence(self) -> int:
        sequence, objects, size_bytes = self._counters
        self._counters = Counters(sequence + 1, objects, size_bytes)
        return sequence + 1

    def _count(self, added: ObjectRow | None, removed: _Current | None) -> int:
        sequence, objects, size_bytes = self._counters
        if added is not None:
            objects, size_bytes = objects + 1, size_bytes + added.size_bytes
        if removed is not None:
            objects, size_bytes = objects - 1, size_bytes - removed.size_bytes
        self._counters = Counters(sequence + 1, objects, size_bytes)
        return sequence + 1

    def _bury(
        self, sequence: int, current: _Current, successor: tuple[bytes | None, int | None]
    ) -> None:
        execute = self._database.execute
        execute("DELETE FROM objects WHERE sequence = ?", (current.sequence,))
        self._leave(current)
        # What was left of it by moves need not wait for it any more, but for its successor.
        execute(_SUCCEED, (*successor, current.object_id))
        execute(
            "INSERT INTO dead VALUES (?, ?, ?, ?, ?)",
            (sequence, current.object_id, current.placement_id, *successor),
        )

    def _leave(self, current: _Current) -> None:
        """The placement and the decision have an object less."""
        chunk_bytes = -(-current.size_bytes // DATA_CHUNKS)
        self._shared.use(current.placement_id, current.decision_id, -1, -chunk_bytes)


def _check(conditions: Conditions, current: _Current | None) -> None:
    if current is None:
        conditions.check_write(None)
    else:
        conditions.check_write(current.etag, current.created_us // 1_000_000)


def _columns(row: ObjectRow) -> tuple[bytes, bytes, int, str, int]:
    return row.name, row.object_id, row.size_bytes, row.etag, row.created_us
