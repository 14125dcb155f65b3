"""Texts that many objects share, each in a row of its own that counts them."""

from collections import Counter
from typing import Literal

from twisted_store.catalog.database import Database


class Interned:
    """
    One of the tables of such texts, during one transaction.

    What it remembers ends with the transaction, so a rollback leaves nothing wrong behind, and
    objects that are committed together cost one look-up and one change for each text they share.
    Rows that no object has any more go away, unless they are ``kept``.
    """

    def __init__(
        self,
        database: Database,
        table: Literal["placements", "decisions"],
        key: Literal["placement_id", "decision_id"],
        text: Literal["nodes", "reasons"],
        *,
        kept: bool,
    ) -> None:
        self._database = database
        self._kept = kept
        self._ids: dict[str, int] = {}
        self._changes: Counter[int] = Counter()
        self._select = f"SELECT {key} FROM {table} WHERE {text} = ?"
        self._insert = f"INSERT INTO {table} ({text}, objects) VALUES (?, 0)"
        self._update = f"UPDATE {table} SET objects = objects + ? WHERE {key} = ?"
        self._forget = f"DELETE FROM {table} WHERE {key} = ? AND objects = 0"

    def add(self, text: str) -> int:
        """Count one more object with this text; gives the key of its row, made if missing."""
        key = self._ids.get(text)
        if key is None:
            key = self._ids[text] = self._found(text)
        self._changes[key] += 1
        return key

    def remove(self, key: int) -> None:
        """Count one object less."""
        self._changes[key] -= 1

    def finish(self) -> None:
        """Write what was counted: nothing may be added or removed after."""
        for key, change in self._changes.items():
            if change:
                self._database.execute(self._update, (change, key))
            if change <= 0 and not self._kept:
                self._database.execute(self._forget, (key,))

    def _found(self, text: str) -> int:
        row = self._database.execute(self._select, (text,)).fetchone()
        if row is None:
            self._database.execute(self._insert, (text,))
            row = self._database.execute(self._select, (text,)).fetchone()
        return int(row[0])
