"""A database in memory, for what may be gone at any time: the cache of a node."""

import sqlite3
from pathlib import Path

from twisted_store.database import Database


def open_in_memory(path: Path, read_only: bool) -> Database:  # noqa: ARG001
    """
    An empty database that nobody else sees, wherever it is said to be; nothing of it is kept.

    Satisfies `DatabaseOpener`.
    """
    return sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
