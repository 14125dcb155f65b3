"""
The index: which needle is where, an SQLite file that is a cache of the volumes.

What changes is held in memory and goes into the file now and then, with the place in the volumes up
to which the file tells all. It may be deleted at any time: the volumes are the truth. A sum over
all rows tells whether the file still is what was written, whatever happened to it.
"""

import errno
import sqlite3
import struct
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

from twisted_store.core.checksums import crc32c
from twisted_store.core.needles import NeedleRow, live_bytes
from twisted_store.core.volume import NeedleState
from twisted_store.database import DatabaseOpener
from twisted_store.storage.index_file import (
    SET_PLACE,
    IndexDamagedError,
    as_damage,
    opened,
    state_checksum,
)

KEYS_PER_QUERY = 64
"""Rows that are asked for at once."""

ROWS_PER_CALL = 1000
"""Rows that are written at once: readers wait for as long."""

_COLUMNS = "volume, offset, size_bytes, state, mark_volume, sequence, died, older"
_PUT = f"INSERT OR REPLACE INTO needle (key, {_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
_GET = f"SELECT {_COLUMNS} FROM needle WHERE key = ?"
_SOME = f"SELECT key, {_COLUMNS} FROM needle WHERE key IN"
_PAGE = f"SELECT key, {_COLUMNS} FROM needle WHERE key > ? ORDER BY key LIMIT ?"
_ALL = f"SELECT key, {_COLUMNS} FROM needle"
_IN_STATE = "SELECT key FROM needle WHERE state = ? AND state IN (1, 3)"
_TOUCHING = (
    "SELECT key FROM needle WHERE key > ? AND (volume = ? OR mark_volume = ?) ORDER BY key LIMIT ?"
)

_LIVE = "SELECT * FROM live ORDER BY volume"
_DELETE = "DELETE FROM needle WHERE key = ?"

_SUMMED = struct.Struct(">17sQQQBQQQQ")
_SUM_MODULUS = 2**62


class Place(NamedTuple):
    """A batch, with the checksum of its payload, and where it begins."""

    volume: int = 0
    offset: int = 0
    sequence: int = 0
    checksum: int = 0


def key_of(packed: bytes) -> bytes:
    """What a chunk is found by: in the order in which chunk files are listed, shard by shard."""
    return packed[15:16] + packed


class Index:
    """
    Rows by packed chunk id. Blocking; one thread at a time writes, any may read.

    ``live_bytes`` are the bytes of each volume that are still needed. ``compacting`` is the volume
    whose rewriting has begun, 0 if there is none.
    """

    def __init__(self, open_database: DatabaseOpener, path: Path) -> None:
        self._lock = Lock()
        self._recent: dict[bytes, NeedleRow | None] = {}
        self.live_bytes: Counter[int] = Counter()
        self._written: tuple[Place, int] | None = None
        with as_damage():
            self._database = opened(open_database, path)
            try:
                self._load()
            except BaseException:
                self._database.close()
                raise

    def _load(self) -> None:
        """What is so little that it is verified each time."""
        live = self._database.execute(_LIVE).fetchall()
        [(*state, checksum)] = self._database.execute("SELECT * FROM place").fetchall()
        if state_checksum(state, live) != checksum:
            raise IndexDamagedError("its place is not what was written")
        *place, self.compacting, self._rows, self._sum = state
        self.place = Place(*place)
        self._written = (self.place, self.compacting)
        self.live_bytes.update(dict(live))

    @property
    def rows(self) -> int:
        """How many chunks are known."""
        return int(self._rows)

    @property
    def unwritten(self) -> int:
        """Rows that are in memory only."""
        return len(self._recent)

    def get(self, packed: bytes) -> NeedleRow | None:
        """The row of a chunk."""
        recent = self._recent
        if packed in recent:
            return recent[packed]
        for found in self._query(_GET, (key_of(packed),)):
            return _row(found)
        return None

    def get_all(self, packed_ids: Sequence[bytes]) -> dict[bytes, NeedleRow | None]:
        """The rows of chunks, or None for each that has none; for many of them at once."""
        recent = self._recent
        found = {packed: recent[packed] for packed in packed_ids if packed in recent}
        wanted = [packed for packed in packed_ids if packed not in found]
        for start in range(0, len(wanted), KEYS_PER_QUERY):
            keys = tuple(map(key_of, wanted[start : start + KEYS_PER_QUERY]))
            sql = f"{_SOME} ({','.join('?' * len(keys))})"
            found.update((key[1:], _row(fields)) for key, *fields in self._query(sql, keys))
        return dict.fromkeys(packed_ids) | found

    def put(self, packed: bytes, old: NeedleRow | None, new: NeedleRow | None) -> None:
        """Replace the row ``old``, which `get` gave; None stands for no row."""
        self._recent[packed] = new
        for row, sign in ((old, -1), (new, 1)):
            if row is not None:
                self._rows += sign
                self._sum = (self._sum + sign * _summand(packed, row)) % _SUM_MODULUS
                for volume, size_bytes in live_bytes(row):
                    self.live_bytes[volume] += sign * size_bytes

    def recent_since(self, sequence: int) -> list[bytes]:
        """The chunks of which records were written behind that batch, of those in memory only."""
        return [
            packed
            for packed, row in self._recent.items()
            if row is not None and row.sequence > sequence
        ]

    def in_state(self, state: NeedleState) -> Iterator[bytes]:
        """All provisional or all quarantined chunks; nothing may be in memory only."""
        return (key[1:] for (key,) in self._query(_IN_STATE, (state,)))

    def page(self, after: bytes | None, limit: int) -> list[tuple[bytes, NeedleRow]]:
        """At most ``limit`` rows by packed id, in the order of `key_of`."""
        start = b"" if after is None else key_of(after)
        recent = dict(self._recent)
        found = self._query(_PAGE, (start, limit + len(recent)))
        rows: dict[bytes, NeedleRow | None] = {key[1:]: _row(fields) for key, *fields in found}
        if found and len(found) == limit + len(recent):
            last = found[-1][0]
            recent = {each: row for each, row in recent.items() if key_of(each) <= last}
        rows.update((each, row) for each, row in recent.items() if key_of(each) > start)
        there = ((each, row) for each, row in rows.items() if row is not None)
        return sorted(there, key=lambda item: key_of(item[0]))[:limit]

    def touching(self, volume: int, after: bytes | None, limit: int) -> list[bytes]:
        """The chunks of which needle or mark is in a volume, of those that the file tells of."""
        start = b"" if after is None else key_of(after)
        found = self._query(_TOUCHING, (start, volume, volume, limit))
        return [key[1:] for (key,) in found]

    def write(self, place: Place) -> None:
        """
        Bring the file up to ``place``, which the volumes must have synced.

        Readers meanwhile find what they look for in memory.
        """
        if not self._recent and (place, self.compacting) == self._written:
            return
        with _as_disk_error():
            self._begin()
            try:
                items = iter(self._recent.items())
                while some := tuple(islice(items, ROWS_PER_CALL)):
                    self._write_rows(some)
                self._commit(place)
            except BaseException:
                self._roll_back()
                raise
        self.place, self._written = place, (place, self.compacting)
        self._recent = {}

    def verify(self) -> None:
        """Raise `IndexDamagedError` unless the rows in the file are those that were written."""
        count = total = 0
        with as_damage():
            found = self._database.execute("PRAGMA integrity_check(1)").fetchall()
            if [*map(tuple, found)] != [("ok",)]:
                raise IndexDamagedError(str(found))
            for key, *fields in self._database.execute(_ALL):
                count += 1
                total += _summand(key[1:], _row(fields))
        if (count, total % _SUM_MODULUS) != (self._rows, self._sum):
            raise IndexDamagedError("its rows are not those that were written")

    def close(self) -> None:
        """Let go of the file, with all that is in it in one piece."""
        with self._lock:
            self._database.close()

    def _query(self, sql: str, parameters: tuple[Any, ...]) -> list[Any]:
        with self._lock, _as_disk_error():
            found: list[Any] = self._database.execute(sql, parameters).fetchall()
        return found

    def _begin(self) -> None:
        with self._lock:
            self._database.execute("BEGIN IMMEDIATE")

    def _write_rows(self, rows: Sequence[tuple[bytes, NeedleRow | None]]) -> None:
        there = [(key_of(packed), *row) for packed, row in rows if row is not None]
        gone = [(key_of(packed),) for packed, row in rows if row is None]
        with self._lock:
            self._database.executemany(_PUT, there)
            self._database.executemany(_DELETE, gone)

    def _commit(self, place: Place) -> None:
        live = sorted(self.live_bytes.items())
        state = (*place, self.compacting, self._rows, self._sum)
        with self._lock:
            self._database.execute("DELETE FROM live")
            self._database.executemany("INSERT INTO live VALUES (?, ?)", live)
            self._database.execute("DELETE FROM place")
            self._database.execute(SET_PLACE, (*state, state_checksum(state, live)))
            self._database.execute("COMMIT")

    def _roll_back(self) -> None:
        with self._lock:
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")


@contextmanager
def _as_disk_error() -> Iterator[None]:
    """SQLite's errors are the disk's; that it is full is told apart."""
    try:
        yield
    except sqlite3.Error as error:
        is_full = getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
        code = errno.ENOSPC if is_full else errno.EUCLEAN
        raise OSError(code, f"the index fails: {error}") from error


def _row(fields: Sequence[Any]) -> NeedleRow:
    row = NeedleRow._make(fields)
    return row._replace(state=NeedleState(row.state))


def _summand(packed: bytes, row: NeedleRow) -> int:
    return crc32c(_SUMMED.pack(packed, *row))
