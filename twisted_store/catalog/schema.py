"""The tables of the catalog and the steps that lead to them from each earlier version."""

from collections.abc import Sequence

from twisted_store.database import Database, pragma
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

# What repair goes by: the objects of a placement, how much is in their chunks, and whether their
# scheme follows the number of nodes; what was said of nodes; and what operators asked for. Until
# then nobody wrote down who had asked for a scheme: more than 7 chunks nobody gets unasked.
_VERSION_3 = (
    """
    CREATE TABLE new_placements (
        placement_id INTEGER PRIMARY KEY,
        nodes TEXT NOT NULL,
        auto INTEGER NOT NULL,
        objects INTEGER NOT NULL,
        chunk_bytes INTEGER NOT NULL,
        UNIQUE (nodes, auto)
    )
    """,
    """
    INSERT INTO new_placements
    SELECT
        placement_id,
        nodes,
        LENGTH(nodes) - LENGTH(REPLACE(nodes, ',', '')) < 7,
        objects,
        COALESCE(counted.chunk_bytes, 0)
    FROM placements
    LEFT JOIN (
        SELECT placement_id, SUM((size_bytes + 4) / 5) AS chunk_bytes
        FROM objects GROUP BY placement_id
    ) AS counted USING (placement_id)
    """,
    "DROP TABLE placements",
    "ALTER TABLE new_placements RENAME TO placements",
    "CREATE INDEX objects_by_placement ON objects (placement_id)",
    "CREATE INDEX dead_by_successor ON dead (successor_object_id)",
    "ALTER TABLE nodes ADD COLUMN zone_named INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE nodes ADD COLUMN lost INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE nodes ADD COLUMN draining INTEGER NOT NULL DEFAULT 0",
    "CREATE TABLE settings (name TEXT PRIMARY KEY, value INTEGER) WITHOUT ROWID",
)

MIGRATIONS: tuple[tuple[str, ...], ...] = (_VERSION_1, _VERSION_2, _VERSION_3)
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
