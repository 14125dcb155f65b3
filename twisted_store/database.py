"""The seam to SQLite: what is asked of a connection, and how the product opens one."""

import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal, Protocol

from twisted_store.errors import StartupError

BUSY_TIMEOUT_MS = 5000

Synchronous = Literal["FULL", "NORMAL", "OFF"]
"""SQLite syncs at each commit, or only at checkpoints, or never."""


class Cursor(Protocol):
    """The rows of one statement, fetched as they are asked for."""

    def __iter__(self) -> Iterator[Any]: ...

    def fetchone(self) -> Any:
        """The next row as a tuple, or None."""

    def fetchall(self) -> Any:
        """The rows that are left, as a list."""


class Database(Protocol):
    """
    A connection in autocommit mode that one thread at a time may use.

    ``sqlite3.Connection`` and ``apsw.Connection`` are such. Its errors are the driver's own.
    """

    @property
    def in_transaction(self) -> bool:
        """Whether a BEGIN waits for its COMMIT or ROLLBACK."""

    def execute(self, sql: str, parameters: tuple[Any, ...] = ..., /) -> Cursor:
        """Run one statement."""

    def executemany(self, sql: str, parameters: Iterable[tuple[Any, ...]], /) -> object:
        """Run one statement once for each of the parameters."""

    def close(self) -> None:
        """Let go of the file."""


class DatabaseOpener(Protocol):
    """What opens databases."""

    def __call__(self, path: Path, read_only: bool) -> Database:
        """Open the database at ``path``; it is made if missing, unless ``read_only``."""


def open_sqlite(path: Path, read_only: bool) -> Database:
    """The opener of the product; satisfies `DatabaseOpener`."""
    if not read_only:
        # SQLite would let everybody read it; the files that it adds take after this one.
        path.touch(0o600)
    mode = "ro" if read_only else "rw"
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        isolation_level=None,
        check_same_thread=False,
    )


def open_in_memory(path: Path, read_only: bool) -> Database:  # noqa: ARG001
    """
    An empty database that nobody else sees, wherever it is said to be; nothing of it is kept.

    Satisfies `DatabaseOpener`, for what may be gone at any time.
    """
    return sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)


def open_reader(opener: DatabaseOpener, path: Path) -> Database:
    """A read-only connection, ready for use."""
    database = opener(path, True)
    database.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
    return database


def open_writer(opener: DatabaseOpener, path: Path) -> Database:
    """The connection that writes: write-ahead log, checkpoints only when asked for."""
    database = opener(path, False)
    database.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
    (journal_mode,) = database.execute("PRAGMA journal_mode = WAL").fetchone()
    if journal_mode != "wal":
        raise StartupError("The file system does not support SQLite's write-ahead log.")
    # A checkpoint of SQLite's own, inside COMMIT, would swallow its I/O errors.
    database.execute("PRAGMA wal_autocheckpoint = 0").fetchall()
    return database


def set_synchronous(database: Database, level: Synchronous) -> None:
    """Decide on the syncs of the transactions that follow."""
    database.execute(f"PRAGMA synchronous = {level}")


def pragma(database: Database, name: str) -> int:
    """The value of a pragma that is a number."""
    return int(database.execute(f"PRAGMA {name}").fetchone()[0])
