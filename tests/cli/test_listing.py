"""`twisted-store ls`, `stat`, `rm` and `status`."""

import json

import pytest

from tests.cli.conftest import Run
from tests.cli.fake_store import FakeStore


@pytest.fixture
def names(store: FakeStore) -> list[str]:
    """Some files, more than a page."""
    names = ["a", "b/c", "b/d", "b/e/f", "bc", "z"]
    for name in names:
        store.add(name, name.encode())
    return names


@pytest.mark.usefixtures("names")
def test_ls_shows_folders_once(run: Run) -> None:
    """Sizes, times and names; a prefix need not be a folder."""
    lines = run("ls").stdout.splitlines()
    assert [line.split()[-1] for line in lines] == ["a", "b/", "bc", "z"]
    assert lines[0] == "             1  2026-03-01T12:00:00  a"
    assert [line.split()[-1] for line in run("ls", "b").stdout.splitlines()] == ["b/", "bc"]
    assert [line.split()[-1] for line in run("ls", "b/").stdout.splitlines()] == [
        "b/c",
        "b/d",
        "b/e/",
    ]


def test_ls_recursive_shows_all_names(run: Run, names: list[str]) -> None:
    """As many pages as it takes."""
    shown = [json.loads(line)["name"] for line in run("ls", "-r", "--json").stdout.splitlines()]
    assert shown == names


def test_ls_quotes_what_would_play_tricks_on_a_terminal(store: FakeStore, run: Run) -> None:
    """Names come from anybody."""
    store.add("\x1b[2Jboo\nboo", b"")
    assert run("ls").stdout.endswith("'\\x1b[2Jboo\\nboo'\n")


def test_stat_tells_what_is_known_and_where(store: FakeStore, run: Run) -> None:
    """Every chunk has a line."""
    store.add("b/../c", b"content")
    lines = run("stat", "b/../c").stdout.splitlines()
    assert lines[0].split() == ["name", "b/../c"]
    assert "redundancy    5+1: 6 of 6 chunks, survives any 1 node" in lines
    data, parity = lines[-2].split(), lines[-1].split()
    assert data[:6] == ["4", "data", "1", "0" * 15 + "4", f"{store.url}/node4", "up"]
    assert parity[:4] == ["5", "parity", "2", "0" * 15 + "5"]
    facts = json.loads(run("stat", "--json", "b/../c").stdout)
    assert (facts["size"], facts["modified"]) == (7, "2026-03-01T12:00:00Z")
    assert facts["etag"] == store.files["b/../c"].etag
    assert len(facts["explain"]["chunks"]) == 6


def test_explain_tells_why(store: FakeStore, run: Run) -> None:
    """Of each chunk, of the nodes without one, and what happened during the upload."""
    store.add("a", b"content")
    store.nodes = (*range(5), None)
    text = run("explain", "a").stdout
    lines = text.splitlines()
    assert lines[0] == "5+1: 5 of 6 chunks, survives no loss"
    assert "It survives the loss of any 1 nodes, not of a host." in lines
    assert any(line.split()[:4] == ["5", "parity", "2", "(hole)"] for line in lines)
    assert text.count("among the least filled") == 5
    assert any(line.split() == ["f" * 16, "50.00%", "filled", "more"] for line in lines)
    assert lines[-1] == "Chunk 4 went to another node. It rained."
    assert json.loads(run("explain", "--json", "a").stdout)["chunks_present"] == 5


def test_explain_tries_a_size(run: Run) -> None:
    """Without a file, and with the scheme that is asked for."""
    lines = run("explain", "--size", "1GiB", "--scheme", "5+0").stdout.splitlines()
    assert "5+0: 5 of 5 chunks, survives no loss" in lines[0]
    assert lines[-1].split()[:5] == ["e" * 16, "here", "3", "25.00%", "50.00%"]
    tried = json.loads(run("explain", "--size", "2MiB", "--scheme", "5x2", "--json").stdout)
    assert (tried["size"], tried["scheme"]) == (2 * 2**20, "5x2")


def test_explain_wants_to_know_of_what(run: Run) -> None:
    """A name, or a size that is one, and a scheme only for what would be stored."""
    assert run("explain").exit_code == 2
    assert run("explain", "nothing", "--scheme", "5+1").exit_code == 2
    assert run("explain", "--size", "much").exit_code == 2
    assert run("explain", "nothing").exit_code == 3


def test_stat_of_nothing_is_not_found(run: Run) -> None:
    """Though the answer to HEAD has no body to tell it by."""
    result = run("stat", "nothing")
    assert result.exit_code == 3
    assert "404" in result.stderr


@pytest.mark.usefixtures("names")
def test_rm_removes_what_is_named(store: FakeStore, run: Run) -> None:
    """What is not there is reported; the others are removed all the same."""
    result = run("rm", "a", "nothing", "z")
    assert result.exit_code == 3
    assert result.stdout == "a  removed\nz  removed\n"
    assert sorted(store.files) == ["b/c", "b/d", "b/e/f", "bc"]


@pytest.mark.usefixtures("names")
def test_rm_recursive_removes_a_folder(store: FakeStore, run: Run) -> None:
    """Not its neighbours, and never everything by an empty name."""
    assert run("rm", "-r", "").exit_code == 2
    assert run("rm", "-rq", "b").stdout == ""
    assert sorted(store.files) == ["a", "bc", "z"]
    assert run("rm", "-r", "b").exit_code == 3


def test_status_shows_nodes_and_readiness(store: FakeStore, run: Run) -> None:
    """With reasons, and an exit status to wait for."""
    store.memberships = ("up", "suspect")
    store.survivors = {"-1": 2, "0": 1, "1": 39}
    result = run("status")
    assert result.exit_code == 0
    assert "\nready\n" in result.stdout
    assert "scheme auto (now 5+1)" in result.stdout
    assert (
        "  2 files CANNOT BE READ\n  1 file survives no loss\n  39 files survive any 1 node"
        in result.stdout
    )
    assert result.stdout.splitlines()[-1].endswith("suspect (silent)")
    store.ready = False
    result = run("status")
    assert result.exit_code == 5
    assert "too_few_nodes: A file needs 5 nodes." in result.stdout
    assert json.loads(run("status", "--json").stdout)["ready"] is False
