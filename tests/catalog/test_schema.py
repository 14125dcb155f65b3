"""Migrations: from an empty file, from each older version, and never from a newer one."""

import sqlite3
from collections.abc import Iterator

import pytest

from twisted_store.catalog.schema import APPLICATION_ID, MIGRATIONS, migrate
from twisted_store.database import pragma
from twisted_store.errors import StartupError

LATER = (*MIGRATIONS, ("ALTER TABLE nodes ADD COLUMN rack TEXT",))


@pytest.fixture
def database() -> Iterator[sqlite3.Connection]:
    """Open a database that has nothing in it."""
    database = sqlite3.connect(":memory:", isolation_level=None)
    yield database
    database.close()


def columns(database: sqlite3.Connection, table: str) -> list[str]:
    """The names of the columns of ``table``."""
    return [row[1] for row in database.execute(f"PRAGMA table_info({table})")]


def test_an_empty_file_becomes_a_catalog(database: sqlite3.Connection) -> None:
    """Version 0 is the beginning of every catalog."""
    migrate(database)
    assert pragma(database, "user_version") == len(MIGRATIONS)
    assert pragma(database, "application_id") == APPLICATION_ID
    assert columns(database, "placements") == [
        *("placement_id", "nodes", "auto", "objects", "chunk_bytes")
    ]


def test_an_older_version_takes_the_steps_it_lacks(database: sqlite3.Connection) -> None:
    """What was stored is still there afterwards."""
    migrate(database)
    database.execute("INSERT INTO nodes VALUES ('n', 'u', 'z', 1, 2, 3, 1, 0, 1)")
    migrate(database, LATER)
    assert pragma(database, "user_version") == len(LATER)
    row = database.execute("SELECT * FROM nodes").fetchone()
    assert row == ("n", "u", "z", 1, 2, 3, 1, 0, 1, None)


def test_version_1_is_counted_when_it_is_taken_over(database: sqlite3.Connection) -> None:
    """Its objects have no stored reasons, and each counts for its placement."""
    migrate(database, MIGRATIONS[:1])
    database.execute("INSERT INTO placements VALUES (1, 'a'), (2, 'b'), (3, 'c')")
    for sequence, placement_id in enumerate((1, 1, 3)):
        row = (
            sequence,
            b"%d" % sequence,
            b"%d" % sequence,
            11 * sequence,
            "",
            0,
            placement_id,
            b"",
        )
        database.execute("INSERT INTO objects VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
    migrate(database)
    counts = database.execute(
        "SELECT nodes, objects, chunk_bytes, auto FROM placements ORDER BY nodes"
    )
    assert counts.fetchall() == [("a", 2, 3, 1), ("b", 0, 0, 1), ("c", 1, 5, 1)]
    assert database.execute("SELECT DISTINCT decision_id FROM objects").fetchall() == [(None,)]


def test_version_2_learns_what_repair_goes_by(database: sqlite3.Connection) -> None:
    """Placements keep their numbers and dead versions theirs; nobody is lost or drained."""
    migrate(database, MIGRATIONS[:2])
    database.execute("INSERT INTO nodes VALUES ('n', 'u', 'z', 1, 2, 3)")
    for placement_id, nodes, objects in ((7, "a,b,c,d,e", 2), (9, "a,b,c,d,,f,", 1), (11, "g", 0)):
        row = (placement_id, nodes, objects)
        database.execute("INSERT INTO placements VALUES (?, ?, ?)", row)
    for sequence, (size_bytes, placement_id) in enumerate(((0, 7), (11, 7), (999, 9))):
        ids = (sequence, b"%d" % sequence, b"%d" % sequence)
        database.execute(
            "INSERT INTO objects VALUES (?, ?, ?, ?, '', 0, ?, x'', 4)",
            (*ids, size_bytes, placement_id),
        )
    database.execute("INSERT INTO dead VALUES (5, x'aa', 11, x'bb', 9)")
    migrate(database)
    rows = database.execute("SELECT * FROM placements ORDER BY placement_id").fetchall()
    assert rows == [(7, "a,b,c,d,e", 1, 2, 3), (9, "a,b,c,d,,f,", 1, 1, 200), (11, "g", 1, 0, 0)]
    assert database.execute("SELECT * FROM nodes").fetchall() == [("n", "u", "z", 1, 2, 3, 0, 0, 0)]
    assert database.execute("SELECT * FROM dead").fetchall() == [(5, b"\xaa", 11, b"\xbb", 9)]
    assert database.execute("SELECT DISTINCT decision_id FROM objects").fetchall() == [(4,)]
    assert database.execute("SELECT * FROM settings").fetchall() == []


@pytest.mark.parametrize(("width", "auto"), [(5, 1), (6, 1), (7, 1), (8, 0), (10, 0)])
def test_what_only_an_upload_can_have_asked_for_stays_so(
    database: sqlite3.Connection, width: int, auto: int
) -> None:
    """Repair counts chunks of objects that follow the nodes, which says nothing of copies."""
    migrate(database, MIGRATIONS[:2])
    nodes = ",".join("" if index == 3 else f"{index:016x}" for index in range(width))
    database.execute("INSERT INTO placements VALUES (1, ?, 1)", (nodes,))
    migrate(database)
    assert database.execute("SELECT nodes, auto FROM placements").fetchall() == [(nodes, auto)]


def test_the_newest_version_is_left_alone(database: sqlite3.Connection) -> None:
    """A second start changes nothing."""
    migrate(database, LATER)
    before = database.total_changes
    migrate(database, LATER)
    assert database.total_changes == before
    assert columns(database, "nodes").count("rack") == 1


def test_a_step_that_fails_leaves_the_older_version(database: sqlite3.Connection) -> None:
    """All steps are one transaction, the version number included."""
    migrate(database)
    broken = (*LATER, ("ALTER TABLE missing ADD COLUMN x",))
    with pytest.raises(sqlite3.OperationalError):
        migrate(database, broken)
    database.execute("ROLLBACK")
    assert pragma(database, "user_version") == len(MIGRATIONS)
    assert "rack" not in columns(database, "nodes")


def test_a_newer_version_is_refused(database: sqlite3.Connection) -> None:
    """An older release must not write what it does not understand."""
    migrate(database, LATER)
    with pytest.raises(StartupError, match="newer release"):
        migrate(database)


@pytest.mark.parametrize("version", [0, 1])
def test_the_database_of_another_program_is_refused(
    database: sqlite3.Connection, version: int
) -> None:
    """Its tables are not ours to change."""
    database.execute("CREATE TABLE songs (title)")
    database.execute(f"PRAGMA user_version = {version}")
    with pytest.raises(StartupError, match="not a catalog"):
        migrate(database)
