"""What may happen inside one write transaction of the catalog."""

from collections.abc import Iterable
from dataclasses import astuple
from typing import NamedTuple

from twisted_store.catalog.database import Database
from twisted_store.catalog.entries import Committed, Deleted, KnownNode
from twisted_store.catalog.queries import get
from twisted_store.catalog.rows import ObjectRow
from twisted_store.core.conditions import Conditions
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
_ADD_TO_PLACEMENT = """
    INSERT INTO placements (nodes, objects) VALUES (?, 1)
    ON CONFLICT (nodes) DO UPDATE SET objects = objects + 1 RETURNING placement_id
"""
_ADD_TO_DECISION = """
    INSERT INTO decisions (reasons, objects) VALUES (?, 1)
    ON CONFLICT (reasons) DO UPDATE SET objects = objects + 1 RETURNING decision_id
"""
_SAVE_NODE = """
    INSERT INTO nodes (node_id, url, zone, capacity_bytes, first_seen_us, last_seen_us)
    VALUES (?, ?, ?, ?, ?, ?)
    ON CONFLICT (node_id) DO UPDATE SET url = excluded.url, zone = excluded.zone,
        capacity_bytes = excluded.capacity_bytes, last_seen_us = excluded.last_seen_us
"""


class Transaction:
    """
    The changes of one batch, between its BEGIN and its COMMIT.

    Each method decides before it writes: when it raises, it has changed nothing, so the changes
    of other callers in the same transaction stand.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        row = database.execute("SELECT sequence, objects, size_bytes FROM meta").fetchone()
        self._counters = Counters(*row)

    def store(self, row: ObjectRow, conditions: Conditions) -> Committed:
        """Make ``row`` the object of its name, or raise `PreconditionFailedError`."""
        current = self._current(row.name)
        _check(conditions, current)
        placement_id = self._added(_ADD_TO_PLACEMENT, row.nodes)
        decision_id = row.reasons and self._added(_ADD_TO_DECISION, row.reasons)
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

    def dead_done(self, sequences: Iterable[int]) -> None:
        """Forget the dead versions that all their nodes know of."""
        for sequence in sequences:
            self._database.execute("DELETE FROM dead WHERE sequence = ?", (sequence,))

    def save_node(self, node: KnownNode) -> None:
        """Add or change a node; when it was first seen stays."""
        self._database.execute(_SAVE_NODE, astuple(node))

    def finish(self) -> Counters:
        """Write the counters: the last thing before COMMIT, never without an effect."""
        self._database.execute(
            "UPDATE meta SET transactions = transactions + 1,"
            " sequence = ?, objects = ?, size_bytes = ?",
            self._counters,
        )
        return self._counters

    def _current(self, name: bytes) -> _Current | None:
        row = self._database.execute(_CURRENT, (name,)).fetchone()
        return None if row is None else _Current(*row)

    def _added(self, statement: str, text: str) -> int:
        """The id of the row with that text, of one object more."""
        [(row_id,)] = self._database.execute(statement, (text,)).fetchall()
        return int(row_id)

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
        one_less = "SET objects = objects - 1 WHERE"
        execute(f"UPDATE placements {one_less} placement_id = ?", (current.placement_id,))
        if current.decision_id is not None:
            decision = (current.decision_id,)
            execute(f"UPDATE decisions {one_less} decision_id = ?", decision)
            execute("DELETE FROM decisions WHERE decision_id = ? AND objects = 0", decision)
        self._database.execute(
            "INSERT INTO dead VALUES (?, ?, ?, ?, ?)",
            (sequence, current.object_id, current.placement_id, *successor),
        )


def _check(conditions: Conditions, current: _Current | None) -> None:
    if current is None:
        conditions.check_write(None)
    else:
        conditions.check_write(current.etag, current.created_us // 1_000_000)


def _columns(row: ObjectRow) -> tuple[bytes, bytes, int, str, int]:
    return row.name, row.object_id, row.size_bytes, row.etag, row.created_us
