"""The file of the index: its tables, and what is wrong with one that is not what was written."""

import json
import sqlite3
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path

from twisted_store.core.checksums import crc32c
from twisted_store.database import Database, DatabaseOpener, pragma

FORMAT_VERSION = 1

_SCHEMA = (
    """
    CREATE TABLE needle (
        key BLOB PRIMARY KEY,
        volume INTEGER NOT NULL,
        offset INTEGER NOT NULL,
        size_bytes INTEGER NOT NULL,
        state INTEGER NOT NULL,
        mark_volume INTEGER NOT NULL,
        sequence INTEGER NOT NULL,
        died INTEGER NOT NULL,
        older INTEGER NOT NULL
    ) WITHOUT ROWID
    """,
    "CREATE INDEX unsettled ON needle (state, key) WHERE state IN (1, 3)",
    "CREATE TABLE live (volume INTEGER PRIMARY KEY, bytes INTEGER NOT NULL)",
    """
    CREATE TABLE place (
        volume INTEGER NOT NULL,
        offset INTEGER NOT NULL,
        sequence INTEGER NOT NULL,
        checksum INTEGER NOT NULL,
        compacting INTEGER NOT NULL,
        rows INTEGER NOT NULL,
        sum INTEGER NOT NULL,
        state_checksum INTEGER NOT NULL
    )
    """,
    f"PRAGMA user_version = {FORMAT_VERSION}",
)

SET_PLACE = "INSERT INTO place VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
_EMPTY = (0,) * 7
"""A place, no compaction, no rows and their sum."""


class IndexDamagedError(Exception):
    """The file is not what was written; the volumes will tell."""


def opened(open_database: DatabaseOpener, path: Path) -> Database:
    """The database, made if it is missing; raises `IndexDamagedError` for another version."""
    database = open_database(path, False)
    try:
        database.execute("PRAGMA journal_mode = WAL").fetchone()
        # Syncs at checkpoints keep the file in one piece; what it lacks is in the volumes.
        database.execute("PRAGMA synchronous = NORMAL").fetchall()
        version = pragma(database, "user_version")
        if version == 0:
            database.execute("BEGIN")
            for statement in _SCHEMA:
                database.execute(statement)
            database.execute(SET_PLACE, (*_EMPTY, state_checksum(_EMPTY, [])))
            database.execute("COMMIT")
        elif version != FORMAT_VERSION:
            raise IndexDamagedError(f"it has version {version}")
    except BaseException:
        database.close()
        raise
    return database


@contextmanager
def as_damage() -> Iterator[None]:
    """What SQLite, and values of other types than were written, mean while the file is in doubt."""
    try:
        yield
    except (sqlite3.Error, struct.error, TypeError, ValueError, OverflowError) as error:
        raise IndexDamagedError(str(error)) from error


def state_checksum(state: Sequence[int], live: Sequence[tuple[int, int]]) -> int:
    """Of all that is not a row."""
    return crc32c(json.dumps([*state, *chain.from_iterable(live)]).encode())
