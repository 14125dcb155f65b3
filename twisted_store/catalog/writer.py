"""The one connection that writes to the catalog. Everything here blocks."""

from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import NamedTuple, Self

from twisted_store.catalog.batches import Outcomes, Work, outcomes
from twisted_store.catalog.schema import migrate
from twisted_store.catalog.transaction import Counters, Transaction
from twisted_store.core.durability import DurabilityMode
from twisted_store.core.ids import NODE_ID_BITS, ClusterId, hex_id
from twisted_store.database import (
    Database,
    DatabaseOpener,
    Synchronous,
    open_writer,
    set_synchronous,
)
from twisted_store.errors import UnavailableError

CHECKPOINT_WORKS = 1000
"""So many works are in the write-ahead log, more or less, before it is copied into the database."""

_SYNCHRONOUS: dict[DurabilityMode, Synchronous] = {
    DurabilityMode.STRICT: "FULL",
    DurabilityMode.RELAXED: "NORMAL",
    DurabilityMode.NONE: "OFF",
}


class NotWrittenError(UnavailableError):
    """A batch could not be written; nothing of it was committed."""


class Written(NamedTuple):
    """The outcomes of a batch that is committed, and the counters after it."""

    outcomes: Outcomes
    counters: Counters


class Writer:
    """Runs batches of works, each batch in a transaction of its own."""

    def __init__(self, database: Database, mode: DurabilityMode) -> None:
        self._database = database
        self._mode = mode
        self._works_in_log = 0
        self._synchronous: Synchronous | None = None
        row = database.execute(
            "SELECT cluster_id, incarnation, sequence, objects, size_bytes FROM meta"
        ).fetchone()
        self.cluster_id = ClusterId(row[0])
        self.incarnation = int(row[1])
        self.counters = Counters(*row[2:])

    @classmethod
    def open(cls, opener: DatabaseOpener, path: Path, mode: DurabilityMode, random: Random) -> Self:
        """
        Open the catalog at ``path``, made if it is missing, and begin a new incarnation.

        What an earlier life left unsynced is synced. Raises `StartupError`, or the driver's error.
        """
        database = open_writer(opener, path)
        try:
            # The incarnation must not be lost even where commits may be.
            set_synchronous(database, "OFF" if mode is DurabilityMode.NONE else "FULL")
            migrate(database)
            _begin_incarnation(database, random)
            _checkpoint(database, "TRUNCATE")
            return cls(database, mode)
        except BaseException:
            database.close()
            raise

    def write(self, works: Sequence[Work[Transaction]], sync: bool) -> Written:
        """
        Run ``works`` and commit, with a sync even in relaxed durability if ``sync``.

        Raises `NotWrittenError` when nothing of them happened. After any other error their outcome
        is in doubt and this writer must not be used again.
        """
        if self._works_in_log >= CHECKPOINT_WORKS:
            _checkpoint(self._database, "RESTART")
            self._works_in_log = 0
        self._works_in_log += len(works)
        self._set_synchronous("FULL" if sync else _SYNCHRONOUS[self._mode])
        return self._write(works)

    def close(self) -> None:
        """Copy the write-ahead log into the database and let go of it."""
        _checkpoint(self._database, "TRUNCATE")
        self._database.close()

    def _set_synchronous(self, level: Synchronous) -> None:
        if self._synchronous != level:
            set_synchronous(self._database, level)
            self._synchronous = level

    def _write(self, works: Sequence[Work[Transaction]]) -> Written:
        try:
            self._database.execute("BEGIN IMMEDIATE")
            transaction = Transaction(self._database, self.counters)
            results = outcomes(works, transaction)
            counters = transaction.finish()
        except Exception as error:
            # SQLite rolls back by itself after some errors.
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
            raise NotWrittenError(f"The catalog could not be written: {error}.") from error
        self._database.execute("COMMIT")
        self.counters = counters
        return Written(results, counters)


def _begin_incarnation(database: Database, random: Random) -> None:
    database.execute("BEGIN IMMEDIATE")
    if database.execute("SELECT 1 FROM meta").fetchone() is None:
        cluster_id = hex_id(random.getrandbits(NODE_ID_BITS))
        database.execute("INSERT INTO meta VALUES (1, ?, 0, 0, 0, 0, 0)", (cluster_id,))
    database.execute("UPDATE meta SET incarnation = incarnation + 1")
    database.execute("COMMIT")


def _checkpoint(database: Database, mode: str) -> None:
    database.execute(f"PRAGMA wal_checkpoint({mode})").fetchall()
