"""The tables of the catalog and the steps that lead to them from each earlier version."""

from collections.abc import Sequence

from twisted_store.catalog.database import Database, pragma
from twisted_store.errors import StartupError

APPLICATION_ID = 0x54534341
"""``TSCA`` in the header of the file: this SQLite database is a catalog."""

_VERSION_1 = (
    f"PRAGMA application_id = {APPLICATION_ID}",
    """
    CREATE TABLE meta (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        cluster_id TEXT NOT NULL,
        incarnation INTEGER NOT NULL,
        transactions INTEGER NOT NULL,
        sequence INTEGER NOT NULL,
        objects INTEGER NOT NULL,
        size_bytes INTEGER NOT NULL
    )
    """,
    """
    CREATE TABLE nodes (
        node_id TEXT PRIMARY KEY,
        url TEXT NOT NULL,
        zone TEXT NOT NULL,
        capacity_bytes INTEGER NOT NULL,
        first_seen_us INTEGER NOT NULL,
        last_seen_us INTEGER NOT NULL
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE placements (
        placement_id INTEGER PRIMARY KEY,
        nodes TEXT NOT NULL UNIQUE
    )
    """,
    # In order of commit, not WITHOUT ROWID by name: manifests make wide rows, and those of random
    # names would each dirty a page of their own. Half the cost of a commit, measured.
    """
    CREATE TABLE objects (
        sequence INTEGER PRIMARY KEY,
        name BLOB NOT NULL UNIQUE,
        object_id BLOB NOT NULL UNIQUE,
        size_bytes INTEGER NOT NULL,
        etag TEXT NOT NULL,
        created_us INTEGER NOT NULL,
        placement_id INTEGER NOT NULL,
        manifest BLOB NOT NULL
    )
    """,
    """
    CREATE TABLE dead (
        sequence INTEGER PRIMARY KEY,
        object_id BLOB NOT NULL,
        placement_id INTEGER NOT NULL,
        successor_object_id BLOB,
        successor_placement_id INTEGER
    )
    """,
    "CREATE INDEX dead_by_object ON dead (object_id)",
)

# Why chunks are where they are, shared by the objects of one decision; and how many objects have a
# placement, so that nobody has to count them.
_VERSION_2 = (
    """
    CREATE TABLE decisions (
        decision_id INTEGER PRIMARY KEY,
        reasons TEXT NOT NULL UNIQUE,
        objects INTEGER NOT NULL
    )
    """,
    "ALTER TABLE objects ADD COLUMN decision_id INTEGER",
    "ALTER TABLE placements ADD COLUMN objects INTEGER NOT NULL DEFAULT 0",
    """
    UPDATE placements SET objects = counted.objects
    FROM (SELECT placement_id, COUNT(*) AS objects FROM objects GROUP BY placement_id) AS counted
    WHERE placements.placement_id = counted.placement_id
    """,
)

MIGRATIONS: tuple[tuple[str, ...], ...] = (_VERSION_1, _VERSION_2)
"""The statements that lead from version N to N + 1, for each N; version 0 is an empty file."""


def migrate(database: Database, migrations: Sequence[Sequence[str]] = MIGRATIONS) -> None:
    """
    Bring the tables to the newest version, in one transaction.

    Raises `StartupError` if the database is not a catalog or comes from a newer version.
    """
    version = pragma(database, "user_version")
    if version == 0:
        _check_empty(database)
    elif pragma(database, "application_id") != APPLICATION_ID:
        raise StartupError("This SQLite database is not a catalog.")
    if version > len(migrations):
        raise StartupError(
            f"The catalog has format version {version}, this release knows {len(migrations)}: "
            "start a newer release."
        )
    if version < len(migrations):
        _apply(database, migrations[version:], len(migrations))


def _check_empty(database: Database) -> None:
    (tables,) = database.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()
    if tables:
        raise StartupError("This SQLite database is not a catalog: it has tables of its own.")


def _apply(database: Database, steps: Sequence[Sequence[str]], version: int) -> None:
    database.execute("BEGIN IMMEDIATE")
    for statements in steps:
        for statement in statements:
            database.execute(statement)
    database.execute(f"PRAGMA user_version = {version}")
    database.execute("COMMIT")
