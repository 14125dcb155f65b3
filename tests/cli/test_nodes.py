"""The commands about single nodes: `nodes`, `drain`, `forget` and `safe-to-stop`."""

import json

import pytest

from tests.cli.conftest import Run
from tests.cli.fake_jobs import IDLE, amount
from tests.cli.fake_store import FakeStore

FOURTH = "0" * 15 + "3"


def test_nodes_shows_the_state_of_each(store: FakeStore, run: Run) -> None:
    """With all that is said of it, in the table that status has, too."""
    store.memberships = ("up", "suspect", "lost", "up")
    store.quarantined = {1: 1, 3: 3}
    store.draining = {FOURTH}
    text = run("nodes").stdout
    lines = text.splitlines()
    assert lines[0].split() == ["node", "url", "zone", "used", "capacity", "fill", "state"]
    assert lines[1].split()[-2:] == ["25.0%", "up"]
    assert lines[2].endswith("  suspect (silent), 1 chunk in quarantine")
    assert lines[3].endswith("  lost (silent)")
    assert lines[4].endswith("  up, draining, 3 chunks in quarantine")
    assert run("status").stdout.endswith(text)
    nodes = json.loads(run("nodes", "--json").stdout)["nodes"]
    assert [node["membership"] for node in nodes] == list(store.memberships)
    assert run("nodes", "--quiet").stdout == ""


@pytest.mark.parametrize("form", ["id", "beginning", "url", "slash"])
def test_a_node_is_known_by_several_words(store: FakeStore, run: Run, form: str) -> None:
    """By all that tells it from the others."""
    store.forgotten = {f"{number:016x}" for number in range(6) if number != 3}
    url = f"{store.url}/node3"
    words = {"id": FOURTH, "beginning": "000", "url": url, "slash": f"{url}/"}
    assert run("drain", words[form]).exit_code == 0
    assert store.draining == {FOURTH}


@pytest.mark.parametrize("command", ["drain", "forget", "safe-to-stop"])
def test_words_that_mean_no_single_node_are_wrong_usage(
    store: FakeStore, run: Run, command: str
) -> None:
    """The nodes to choose from are listed."""
    store.forgotten = {FOURTH}
    for words, problem in (
        ("0", "'0' means several nodes."),
        ("", "No node is called ''."),
        (FOURTH, f"No node is called '{FOURTH}'."),
        (f"{store.url}/node", f"No node is called '{store.url}/node'."),
    ):
        result = run(command, words)
        assert result.exit_code == 2
        assert problem in result.stderr
        assert result.stderr.count(f"{store.url}/node") >= 5
    assert store.draining == set()
    assert store.forgotten == {FOURTH}


def test_where_there_are_no_nodes_none_is_meant(store: FakeStore, run: Run) -> None:
    """The message says that, too."""
    store.memberships = ()
    assert "There are: none" in run("forget", "0").stderr


def test_drain_says_what_happens_next(store: FakeStore, run: Run) -> None:
    """And can be taken back."""
    result = run("drain", FOURTH)
    assert (
        result.stdout == f"Node {FOURTH} ({store.url}/node3) is drained:"
        f" its chunks are moved to other nodes; then: twisted-store forget {FOURTH}\n"
    )
    assert store.draining == {FOURTH}
    assert "takes new chunks again" in run("drain", "--undo", FOURTH).stdout
    assert store.draining == set()
    assert json.loads(run("drain", "--json", FOURTH).stdout)["draining"] is True
    assert run("drain", "--undo", "--watch", FOURTH).exit_code == 2


def test_a_drain_that_is_watched_ends_when_nothing_is_left(store: FakeStore, run: Run) -> None:
    """Or when what is left has no place."""
    result = run("drain", "--watch", FOURTH)
    assert result.exit_code == 0
    assert result.stdout.endswith(f"Its chunks are moved. Now: twisted-store forget {FOURTH}\n")
    store.jobs.repair = {**IDLE, "state": "waiting", "blocked": {"drain": amount(1, 1)}}
    result = run("drain", "--watch", FOURTH)
    assert result.exit_code == 5
    assert "1 file (1.0 MiB) with chunks on draining nodes" in result.stderr


def test_forget_takes_a_node_off_the_list(store: FakeStore, run: Run) -> None:
    """Unless the api says why not."""
    store.needed = {FOURTH}
    result = run("forget", FOURTH)
    assert (result.exit_code, store.forgotten) == (5, set())
    assert "message of node_needed" in result.stderr
    store.needed = set()
    assert run("forget", FOURTH).stdout == f"Node {FOURTH} ({store.url}/node3) is forgotten.\n"
    assert store.forgotten == {FOURTH}


def test_a_node_that_is_gone_is_forgotten_without_waiting(store: FakeStore, run: Run) -> None:
    """The operator says so."""
    store.needed = {FOURTH}
    assert run("forget", "--gone", FOURTH).exit_code == 0
    assert store.forgotten == {FOURTH}


def test_safe_to_stop_is_an_exit_status(store: FakeStore, run: Run) -> None:
    """For scripts, with the reasons for people."""
    result = run("safe-to-stop", FOURTH)
    assert result.exit_code == 0
    assert result.stdout == f"Node {FOURTH} ({store.url}/node3) can be stopped.\n"
    store.needed = {FOURTH}
    result = run("safe-to-stop", FOURTH)
    assert result.exit_code == 5
    assert result.stdout.endswith("CANNOT be stopped safely.\n  node_needed: 2 files need it.\n")
    answer = run("safe-to-stop", "--json", FOURTH)
    assert (answer.exit_code, json.loads(answer.stdout)["safe"]) == (5, False)
    assert run("safe-to-stop", "--quiet", FOURTH).stdout == ""
