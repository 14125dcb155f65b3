"""What a chunk store promised is there after a power loss, with volumes and any index."""

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from random import Random

import pytest

from tests.powerloss.volumes.clients import live
from tests.powerloss.volumes.history import empty_history
from tests.powerloss.volumes.proof import Proof
from twisted_store.simulation.recording import DirectorySynced, Event, Synced
from twisted_store.storage import recovery
from twisted_store.storage.compaction import Compaction
from twisted_store.storage.recovery import Replay
from twisted_store.storage.volumes import Volumes

HISTORIES = 4
CUTS = 10

HISTORIES_MUTATED = 20
"""What is left out is found in one of so many histories, from a seed on that is near one."""


def proof_of(
    folder: Path, seeds: Iterable[int], omit: Callable[[Event], bool] = lambda _: False
) -> Proof:
    """The proof on some histories, or until it finds something."""
    proof = Proof(folder, CUTS, omit)
    for seed in seeds:
        proof.run(seed)
        if proof.report.violations:
            break
    return proof


def test_p2_no_power_loss_takes_what_a_store_promised(tmp_path: Path) -> None:
    """Nor does a kill, or an index that is lost, older, damaged, or another node's."""
    report = proof_of(tmp_path, range(HISTORIES)).report
    assert report.violations == []
    assert len(report.distinct) > HISTORIES * CUTS / 2


def test_the_histories_follow_from_their_seeds(tmp_path: Path) -> None:
    """So that a failure comes back."""
    histories = []
    for _ in range(2):
        history = empty_history(tmp_path / "node")
        live(history, Random(1), 20)
        histories.append([str(event.effect) for event in history.events])
    assert histories[0] == histories[1]


@pytest.mark.parametrize(
    ("effect", "path"),
    [(Synced, r".*\.volume"), (DirectorySynced, r".*/volumes"), (DirectorySynced, r".*/node")],
)
def test_a_missing_sync_is_found(
    effect: type[Synced] | type[DirectorySynced], path: str, tmp_path: Path
) -> None:
    """Of volumes, of their names, and of their directory."""

    def omit(event: Event) -> bool:
        did = event.effect
        return isinstance(did, effect) and re.fullmatch(path, did.path) is not None

    assert proof_of(tmp_path, range(HISTORIES_MUTATED), omit).report.violations


@pytest.mark.parametrize(
    ("owner", "name", "weaker", "first"),
    [
        (Volumes, "cut", lambda self: None, 6),
        (Volumes, "sync", lambda self: None, 0),
        (recovery, "compare", lambda volumes, index: None, 0),
        (Compaction, "_has_older", lambda self, row, number: False, 0),
        (Replay, "_mark", lambda self, number, batch, record: None, 0),
    ],
)
def test_a_missing_protection_is_found(
    owner: object,
    name: str,
    weaker: object,
    first: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What failed is not cut off, marks are forgotten, tombstones dropped, indexes not compared."""
    monkeypatch.setattr(owner, name, weaker)
    assert proof_of(tmp_path, range(first, first + HISTORIES_MUTATED)).report.violations
