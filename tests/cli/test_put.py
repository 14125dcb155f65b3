"""`twisted-store put`."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.cli.fake_store import FakeStore
from twisted_store.cli.bodies import PIECE_BYTES, Source
from twisted_store.cli.exits import CommandError


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_file_is_stored_with_its_length(store: FakeStore, run: Run, here: Path) -> None:
    """Whole, and with a type that its name suggests."""
    content = bytes(PIECE_BYTES) + b"end"
    (here / "page.html").write_bytes(content)
    result = run("put", "page.html")
    assert result.exit_code == 0
    assert result.stdout == "page.html  256.0 KiB  created\n"
    assert store.files["page.html"].content == content
    assert store.files["page.html"].content_type == "text/html"
    assert store.files["page.html"].unit_bytes == 1024 * 1024


@pytest.mark.parametrize(
    ("name", "kind"),
    [("a.tar.gz", "application/gzip"), ("a.unknown", "application/octet-stream"), ("a.Z", None)],
)
def test_packed_content_is_not_called_what_it_unpacks_to(
    store: FakeStore, run: Run, here: Path, name: str, kind: str | None
) -> None:
    """Nothing says that it is packed, so a browser would not unpack it."""
    (here / name).write_bytes(b"")
    assert run("put", name).exit_code == 0
    assert store.files[name].content_type == kind or kind is None


def test_standard_input_of_unknown_length_is_stored(store: FakeStore, run: Run) -> None:
    """It is sent chunked."""
    assert run("put", "-", "notes", stdin=b"from a pipe").exit_code == 0
    assert store.files["notes"].content == b"from a pipe"
    assert store.files["notes"].unit_bytes == 256 * 1024


def test_a_directory_is_stored_whole(store: FakeStore, run: Run, here: Path) -> None:
    """Empty files too; JSON has a line for each."""
    (here / "d" / "e").mkdir(parents=True)
    (here / "d" / "e" / "f").write_bytes(b"f")
    (here / "d" / "empty").write_bytes(b"")
    result = run("put", "--recursive", "--json", "d", "backup/")
    assert [json.loads(line)["name"] for line in result.stdout.splitlines()] == [
        "backup/d/empty",
        "backup/d/e/f",
    ]
    assert sorted(store.files) == ["backup/d/e/f", "backup/d/empty"]


def test_if_absent_leaves_what_is_there(store: FakeStore, run: Run, here: Path) -> None:
    """And says so by its exit status."""
    (here / "a").write_bytes(b"new")
    store.add("a", b"old")
    result = run("put", "--if-absent", "a")
    assert result.exit_code == 4
    assert result.stderr == "Error: message of precondition_failed\n"
    assert store.files["a"].content == b"old"
    assert run("put", "--if-absent", "a", "b").exit_code == 0
    assert run("put", "a").stdout.endswith("replaced\n")


def test_a_digest_that_differs_is_a_failure(store: FakeStore, run: Run, here: Path) -> None:
    """What the store says it has is compared with what was sent."""
    (here / "a").write_bytes(b"new")
    store.lies_about_etags = True
    result = run("put", "a")
    assert result.exit_code == 1
    assert "other bytes than were sent" in result.stderr


def test_one_failure_does_not_keep_the_others_back(store: FakeStore, run: Run, here: Path) -> None:
    """The exit status is that of the failure."""
    (here / "b").write_bytes(b"b")
    result = run("put", "--quiet", "missing", "b", "folder/")
    assert result.exit_code == 1
    assert result.stderr == "Error: missing: No such file or directory\n"
    assert (result.stdout, list(store.files)) == ("", ["folder/b"])


def test_a_store_that_cannot_take_it_is_unavailable(store: FakeStore, run: Run, here: Path) -> None:
    """Its message and the id to look for in its log are shown."""
    (here / "a").write_bytes(b"a")
    store.ready = False
    result = run("put", "a")
    assert result.exit_code == 5
    assert result.stderr == "Error: message of too_few_nodes (request r1)\n"


@pytest.mark.parametrize("name", ["a/../b", ".", "..", "/", "//x", "ü ?#%2F", "a\nb"])
def test_names_arrive_as_they_are(store: FakeStore, run: Run, here: Path, name: str) -> None:
    """Dots, slashes and escapes are bytes like others."""
    (here / "a").write_bytes(b"a")
    assert (
        run("put", "a", "-q", "--", *([name] if name[-1] != "/" else [f"{name}a"])).exit_code == 0
    )
    assert list(store.files) == [name if name[-1] != "/" else f"{name}a"]


def test_a_name_that_is_not_utf8_is_refused(store: FakeStore, run: Run, here: Path) -> None:
    """Local file names may be any bytes, names may not."""
    (here / "d").mkdir()
    (here / "d" / "\udcff").write_bytes(b"a")
    result = run("put", "-r", "d")
    assert result.exit_code == 1
    assert "not UTF-8" in result.stderr
    assert not store.files


def test_a_file_that_grows_is_stored_as_it_was(here: Path) -> None:
    """The store was told the length."""
    path = here / "log"
    path.write_bytes(b"first")
    with path.open("rb") as file:
        source = Source("log", file)
        path.write_bytes(b"first and more")
        assert b"".join(source.pieces(lambda _: None)) == b"first"


def test_a_file_that_shrinks_is_a_failure(here: Path) -> None:
    """What was promised cannot be sent."""
    path = here / "log"
    path.write_bytes(b"first")
    with path.open("rb") as file:
        source = Source("log", file)
        path.write_bytes(b"f")
        with pytest.raises(CommandError, match="became shorter"):
            list(source.pieces(lambda _: None))
