"""What of the catalog survives a kill, a power loss and a broken disk, and when (promise P2)."""

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from twisted.python.failure import Failure

from tests.catalog.objects import PLACEMENT, manifest_of
from tests.catalog.seams import (
    HeldCalls,
    PromptClock,
    WatchedOpener,
    now,
    opened,
    result_of,
    start,
)
from twisted_store.catalog.commits import BATCH_MAX, WRITES_WAITING_MAX, CommitInDoubtError
from twisted_store.catalog.entries import Entry
from twisted_store.catalog.writer import CHECKPOINT_WORKS, NotWrittenError
from twisted_store.core.durability import NONE, STRICT, Durability, DurabilityMode
from twisted_store.errors import UnavailableError

RELAXED = Durability(DurabilityMode.RELAXED, 2.0)
CHECKPOINT = "PRAGMA wal_checkpoint(RESTART)"
SYNCED = "PRAGMA synchronous = FULL"


def test_a_failed_commit_is_fatal_and_fails_all_who_wait(
    path: Path, expected_failures: Callable[..., list[Failure]]
) -> None:
    """Nobody is told that it happened or not, nothing more is written, the process must end."""
    opener, held, messages = WatchedOpener(), HeldCalls(), list[str]()
    catalog = opened(path, opener=opener, run_blocking=held, fatal=messages.append)
    first, second, third = [
        start(catalog.commit(manifest_of(name, number), PLACEMENT))
        for number, name in enumerate("abc")
    ]
    opener.failing.add("COMMIT")
    held.run_all()
    with pytest.raises(CommitInDoubtError):
        result_of(first)
    for waiting in (second, third, start(catalog.commit(manifest_of("d", 4), PLACEMENT))):
        with pytest.raises(UnavailableError) as raised:
            result_of(waiting)
        assert not isinstance(raised.value, CommitInDoubtError)
    assert len(messages) == 1
    assert "disk I/O error" in messages[0]
    result_of(start(catalog.close()))
    assert len(expected_failures(sqlite3.OperationalError)) == 1


def test_a_failed_statement_rolls_its_batch_back(
    path: Path, expected_failures: Callable[..., list[Failure]]
) -> None:
    """Before COMMIT nothing is in doubt: the callers hear of it and the catalog lives on."""
    opener = WatchedOpener()
    catalog = opened(path, opener=opener)
    now(catalog.commit(manifest_of("a", 1), PLACEMENT))
    opener.failing.add("UPDATE meta")
    with pytest.raises(NotWrittenError):
        now(catalog.delete("a"))
    opener.failing.clear()
    assert now(catalog.get("a")) == Entry(manifest_of("a", 1), PLACEMENT, 1)
    assert now(catalog.commit(manifest_of("b", 2), PLACEMENT)).sequence == 2
    assert len(expected_failures(NotWrittenError)) == 1
    now(catalog.close())


def test_strict_commits_are_synced_when_they_are_acknowledged(path: Path) -> None:
    """Promise P2, strict: nothing is left for later."""
    clock, opener = PromptClock(), WatchedOpener()
    catalog = opened(path, opener=opener, clock=clock)
    opener.forget()
    now(catalog.commit(manifest_of("a", 1), PLACEMENT))
    assert opener.count(SYNCED) == 1
    assert catalog.synced_sequence == 1
    assert clock.getDelayedCalls() == []
    now(catalog.close())


def test_relaxed_commits_are_synced_within_the_window(path: Path) -> None:
    """Promise P2, relaxed: one sync for all commits of a window, none where there are none."""
    clock, opener = PromptClock(), WatchedOpener()
    catalog = opened(path, RELAXED, opener=opener, clock=clock)
    opener.forget()
    now(catalog.commit(manifest_of("a", 1), PLACEMENT))
    now(catalog.commit(manifest_of("a", 2), PLACEMENT))
    assert (opener.count(SYNCED), catalog.synced_sequence) == (0, 0)
    clock.advance(1.9)
    assert catalog.synced_sequence == 0
    clock.advance(0.1)
    assert (opener.count(SYNCED), catalog.synced_sequence) == (1, 2)
    clock.advance(10)
    assert opener.count(SYNCED) == 1
    assert clock.getDelayedCalls() == []
    now(catalog.close())


def test_the_outbox_shows_only_what_is_synced(path: Path) -> None:
    """A node must not reclaim the old version before the new one is safe from a power loss."""
    clock = PromptClock()
    catalog = opened(path, RELAXED, clock=clock)
    now(catalog.commit(manifest_of("a", 1), PLACEMENT))
    now(catalog.commit(manifest_of("a", 2), PLACEMENT))
    assert now(catalog.dead_work(0, 10)) == ()
    clock.advance(2)
    assert [dead.sequence for dead in now(catalog.dead_work(0, 10))] == [2]
    now(catalog.close())


def test_a_sync_does_not_wait_behind_a_full_queue(path: Path) -> None:
    """The window holds under load, too: the sync goes first, however many wait."""
    clock, held = PromptClock(), HeldCalls()
    catalog = opened(path, RELAXED, clock=clock, run_blocking=held)
    first = start(catalog.commit(manifest_of("a", 1), PLACEMENT))
    held.run_all()
    assert result_of(first).sequence == 1
    for number in range(2, 2 + 1 + WRITES_WAITING_MAX):
        start(catalog.commit(manifest_of(str(number), number), PLACEMENT))
    clock.advance(2)
    held.run_next()
    held.run_next()
    assert catalog.synced_sequence == 1 + 1 + BATCH_MAX - 1
    held.run_all()
    start(catalog.close())
    held.run_all()


def test_a_sync_that_was_rolled_back_is_tried_again(
    path: Path, expected_failures: Callable[..., list[Failure]]
) -> None:
    """What is not synced stays planned, even if no further commit comes."""
    clock, opener = PromptClock(), WatchedOpener()
    catalog = opened(path, RELAXED, clock=clock, opener=opener)
    now(catalog.commit(manifest_of("a", 1), PLACEMENT))
    opener.failing.add("BEGIN")
    clock.advance(2)
    opener.failing.clear()
    assert catalog.synced_sequence == 0
    clock.advance(2)
    assert catalog.synced_sequence == 1
    assert len(expected_failures(NotWrittenError)) == 1
    now(catalog.close())


def test_closing_ends_the_wait_for_a_sync(path: Path) -> None:
    """The checkpoint at the end syncs; the clock has nothing left to call."""
    clock = PromptClock()
    catalog = opened(path, RELAXED, clock=clock)
    now(catalog.commit(manifest_of("a", 1), PLACEMENT))
    now(catalog.close())
    assert clock.getDelayedCalls() == []


def test_the_log_is_copied_into_the_database_now_and_then(path: Path) -> None:
    """The write-ahead log does not grow without end."""
    opener = WatchedOpener()
    catalog = opened(path, NONE, opener=opener)
    for number in range(CHECKPOINT_WORKS):
        now(catalog.commit(manifest_of("a", number), PLACEMENT))
    assert opener.count(CHECKPOINT) == 0
    for number in range(3):
        now(catalog.commit(manifest_of("a", CHECKPOINT_WORKS + number), PLACEMENT))
    assert opener.count(CHECKPOINT) == 1
    now(catalog.close())


def test_a_failed_checkpoint_is_fatal(
    path: Path, expected_failures: Callable[..., list[Failure]]
) -> None:
    """After a failed sync nobody knows what of the log is on the disk."""
    opener, messages = WatchedOpener(), list[str]()
    catalog = opened(path, NONE, opener=opener, fatal=messages.append)
    for number in range(CHECKPOINT_WORKS):
        now(catalog.commit(manifest_of("a", number), PLACEMENT))
    opener.failing.add(CHECKPOINT)
    with pytest.raises(CommitInDoubtError):
        now(catalog.commit(manifest_of("b", CHECKPOINT_WORKS), PLACEMENT))
    assert len(messages) == 1
    assert len(expected_failures(sqlite3.OperationalError)) == 1


def test_closing_copies_the_log_into_the_database(path: Path) -> None:
    """By an own checkpoint: that of SQLite, when the last connection closes, hides its errors."""
    opener = WatchedOpener()
    catalog = opened(path, opener=opener)
    opener.forget()
    now(catalog.close())
    assert opener.count("PRAGMA wal_checkpoint(TRUNCATE)") == 1
    assert [file.name for file in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("durability", [STRICT, RELAXED, NONE])
def test_what_was_acknowledged_survives_a_kill(
    path: Path, tmp_path: Path, durability: Durability
) -> None:
    """Whatever the durability: the files as a killed process leaves them hold every commit."""
    catalog = opened(path, durability)
    for number in range(20):
        now(catalog.commit(manifest_of(str(number % 7), number), PLACEMENT))
    left = tmp_path / "left"
    left.mkdir()
    for suffix in ("", "-wal"):
        shutil.copy(f"{path}{suffix}", left / f"{path.name}{suffix}")
    now(catalog.close())
    again = opened(left / path.name, durability)
    assert again.incarnation == catalog.incarnation + 1
    assert (again.sequence, again.synced_sequence) == (20, 20)
    assert again.totals == catalog.totals
    numbers = [now(again.get(str(name))) for name in range(7)]
    assert [entry and entry.sequence for entry in numbers] == [15, 16, 17, 18, 19, 20, 14]
    assert len(now(again.dead_work(0, 100))) == 13
    now(again.close())
