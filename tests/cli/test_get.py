"""`twisted-store get`: only what was verified becomes a file."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.cli.fake_store import FakeStore


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current directory, below another."""
    below = tmp_path / "below"
    below.mkdir()
    monkeypatch.chdir(below)
    return below


def files_below(directory: Path) -> list[str]:
    """Relative paths of all files, temporary ones included."""
    paths = [path for path in directory.rglob("*") if not path.is_dir()]
    return sorted(path.relative_to(directory).as_posix() for path in paths)


def test_a_file_comes_back(store: FakeStore, run: Run, here: Path) -> None:
    """Under its own name, or as the target says."""
    store.add("docs/a.txt", b"content")
    assert run("get", "docs/a.txt").stdout == "a.txt  7 B\n"
    assert (here / "a.txt").read_bytes() == b"content"
    result = run("get", "docs/a.txt", "copy", "--json")
    assert json.loads(result.stdout) == {"name": "docs/a.txt", "path": "copy", "size": 7}
    assert (here / "copy").read_bytes() == b"content"


def test_an_empty_file_comes_back(store: FakeStore, run: Run, here: Path) -> None:
    """It has a digest like all others."""
    store.add("empty", b"")
    assert run("get", "-q", "empty").exit_code == 0
    assert (here / "empty").read_bytes() == b""


def test_a_file_goes_to_standard_output(store: FakeStore, run: Run) -> None:
    """Nothing else is printed there."""
    store.add("a", b"\x00\xff\n")
    assert run("get", "a", "-").stdout_bytes == b"\x00\xff\n"


def test_a_missing_file_has_a_status_of_its_own(run: Run, here: Path) -> None:
    """And leaves nothing behind."""
    result = run("get", "nothing")
    assert (result.exit_code, result.stderr) == (3, "Error: message of not_found\n")
    assert files_below(here) == []


def test_a_body_that_breaks_off_leaves_what_was_there(
    store: FakeStore, run: Run, here: Path
) -> None:
    """Neither a short file nor a temporary one."""
    store.add("a", b"content")
    store.cut = ("a",)
    (here / "a").write_bytes(b"old")
    result = run("get", "a")
    assert result.exit_code == 5
    assert "broke off" in result.stderr
    assert files_below(here) == ["a"]
    assert (here / "a").read_bytes() == b"old"


def test_a_body_with_another_digest_leaves_no_file(store: FakeStore, run: Run, here: Path) -> None:
    """Of the right length, but with a wrong bit."""
    store.add("a", b"content")
    store.flipped = ("a",)
    result = run("get", "a")
    assert result.exit_code == 1
    assert "digest" in result.stderr
    assert files_below(here) == []
    assert run("get", "a", "-").exit_code == 1


def test_a_folder_comes_back_with_its_layout(store: FakeStore, run: Run, here: Path) -> None:
    """Over several pages of the listing, and without its neighbours."""
    for name in ("p/a", "p/b/c", "p/b/d", "p/e", "pq", "p"):
        store.add(name, name.encode())
    assert run("get", "-r", "p").exit_code == 0
    assert files_below(here) == ["p/a", "p/b/c", "p/b/d", "p/e"]
    assert run("get", "-r", "p/", "out", "-q").stdout == ""
    assert (here / "out" / "b" / "d").read_bytes() == b"p/b/d"


def test_an_empty_folder_is_not_found(run: Run) -> None:
    """There are no folders without files."""
    assert run("get", "-r", "p").exit_code == 3


def test_no_name_writes_outside_the_target(
    store: FakeStore, run: Run, here: Path, tmp_path: Path
) -> None:
    """The names of others are reported, the good ones among them fetched."""
    for name in ("p/../../evil", "p//etc/evil", "p/good", "p/x/../../../evil", "p/z"):
        store.add(name, b"x")
    result = run("get", "-r", "p", "out")
    assert result.exit_code == 1
    assert result.stderr.count("has no place in out") == 3
    assert files_below(tmp_path) == ["below/out/good", "below/out/z"]


def test_one_broken_file_does_not_keep_the_others_back(
    store: FakeStore, run: Run, here: Path
) -> None:
    """The exit status is that of the first failure."""
    for name in ("p/a", "p/b", "p/c"):
        store.add(name, b"content")
    store.cut = ("p/a",)
    store.flipped = ("p/b",)
    assert run("get", "-r", "p").exit_code == 5
    assert files_below(here) == ["p/c"]


def test_a_target_that_cannot_be_written_is_reported(
    store: FakeStore, run: Run, here: Path
) -> None:
    """By the words of the system."""
    store.add("a", b"content")
    (here / "file").write_bytes(b"")
    result = run("get", "a", "file/below")
    assert (result.exit_code, result.stderr) == (1, "Error: file/below: Not a directory\n")
    assert run("get", "-r", "a", "-").exit_code == 2
