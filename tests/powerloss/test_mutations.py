"""The proof of the proof: with any one sync left out, or an order changed, it finds a loss."""

import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from twisted.python.failure import Failure

from tests.powerloss.clients import Clients, live
from tests.powerloss.conftest import BUSY_SECONDS, HistoryOf, new_history
from tests.powerloss.histories import History
from tests.powerloss.proof import Examination
from twisted_store.core.durability import STRICT, Durability, DurabilityMode
from twisted_store.errors import CorruptionError
from twisted_store.simulation.recording import DirectorySynced, Event, Renamed, Synced

RELAXED = Durability(DurabilityMode.RELAXED, 1.0)
CUTS = 300


def first_violation(
    history: History,
    scratch: Path,
    omit: Callable[[Event], bool] = lambda _: False,
    cuts: Iterable[int] = (),
) -> str:
    """What the proof finds, empty for nothing."""
    random = Random(1)
    chosen = set(cuts) or set(random.sample(range(1, len(history.events) + 1), CUTS))
    report = Examination(history, scratch, random, omit).run(chosen, 1)
    return next(iter(report.violations), "")


@pytest.mark.parametrize(
    ("durability", "effect", "path", "found"),
    [
        (STRICT, Synced, r".*\.incoming", "lost chunks"),
        (STRICT, DirectorySynced, r"/data/chunks/..", "lost chunks"),
        (STRICT, DirectorySynced, r"/data/chunks", "lost chunks"),
        (STRICT, DirectorySynced, r"/data", "no node.json"),
        (STRICT, DirectorySynced, r"/", "lost chunks"),
        (STRICT, Synced, r"/data/node\.json\.tmp", "not a node's"),
        (STRICT, Synced, r"/data/seen\.json\.tmp", "seen.json is damaged"),
        (STRICT, Synced, r".*/catalog\.sqlite-wal", "shows version|api: "),
        (STRICT, Synced, r".*/catalog\.sqlite", "shows version|api: "),
        (STRICT, DirectorySynced, r".*/machine/api", "shows version"),
        (STRICT, DirectorySynced, r".*/machine", "shows version"),
        (STRICT, Synced, r".*\.volume", "lost chunks"),
        (STRICT, DirectorySynced, r"/data/volumes", "lost chunks"),
        (RELAXED, Synced, r".*\.volume", "lost chunks"),
        (RELAXED, Synced, r".*\.provisional", "lost chunks"),
        (RELAXED, DirectorySynced, r"/data/chunks/..", "lost chunks"),
    ],
)
def test_a_missing_sync_is_found(
    durability: Durability,
    effect: type[Synced] | type[DirectorySynced],
    path: str,
    found: str,
    tmp_path: Path,
    history_of: HistoryOf,
) -> None:
    """Of each kind of file, and of each directory that any of them is in."""

    def omit(event: Event) -> bool:
        did = event.effect
        return isinstance(did, effect) and re.fullmatch(path, did.path) is not None

    history = history_of(durability, 0, files="volume" not in path)
    assert re.search(found, first_violation(history, tmp_path, omit))


def test_a_missing_sync_of_dead_marks_is_found(tmp_path: Path, history_of: HistoryOf) -> None:
    """A chunk would come back, and nobody would tell its node again that it is dead."""
    history, unsynced = history_of(STRICT, 0, files=True), set[str]()
    syncs = dict[int, int]()
    for number, event in enumerate(history.events, start=1):
        match event.effect:
            case Renamed(new_path=path) if path.endswith(".dead"):
                unsynced.add(f"{event.machine}{Path(path).parent}")
            case DirectorySynced(path) if f"{event.machine}{path}" in unsynced:
                unsynced.remove(f"{event.machine}{path}")
                syncs[id(event)] = number
    cuts = [number + later for number in syncs.values() for later in (20, 50, 100)]
    omit = lambda event: id(event) in syncs  # noqa: E731
    assert "for ever" in first_violation(history, tmp_path / "scratch", omit, cuts)


@pytest.mark.parametrize("durability", [STRICT, RELAXED], ids=str)
@pytest.mark.parametrize("level", ["NORMAL", "OFF"])
def test_a_catalog_that_syncs_less_is_found(
    durability: Durability, level: str, tmp_path: Path
) -> None:
    """Commits that are acknowledged, or told to nodes, must be in the log."""
    statements = {"synchronous = FULL": f"synchronous = {level}"}
    history = new_history(tmp_path, durability, statements)
    with history.first_life(1) as life:
        live(life, Random(1), BUSY_SECONDS / 3)
    assert first_violation(history, tmp_path / "scratch") != ""


def test_dead_marks_before_the_confirms_are_found(
    tmp_path: Path, history_of: HistoryOf, expected_failures: Callable[..., list[Failure]]
) -> None:
    """The old version would be given up for one that a power loss took."""
    history, random = history_of(RELAXED, 0), Random(1)
    cuts = random.sample(range(1, len(history.events) + 1), 20)
    torn = Examination(history, tmp_path / "scratch", random).run(cuts, 2).torn
    hasty = {"dead.successor_object_id, successor.nodes": "NULL, NULL"}
    found = ""
    for cut, images in torn:
        with replace(history, statements=hasty).life_after_power_loss(cut, images, 1) as life:
            Clients(life, random).rest()
            last = len(life.history.events)
        found = first_violation(life.history, tmp_path / "scratch", cuts=[last])
        if found:
            break
    assert "and what it replaced" in found
    expected_failures(CorruptionError)
