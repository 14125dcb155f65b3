"""The catalog alone: the write-ahead log is copied into the database while commits go on."""

import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest
from twisted.internet.defer import Deferred, gatherResults

from tests.catalog.objects import PLACEMENT, manifest_of
from tests.catalog.seams import PromptClock
from tests.powerloss.engines import now, run_inline
from tests.powerloss.histories import restore
from tests.powerloss.sqlite_vfs import RecordingOpener
from twisted_store.catalog.catalog import Catalog, open_catalog
from twisted_store.catalog.commits import RunBlocking
from twisted_store.catalog.writer import CHECKPOINT_WORKS
from twisted_store.core.durability import NONE, STRICT, Durability
from twisted_store.database import DatabaseOpener, open_sqlite
from twisted_store.errors import StartupError
from twisted_store.simulation.chances import NOTHING, any_draw
from twisted_store.simulation.clock import SimulatedClock
from twisted_store.simulation.power_loss import PowerLoss
from twisted_store.simulation.recording import Event, EventLog, Recorder, Synced, Written

MACHINE = "api"
NAMES = 20
BATCH = 50


@dataclass(frozen=True, slots=True)
class Commits:
    """So many commits are acknowledged, and so many asked for; they are numbered from 1."""

    acknowledged: int
    asked: int


def opened(
    opener: DatabaseOpener, folder: Path, durability: Durability, run_blocking: RunBlocking
) -> Catalog:
    """The catalog in that folder."""
    return open_catalog(
        opener,
        folder / "catalog.sqlite",
        durability,
        random=Random(1),
        run_blocking=run_blocking,
        clock=PromptClock(),
        fatal=pytest.fail,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the catalog is."""
    return tmp_path_factory.mktemp("catalog")


@pytest.fixture(scope="module")
def events(folder: Path) -> list[Event]:
    """The life of a catalog that becomes large enough for a checkpoint."""
    clock, events = SimulatedClock(), list[Event]()
    log = EventLog(events, clock.seconds)
    opener = RecordingOpener("checkpoint", Recorder(log, MACHINE, {}), {})
    catalog = opened(opener, folder, STRICT, clock.run_blocking)
    for first in range(1, CHECKPOINT_WORKS + 4 * BATCH, BATCH):
        log.add("", Commits(first - 1, first + BATCH - 1))
        clock.run_until(gatherResults(list(begun_commits(catalog, first))), 1)
    log.add("", Commits(first + BATCH - 1, first + BATCH - 1))
    clock.run_until(Deferred.fromCoroutine(catalog.close()), 1)
    opener.close()
    return events


def begun_commits(catalog: Catalog, first: int) -> Iterator["Deferred[object]"]:
    """A batch of commits."""
    for number in range(first, first + BATCH):
        manifest = manifest_of(f"{number % NAMES}", number)
        yield Deferred.fromCoroutine(catalog.commit(manifest, PLACEMENT))


def around_the_checkpoint(events: list[Event]) -> range:
    """The numbers of the events from before it until the log has begun anew."""
    batches = [number for number, event in enumerate(events) if isinstance(event.effect, Commits)]
    copied = [
        number
        for number, event in enumerate(events)
        if batches[0] < number < batches[-1]
        and isinstance(event.effect, Written)
        and event.effect.path.endswith(".sqlite")
    ]
    return range(copied[0] - 10, copied[-1] + 50)


def first_fault(
    events: list[Event],
    folder: Path,
    scratch: Path,
    omit: Callable[[Event], bool] = lambda _: False,
) -> str:
    """What is wrong after a power loss around the checkpoint; empty for nothing."""
    disks, random, commits = PowerLoss({MACHINE: str(folder)}), Random(1), Commits(0, 0)
    cuts = around_the_checkpoint(events)[::4]
    for number, event in enumerate(events):
        if isinstance(event.effect, Commits):
            commits = event.effect
        elif not omit(event):
            disks.happen(event)
        if number in cuts:
            for draw in (lambda: NOTHING, any_draw(random), any_draw(random)):
                restore(disks.images(draw)[MACHINE], folder, scratch)
                fault = fault_in(scratch, commits)
                if fault:
                    return fault
    return ""


def fault_in(folder: Path, commits: Commits) -> str:
    """What is wrong with a catalog: it has to be as it was after one of its last commits."""
    try:
        catalog = opened(open_sqlite, folder, NONE, run_inline)
        last = catalog.sequence
        entries = [now(catalog.get(f"{name}")) for name in range(NAMES)]
        now(catalog.close())
    except (StartupError, sqlite3.DatabaseError) as error:
        return str(error)
    if not commits.acknowledged <= last <= commits.asked:
        return f"shows commit {last} of {commits}"
    latest = [last - (last - name) % NAMES for name in range(NAMES)]
    if [entry and entry.sequence for entry in entries] != latest:
        return f"is not as it was after commit {last}"
    return ""


def test_no_power_loss_during_a_checkpoint_takes_a_commit(
    events: list[Event], folder: Path, tmp_path: Path
) -> None:
    """Whatever is in the log, in the database or in both."""
    assert len(around_the_checkpoint(events)) > 60
    assert first_fault(events, folder, tmp_path / "scratch") == ""


def test_a_checkpoint_without_a_sync_is_found(
    events: list[Event], folder: Path, tmp_path: Path
) -> None:
    """The log begins anew only when the database is safe."""

    def omit(event: Event) -> bool:
        return isinstance(event.effect, Synced) and event.effect.path.endswith(".sqlite")

    assert first_fault(events, folder, tmp_path / "scratch", omit) != ""
