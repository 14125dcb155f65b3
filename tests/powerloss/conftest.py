"""Histories to cut the power in, how much of that is done, and how much was."""

from collections.abc import Callable, Collection, Mapping
from functools import cache
from pathlib import Path
from random import Random
from typing import Protocol

import pytest

from tests.powerloss.clients import live
from tests.powerloss.histories import History
from tests.powerloss.proof import Examination, Report
from twisted_store.core.durability import Durability
from twisted_store.core.scheme import Scheme, SchemeRules
from twisted_store.simulation.setting import Setting
from twisted_store.storage.limits import NEEDLE_BYTES_MAX

PROVISIONAL_AGE_SECONDS = 2.0
DEAD_GRACE_SECONDS = 3.0
BUSY_SECONDS = 3.0

SEEDS = 1
SEEDS_FULL = 8


class HistoryOf(Protocol):
    """Gives histories, each of which is made once."""

    def __call__(self, durability: Durability, seed: int, *, files: bool = False) -> History:
        """That of a new cluster; with ``files`` every chunk is a file."""


Prove = Callable[[History, Random, Collection[int], int], Report]

_images = pytest.StashKey[int]()


def pytest_configure(config: pytest.Config) -> None:
    """Count from zero."""
    config.stash[_images] = 0


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Tests that take a seed run for one, with ``--full`` for several."""
    if "seed" in metafunc.fixturenames:
        seeds = SEEDS_FULL if metafunc.config.getoption("--full") else SEEDS
        metafunc.parametrize("seed", range(seeds))


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Say how much the proof rests on."""
    if config.stash[_images]:
        terminalreporter.write_line(
            f"power loss: {config.stash[_images]} distinct images of a cluster checked"
        )


@pytest.fixture(scope="session")
def history_of(tmp_path_factory: pytest.TempPathFactory) -> HistoryOf:
    """Makes histories."""

    @cache
    def history_of(durability: Durability, seed: int, *, files: bool = False) -> History:
        history = new_history(tmp_path_factory.mktemp("history"), durability, files=files)
        with history.first_life(seed) as life:
            live(life, Random(seed), BUSY_SECONDS)
        return history

    return history_of


@pytest.fixture
def prove(tmp_path: Path, request: pytest.FixtureRequest) -> Prove:
    """Examine a history, which must show no violation."""

    def prove(history: History, random: Random, cuts: Collection[int], mixtures: int) -> Report:
        report = Examination(history, tmp_path / "scratch", random).run(cuts, mixtures)
        request.config.stash[_images] += report.images
        assert report.violations == []
        return report

    return prove


def new_history(
    folder: Path,
    durability: Durability,
    statements: Mapping[str, str] | None = None,
    *,
    files: bool = False,
) -> History:
    """One that has not begun; its ages are short, for much to happen."""
    setting = Setting(
        durability,
        SchemeRules(Scheme.PLAIN),
        provisional_age_seconds=PROVISIONAL_AGE_SECONDS,
        dead_grace_seconds=DEAD_GRACE_SECONDS,
        needle_bytes_max=0 if files else NEEDLE_BYTES_MAX,
    )
    return History(folder / "machine", setting, statements or {})
