"""Histories of one chunk store: all that happens on its disk, and what its callers are told."""

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import apsw

from tests.powerloss.histories import known_files, restore
from tests.powerloss.sqlite_vfs import RecordingOpener
from tests.powerloss.volumes.machine import Machine, UnsyncedDisk
from tests.powerloss.volumes.promises import Promises, Started
from tests.storage.faulty_disk import FaultyDisk
from twisted_store.database import Database
from twisted_store.simulation.chances import EVERYTHING
from twisted_store.simulation.power_loss import Image, MachineDisk
from twisted_store.simulation.recording import Effect, Event, EventLog, Recorder, RecordingDisk
from twisted_store.storage.disk import OsDisk
from twisted_store.storage.identity import IDENTITY_NAME

MACHINE = "node"

_vfs_numbers = count()


@dataclass(frozen=True)
class History:
    """
    What happened below ``root``, since before the first of the events ``promises`` was known.

    Those before ``first_cut`` only make what was there at the beginning.
    """

    root: Path
    events: list[Event]
    first_cut: int
    promises: Promises

    def moments(
        self, omit: Callable[[Event], bool] = lambda _: False
    ) -> Iterator[tuple[int, MachineDisk, Promises]]:
        """
        After each event its number, the disk, and what may be seen on it.

        Events that are to be left out have no effect on the disk.
        """
        disk, promises = MachineDisk(str(self.root)), deepcopy(self.promises)
        for number, event in enumerate(self.events, start=1):
            if isinstance(event.effect, Effect) and not (number > self.first_cut and omit(event)):
                disk.happen(event.effect)
            promises.learn(event)
            if number > self.first_cut:
                yield number, disk, promises

    def after_power_loss(self, image: Image) -> "History":
        """All of it happened, and the loss left this image."""
        *_, (_, _, promises) = self.moments()
        promises.power_lost()
        return new_history(self.root, image, promises)


def new_history(root: Path, image: Image, promises: Promises) -> History:
    """One that begins with an image, all of it synced."""
    restore(image, root, root)
    events = [Event(0.0, MACHINE, None)]
    known_files(events, MACHINE, str(root), image)
    return History(root, events, len(events), promises)


def empty_history(root: Path) -> History:
    """One that begins with the directory of a node that holds nothing."""
    return new_history(root, {f"{root}/{IDENTITY_NAME}": b"{}"}, Promises())


class Life(Machine):
    """A store that lives, and adds to a history; it may be killed and started again."""

    disk: FaultyDisk

    def __init__(self, history: History) -> None:
        super().__init__(history.root)
        self._history = history
        self._log = EventLog(history.events, self.clock.seconds)
        self._opener: _KeepingOpener | None = None
        self.begin_process()

    def begin_process(self) -> None:
        """End the process without a word, and begin another one, which starts nothing yet."""
        self.end_process()
        disk = MachineDisk(str(self.root))
        for event in self._history.events:
            if isinstance(event.effect, Effect):
                disk.happen(event.effect)
        restore(disk.image(EVERYTHING), self.root, self.root)
        recorder = Recorder(self._log, MACHINE, disk.files())
        self._opener = self.open_database = _KeepingOpener(recorder)
        self.disk = FaultyDisk(RecordingDisk(UnsyncedDisk(OsDisk()), recorder))

    def end_process(self) -> None:
        """Close what a killed process leaves open; nothing of that has happened."""
        happened = len(self._history.events)
        if self._opener is not None:
            self._opener.close()
        del self._history.events[happened:]

    def note(self, effect: object) -> None:
        """Something was asked for, or answered."""
        self._log.add(MACHINE, effect)

    def start(self) -> None:
        """Start, and note what is there."""
        super().start()
        self.note(Started(self.states()))


class _KeepingOpener:
    """Opens recorded databases, and closes them all in the end."""

    def __init__(self, recorder: Recorder) -> None:
        self._opener = RecordingOpener(f"volumes{next(_vfs_numbers)}", recorder, {})
        self._opened: list[Database] = []

    def __call__(self, path: Path, read_only: bool) -> Database:
        with _as_sqlite_errors():
            self._opened.append(_PlainDatabase(self._opener(path, read_only)))
        return self._opened[-1]

    def close(self) -> None:
        for each in self._opened:
            each.close()
        self._opener.close()


class _PlainDatabase:
    """Raises the errors that the database of the product does."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @property
    def in_transaction(self) -> bool:
        return self._database.in_transaction

    def execute(self, sql: str, parameters: tuple[Any, ...] = (), /) -> "_Rows":
        with _as_sqlite_errors():
            return _Rows(self._database.execute(sql, parameters).fetchall())

    def executemany(self, sql: str, parameters: Iterable[tuple[Any, ...]], /) -> None:
        with _as_sqlite_errors():
            self._database.executemany(sql, parameters)

    def close(self) -> None:
        with _as_sqlite_errors():
            self._database.close()


class _Rows:
    """The rows of a statement, all of them."""

    def __init__(self, rows: list[Any]) -> None:
        self._rows = rows

    def __iter__(self) -> Iterator[Any]:
        return iter(self._rows)

    def fetchone(self) -> Any:
        return self._rows[0] if self._rows else None

    def fetchall(self) -> Any:
        return self._rows


@contextmanager
def _as_sqlite_errors() -> Iterator[None]:
    try:
        yield
    except apsw.Error as error:
        translated = sqlite3.DatabaseError(str(error))
        translated.sqlite_errorcode = getattr(error, "extendedresult", sqlite3.SQLITE_ERROR)
        raise translated from error
