"""The seams of a catalog, in forms that a test can hold, watch and break."""

import sqlite3
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from pathlib import Path
from random import Random
from typing import Any, TypeVar

import apsw
import pytest
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from twisted_store.catalog.catalog import Catalog, open_catalog
from twisted_store.catalog.commits import RunBlocking
from twisted_store.core.durability import STRICT, Durability
from twisted_store.database import Cursor, Database, DatabaseOpener, open_sqlite

T = TypeVar("T")


def run_inline(work: Callable[[], T], /) -> Deferred[T]:
    """Run at once, in the caller's thread."""
    return maybeDeferred(work)


class HeldCalls:
    """Runs nothing until told, so that what comes meanwhile has to wait."""

    def __init__(self) -> None:
        self._held: deque[Callable[[], None]] = deque()

    def __call__(self, work: Callable[[], T], /) -> Deferred[T]:
        """Hold ``work``."""
        done: Deferred[T] = Deferred()

        def run() -> None:
            try:
                result = work()
            except Exception:
                done.errback(Failure())
            else:
                done.callback(result)

        self._held.append(run)
        return done

    def __len__(self) -> int:
        return len(self._held)

    def run_all(self) -> None:
        """Run what is held, and what comes of it."""
        while self._held:
            self.run_next()

    def run_next(self) -> None:
        """Run the one that is held longest."""
        self._held.popleft()()


class WatchedDatabase:
    """Records the statements and fails those that begin with one of ``failing``."""

    def __init__(self, database: Database, statements: list[str], failing: set[str]) -> None:
        self._database = database
        self._statements = statements
        self._failing = failing

    @property
    def in_transaction(self) -> bool:
        """Whether a BEGIN waits for its COMMIT or ROLLBACK."""
        return self._database.in_transaction

    def execute(self, sql: str, parameters: tuple[Any, ...] = (), /) -> Cursor:
        """Run one statement, or fail like a broken disk."""
        self._statements.append(sql)
        if any(sql.startswith(start) for start in self._failing):
            raise sqlite3.OperationalError("disk I/O error")
        return self._database.execute(sql, parameters)

    def executemany(self, sql: str, parameters: Iterable[tuple[Any, ...]], /) -> None:
        """Run one statement for each of the parameters."""
        for each in parameters:
            self.execute(sql, each)

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()


class WatchedOpener:
    """An opener of watched databases; readers are watched apart from the writer."""

    def __init__(self) -> None:
        self.written: list[str] = []
        self.read: list[str] = []
        self.failing: set[str] = set()

    def __call__(self, path: Path, read_only: bool) -> Database:
        """Open with SQLite."""
        database = open_sqlite(path, read_only)
        if read_only:
            return WatchedDatabase(database, self.read, set())
        return WatchedDatabase(database, self.written, self.failing)

    def count(self, statement: str) -> int:
        """How often the writer ran ``statement`` since `forget`."""
        return self.written.count(statement)

    def forget(self) -> None:
        """Count from here."""
        self.written.clear()
        self.read.clear()


def open_apsw(path: Path, read_only: bool) -> Database:
    """The other driver, which can be given a file system of its own."""
    flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
    return apsw.Connection(str(path), apsw.SQLITE_OPEN_READONLY if read_only else flags)


class PromptClock(Clock):
    """Makes calls without delay at once, so that no test has to turn for them."""

    def callLater(
        self, delay: float, callable: Callable[..., object], *args: object, **kw: object
    ) -> IDelayedCall:
        """As a clock does, with a turn for what is due."""
        planned = super().callLater(delay, callable, *args, **kw)
        if not delay:
            self.advance(0)
        return planned


def opened(
    path: Path,
    durability: Durability = STRICT,
    *,
    opener: DatabaseOpener = open_sqlite,
    run_blocking: RunBlocking = run_inline,
    clock: Clock | None = None,
    fatal: Callable[[str], None] = pytest.fail,
    seed: int = 1,
) -> Catalog:
    """Open the catalog at ``path``."""
    return open_catalog(
        opener,
        path,
        durability,
        random=Random(seed),
        run_blocking=run_blocking,
        clock=clock or PromptClock(),
        fatal=fatal,
    )


def start(call: Coroutine[Deferred[Any], Any, T]) -> Deferred[T]:
    """Let a call go as far as it can."""
    return Deferred.fromCoroutine(call)


def now(call: Coroutine[Deferred[Any], Any, T]) -> T:
    """What a call that has nothing to wait for answers or raises."""
    return result_of(start(call))


def result_of(done: Deferred[T]) -> T:
    """What has come of a call, which must have ended."""
    results: list[T | Failure] = []
    done.addBoth(results.append)
    [result] = results
    if isinstance(result, Failure):
        result.raiseException()
    return result
