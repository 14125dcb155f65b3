"""A job that is watched: how long, and what is said when it does not go on."""

import io
from collections.abc import Callable
from typing import Any

import pytest

from tests.cli.fake_jobs import FAILED, IDLE, MIB, amount, running
from tests.cli.fake_store import FakeStore
from tests.cli.test_options import Terminal
from twisted_store.cli.answers import ThrottledJob
from twisted_store.cli.client import StoreClient
from twisted_store.cli.exits import StoreUnavailableError
from twisted_store.cli.watching import LOOK_SECONDS, watch

Watch = Callable[..., ThrottledJob]
DONE = {**IDLE, "moved": {"lost": amount(12, 12)}}


@pytest.fixture
def waits() -> list[float]:
    """How long was waited between two looks."""
    return []


@pytest.fixture
def watch_repair(store: FakeStore, waits: list[float]) -> Watch:
    """Watch the repair while it takes these steps, one in each wait."""

    def watch_steps(*steps: dict[str, Any], cause: str | None = None) -> ThrottledJob:
        coming = iter(steps)

        def wait(seconds: float) -> None:
            waits.append(seconds)
            store.jobs.repair = next(coming)

        store.jobs.repair = next(coming)
        with StoreClient(store.url) as client:
            return watch(client, "repair", cause, quiet=False, wait=wait)

    return watch_steps


def test_it_ends_when_nothing_is_queued(watch_repair: Watch, waits: list[float]) -> None:
    """And not before, however often that takes a look."""
    job = watch_repair(running("lost", 2, 2), running("hole", 1, 1), DONE)
    assert job == {**DONE, "rate_bytes_max": None}
    assert waits == [LOOK_SECONDS] * 2


def test_a_job_that_looks_for_work_is_not_done(watch_repair: Watch, waits: list[float]) -> None:
    """It runs before it knows how much there is."""
    looking = {**IDLE, "state": "running"}
    watch_repair(looking, running("lost", 2, 2), looking, DONE)
    assert len(waits) == 3


def test_work_of_another_cause_is_not_waited_for(watch_repair: Watch) -> None:
    """A drained node may go though files of a lost one are still repaired."""
    both = {"drain": amount(1, 1), "lost": amount(2, 2)}
    other = running("lost", 2, 2)
    assert watch_repair(running("drain", 1, 1, queued=both), other, cause="drain") == {
        **other,
        "rate_bytes_max": None,
    }


@pytest.mark.parametrize(
    ("job", "said"),
    [
        ({"state": "halted", "reason": "Too many nodes are lost."}, "halted: Too many nodes"),
        ({"state": "paused"}, "paused: `twisted-store repair --resume` lets it go on"),
        (
            {"state": "waiting", "blocked": {"lost": amount(3, 2)}},
            "needs more nodes than are up: 3 files (2.0 MiB) with chunks on lost nodes",
        ),
        (
            {"failed": [FAILED], "failed_objects": 2},
            r"failed: 'trip/a\x1bb': Node 3 failed (tried again in 30 s)" "\nfailed: 1 file more",
        ),
    ],
)
def test_what_does_not_go_on_is_said(watch_repair: Watch, job: dict[str, Any], said: str) -> None:
    """Instead of waiting for ever."""
    with pytest.raises(StoreUnavailableError) as caught:
        watch_repair(running("lost", 2, 2), {**IDLE, **job})
    assert said in caught.value.message


def test_other_blocked_work_keeps_no_drain_from_its_end(watch_repair: Watch) -> None:
    """Only what was asked about counts."""
    blocked = {**IDLE, "state": "waiting", "blocked": {"lost": amount(3, 2)}}
    assert watch_repair(blocked, cause="drain")["state"] == "waiting"
    with pytest.raises(StoreUnavailableError, match="needs more nodes"):
        watch_repair(blocked)


def test_the_bar_follows_work_that_grows(
    watch_repair: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The share is that of all there was to do; an api that starts again counts from zero."""
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    watch_repair(
        running("lost", 4, 4, moved={"lost": amount(8, 8)}),
        running("lost", 3, 3, moved={"lost": amount(9, 9)}),
        running("lost", 9, 9),
        running("lost", 6, 6, moved={"lost": amount(3, 3)}),
        {**IDLE, "moved": {"lost": amount(9, 9)}},
    )
    text = terminal.getvalue()
    shares = [share for share in ("  0%", " 25%", " 10%", " 40%", "100%") if share in text]
    assert shares == ["  0%", " 25%", " 10%", " 40%", "100%"]
    assert text.endswith("\n")


def test_nothing_is_drawn_where_nobody_looks(
    watch_repair: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a script."""
    stream = io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    watch_repair(running("lost", 1, 1), {**IDLE, "moved": {"lost": {"objects": 1, "bytes": MIB}}})
    assert stream.getvalue() == ""


def test_an_interruption_ends_it(store: FakeStore) -> None:
    """Nothing on the way holds it up."""

    def interrupt(_seconds: float) -> None:
        raise KeyboardInterrupt

    store.jobs.repair = running("lost", 1, 1)
    with StoreClient(store.url) as client, pytest.raises(KeyboardInterrupt):
        watch(client, "repair", quiet=False, wait=interrupt)
