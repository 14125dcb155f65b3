"""`twisted-store repair` and `rebalance`, and what `status` says of them."""

import json
from typing import Any

import pytest

from tests.cli.conftest import Run
from tests.cli.fake_jobs import FAILED, IDLE, MIB, amount, running
from tests.cli.fake_store import FakeStore

NOW = (
    "repair: running, 120 files (1.2 GiB) with chunks on lost nodes,"
    " 10.0 MiB/s of 64.0 MiB/s allowed, 1.2 GiB and 2 min left"
)


@pytest.fixture
def busy(store: FakeStore) -> FakeStore:
    """A store that repairs what it can."""
    store.jobs.rate_bytes_max = 64 * MIB
    store.jobs.repair = running(
        "lost",
        120,
        1200,
        blocked={"hole": amount(1, 3)},
        moved={"lost": amount(7, 70)},
        failed=[FAILED],
        failed_objects=3,
    )
    return store


@pytest.mark.usefixtures("busy")
def test_repair_shows_all_there_is_to_say(run: Run) -> None:
    """A line for each kind of it."""
    assert run("repair").stdout.splitlines() == [
        NOW,
        "  blocked until more nodes are up: 1 file (3.0 MiB) with missing chunks",
        r"  failed: 'trip/a\x1bb': Node 3 failed (tried again in 30 s)",
        "  failed: 2 files more",
        "  moved since the api started: 7 files (70.0 MiB) with chunks on lost nodes",
        "  throttle of all moves: 64.0 MiB/s",
    ]


@pytest.mark.usefixtures("busy")
def test_status_shows_the_jobs_that_have_something_to_say(run: Run) -> None:
    """And leaves out those that rest, and what was."""
    text = run("status").stdout
    assert f"\nready\n{NOW}\n  blocked" in text
    assert "  failed: 2 files more\nnode " in text
    assert "rebalance" not in text


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"state": "paused"}, "rebalance: paused"),
        ({"state": "halted", "reason": "no room"}, "rebalance: halted (no room)"),
        ({"failed_objects": 1}, "rebalance: idle\n  failed: 1 file more"),
        (
            {"state": "running", "queued": {"rebalance": amount(2, 4)}, "bytes_left": 4 * MIB},
            "rebalance: running, 2 files (4.0 MiB) to spread evenly, 0 B/s, 4.0 MiB left",
        ),
    ],
)
def test_status_leaves_out_no_job_that_is_not_well(
    store: FakeStore, run: Run, changes: dict[str, Any], line: str
) -> None:
    """Whatever it is that it does, or does not."""
    assert "rebalance" not in run("status").stdout
    store.jobs.rebalance = {**IDLE, **changes}
    assert f"\n{line}\nnode " in run("status").stdout


def test_a_job_at_rest_says_so(run: Run) -> None:
    """In the same lines."""
    assert run("rebalance").stdout.splitlines() == [
        "rebalance: idle",
        "  moved since the api started: nothing",
        "  throttle of all moves: none",
    ]


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        (["repair", "--pause"], {"paused": True}),
        (["repair", "--resume"], {"paused": False}),
        (["repair", "--rate", "50MiB"], {"rate_bytes_max": 50 * MIB}),
        (["repair", "--rate", "none", "--pause"], {"rate_bytes_max": None, "paused": True}),
        (["rebalance", "--start"], {"start": True}),
        (["rebalance", "--start", "--resume"], {"start": True, "paused": False}),
    ],
)
def test_a_job_is_asked_for_what_the_options_say(
    store: FakeStore, run: Run, words: list[str], asked: dict[str, Any]
) -> None:
    """And for nothing else."""
    result = run(*words)
    assert result.exit_code == 0
    assert store.jobs.asked == [(words[0], asked)]
    assert result.stdout.startswith(f"{words[0]}: {'paused' if asked.get('paused') else 'idle'}\n")


def test_without_options_nothing_is_asked_for(store: FakeStore, run: Run) -> None:
    """To look changes nothing."""
    run("repair")
    run("rebalance", "--watch")
    assert store.jobs.asked == []


@pytest.mark.parametrize(
    "words",
    [
        ["repair", "--rate", "much"],
        ["repair", "--rate", "0"],
        ["repair", "--start"],
        ["rebalance", "--start", "--pause"],
    ],
)
def test_a_contradiction_is_wrong_usage(store: FakeStore, run: Run, words: list[str]) -> None:
    """Before anything is asked for."""
    assert run(*words).exit_code == 2
    assert store.jobs.asked == []


def test_json_is_the_job_and_the_throttle(store: FakeStore, run: Run) -> None:
    """The same whether something was changed or not."""
    store.jobs.rate_bytes_max = MIB
    assert json.loads(run("repair", "--json").stdout) == {**IDLE, "rate_bytes_max": MIB}
    changed = json.loads(run("repair", "--json", "--rate", "none").stdout)
    assert changed == {**IDLE, "rate_bytes_max": None}
    assert run("repair", "--quiet").stdout == ""


def test_a_watch_ends_with_the_job(store: FakeStore, run: Run) -> None:
    """With what was done, or with why it is not."""
    store.jobs.repair = {**IDLE, "moved": {"lost": amount(2, 1)}}
    result = run("repair", "--watch")
    assert result.exit_code == 0
    assert "2 files (1.0 MiB) with chunks on lost nodes" in result.stdout
    result = run("repair", "--pause", "--watch")
    assert (result.exit_code, result.stdout) == (5, "")
    assert "The repair is paused" in result.stderr
