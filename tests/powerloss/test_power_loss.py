"""Promises P1, P2 and P4 when all machines lose their power at once (docs/durability.md)."""

from collections.abc import Callable, Collection
from pathlib import Path
from random import Random

import pytest
from twisted.python.failure import Failure

from tests.powerloss.clients import PAUSE_SECONDS, Clients, live
from tests.powerloss.conftest import BUSY_SECONDS, HistoryOf, Prove
from tests.powerloss.histories import History
from tests.powerloss.proof import Examination
from twisted_store.core.durability import NONE, STRICT, Durability, DurabilityMode
from twisted_store.errors import CorruptionError
from twisted_store.simulation.chances import any_draw
from twisted_store.simulation.recording import Created

RELAXED = Durability(DurabilityMode.RELAXED, 1.0)
MODES = pytest.mark.parametrize("durability", [STRICT, RELAXED], ids=str)


def some_cuts(history: History, random: Random, count: int) -> Collection[int]:
    """So many moments of the history, or all of them."""
    cuts = range(history.first_cut + 1, len(history.events) + 1)
    return random.sample(cuts, min(count, len(cuts)))


@MODES
def test_p2_no_power_loss_takes_what_was_promised(
    durability: Durability, seed: int, full: bool, history_of: HistoryOf, prove: Prove
) -> None:
    """From the first start of a cluster to its end; a kill takes nothing that was acknowledged."""
    history, random = history_of(durability, seed), Random(seed)
    count = 60 if not full else 600 if seed else len(history.events)
    prove(history, random, some_cuts(history, random, count), 2)


def test_p2_no_kill_takes_what_was_acknowledged_without_a_sync(
    seed: int, full: bool, history_of: HistoryOf, prove: Prove
) -> None:
    """In durability none, where nothing is promised of a power loss."""
    history, random = history_of(NONE, seed), Random(seed)
    prove(history, random, some_cuts(history, random, 300 if full else 60), 0)


@MODES
def test_p2_a_second_power_loss_takes_nothing_that_the_first_left(
    durability: Durability,
    seed: int,
    full: bool,
    history_of: HistoryOf,
    prove: Prove,
    expected_failures: Callable[..., list[Failure]],
) -> None:
    """What was found after the first is there after the next, in whatever state it was found."""
    history, random = history_of(durability, seed), Random(seed)
    for cut in some_cuts(history, random, 4 if full else 1):
        images = history.disks(cut).images(any_draw(random))
        with history.life_after_power_loss(cut, images, seed) as life:
            live(life, random, BUSY_SECONDS / 2)
        prove(life.history, random, some_cuts(life.history, random, 100 if full else 25), 1)
    expected_failures(CorruptionError)


@MODES
def test_p2_no_power_loss_after_a_kill_takes_what_was_promised(
    durability: Durability, seed: int, full: bool, history_of: HistoryOf, prove: Prove
) -> None:
    """What a killed process left unsynced is synced by the next, before anybody relies on it."""
    history, random = history_of(durability, seed), Random(seed)
    for cut in some_cuts(history, random, 4 if full else 1):
        with history.life_after_kill(cut, seed) as life:
            live(life, random, BUSY_SECONDS / 2)
        prove(life.history, random, some_cuts(life.history, random, 100 if full else 25), 1)


def test_p2_nor_does_one_after_a_kill_during_the_first_start(
    full: bool, history_of: HistoryOf, prove: Prove
) -> None:
    """Each directory that a role makes for itself is synced by the next process at the latest."""
    history, random = history_of(STRICT, 0), Random(0)
    first_steps = [
        number
        for number, event in enumerate(history.events, start=1)
        if event.at_seconds == 0 and event.machine in ("api", "node0")
    ]
    made = [
        number
        for number in first_steps
        if isinstance(effect := history.events[number - 1].effect, Created) and effect.is_directory
    ]
    for cut in first_steps if full else made:
        with history.life_after_kill(cut, 0) as life:
            life.cluster.run(Clients(life, random).work(PAUSE_SECONDS))
            last = len(life.history.events)
        prove(life.history, random, [last], 1)


def test_p2_an_overwritten_file_is_kept_until_the_new_one_is_safe(
    tmp_path: Path,
    seed: int,
    full: bool,
    history_of: HistoryOf,
    prove: Prove,
    expected_failures: Callable[..., list[Failure]],
) -> None:
    """Where a power loss took chunks of the new version only, restarts and sweeps keep the old."""
    history, random = history_of(RELAXED, seed), Random(seed)
    examination = Examination(history, tmp_path / "scratch", random)
    torn = examination.run(some_cuts(history, random, 100 if full else 20), 2).torn
    assert torn
    for cut, images in random.sample(torn, min(len(torn), 6 if full else 1)):
        with history.life_after_power_loss(cut, images, seed) as life:
            Clients(life, random).rest()
            last = len(life.history.events)
        prove(life.history, random, [last, *some_cuts(life.history, random, 10)], 1)
    expected_failures(CorruptionError)
