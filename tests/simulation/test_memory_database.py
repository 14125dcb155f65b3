"""Databases in memory: each on its own, and gone with the process that opened it."""

import sqlite3
from pathlib import Path

import pytest

from twisted_store.database import Database, open_in_memory
from twisted_store.simulation.process_disk import Holdings, ProcessEndedError, process_opener

PATH = Path("/data/index.db")


def tables(database: Database) -> list[tuple[str]]:
    """The names of what is in it."""
    rows: list[tuple[str]] = database.execute("SELECT name FROM sqlite_schema").fetchall()
    return rows


def test_each_call_gives_an_empty_database_of_its_own() -> None:
    """What another one of the same path has is not seen, whether that is still open or not."""
    first = open_in_memory(PATH, False)
    first.execute("CREATE TABLE a (b)")
    second = open_in_memory(PATH, False)
    assert (tables(first), tables(second)) == ([("a",)], [])
    first.close()
    third = open_in_memory(PATH, True)
    assert tables(third) == []
    second.close()
    third.close()


def test_every_statement_takes_effect_at_once_unless_a_transaction_is_begun() -> None:
    """As with the databases of the product."""
    database = open_in_memory(PATH, False)
    database.execute("CREATE TABLE a (b)")
    database.execute("INSERT INTO a VALUES (1)")
    before = database.in_transaction
    database.execute("BEGIN")
    assert (before, database.in_transaction) == (False, True)
    database.close()


def test_a_database_ends_with_its_process() -> None:
    """What is left of a killed process neither uses it nor opens another."""
    holdings = Holdings()
    opener = process_opener(open_in_memory, holdings)
    database = opener(PATH, False)
    holdings.end()
    with pytest.raises(sqlite3.ProgrammingError):
        database.execute("SELECT 1")
    with pytest.raises(ProcessEndedError):
        opener(PATH, False)
