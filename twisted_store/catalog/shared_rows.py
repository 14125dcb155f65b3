"""Rows that many objects share: placements, and the decisions that led to them."""

from twisted_store.database import Database

_FIND_PLACEMENT = "SELECT placement_id FROM placements WHERE nodes = ? AND auto = ?"
_ADD_PLACEMENT = """
    INSERT INTO placements (nodes, auto, objects, chunk_bytes) VALUES (?, ?, 0, 0)
    RETURNING placement_id
"""
_FIND_DECISION = "SELECT decision_id FROM decisions WHERE reasons = ?"
_ADD_DECISION = "INSERT INTO decisions (reasons, objects) VALUES (?, 0) RETURNING decision_id"
_COUNT_PLACEMENT = """
    UPDATE placements SET objects = objects + ?, chunk_bytes = chunk_bytes + ?
    WHERE placement_id = ?
"""
_COUNT_DECISION = "UPDATE decisions SET objects = objects + ? WHERE decision_id = ?"
_END_DECISION = "DELETE FROM decisions WHERE decision_id = ? AND objects = 0"


class SharedRows:
    """
    Finds the rows of one transaction, made if they are missing, and counts who uses them.

    Most objects of a transaction use the same few, so each is looked up and counted up once.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._ids: dict[tuple[object, ...], int] = {}
        self._placed: dict[int, tuple[int, int]] = {}
        self._decided: dict[int, int] = {}

    def placement(self, nodes: str, auto: bool) -> int:
        """The id of the placement on these nodes."""
        return self._id(_FIND_PLACEMENT, _ADD_PLACEMENT, (nodes, auto))

    def decision(self, reasons: str) -> int:
        """The id of the decision with these reasons."""
        return self._id(_FIND_DECISION, _ADD_DECISION, (reasons,))

    def use(
        self, placement_id: int, decision_id: int | None, objects: int, chunk_bytes: int
    ) -> None:
        """So many objects more, with that much in a chunk; less of both if they are negative."""
        objects_before, bytes_before = self._placed.get(placement_id, (0, 0))
        self._placed[placement_id] = objects_before + objects, bytes_before + chunk_bytes
        if decision_id is not None:
            self._decided[decision_id] = self._decided.get(decision_id, 0) + objects

    def write(self) -> None:
        """Write the counts; decisions that nobody uses any more go."""
        execute = self._database.execute
        for placement_id, added in self._placed.items():
            execute(_COUNT_PLACEMENT, (*added, placement_id))
        for decision_id, objects in self._decided.items():
            execute(_COUNT_DECISION, (objects, decision_id))
            if objects <= 0:
                execute(_END_DECISION, (decision_id,))

    def _id(self, find: str, add: str, values: tuple[object, ...]) -> int:
        found = self._ids.get(values)
        if found is None:
            execute = self._database.execute
            row = execute(find, values).fetchone()
            [(found,)] = [row] if row is not None else execute(add, values).fetchall()
            self._ids[values] = found
        return int(found)
