"""The opener of the product, and what a writer asks of the file system."""

import os
import sqlite3
from pathlib import Path

import pytest

from twisted_store.database import open_in_memory, open_reader, open_sqlite, open_writer
from twisted_store.errors import StartupError


def test_a_reader_sees_what_is_committed_and_cannot_write(tmp_path: Path) -> None:
    """There is one connection that writes."""
    path = tmp_path / "catalog.db"
    writer = open_writer(open_sqlite, path)
    writer.execute("CREATE TABLE a (b)")
    reader = open_reader(open_sqlite, path)
    writer.execute("INSERT INTO a VALUES (1)")
    assert reader.execute("SELECT b FROM a").fetchall() == [(1,)]
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        reader.execute("INSERT INTO a VALUES (2)")
    reader.close()
    writer.close()


def test_a_reader_makes_no_file(tmp_path: Path) -> None:
    """A catalog that is missing is not made by looking for it."""
    with pytest.raises(sqlite3.OperationalError):
        open_reader(open_sqlite, tmp_path / "catalog.db")
    assert list(tmp_path.iterdir()) == []


def test_the_files_are_open_to_their_owner_only(tmp_path: Path) -> None:
    """Names and headers of all files are in them; whatever the umask."""
    before = os.umask(0)
    try:
        writer = open_writer(open_sqlite, tmp_path / "catalog.db")
        writer.execute("CREATE TABLE a (b)")
        modes = {file.name: oct(file.stat().st_mode)[-3:] for file in tmp_path.iterdir()}
        writer.close()
    finally:
        os.umask(before)
    assert modes == dict.fromkeys(["catalog.db", "catalog.db-wal", "catalog.db-shm"], "600")


def test_a_database_without_a_write_ahead_log_is_refused(tmp_path: Path) -> None:
    """Readers beside the writer, and cheap commits, depend on it."""
    with pytest.raises(StartupError, match="write-ahead log"):
        open_writer(open_in_memory, tmp_path)
