"""Local files and names in the store, in both directions."""

import os
from pathlib import Path

import click
import pytest

from twisted_store.cli.exits import CommandError
from twisted_store.cli.naming import Upload, path_inside, plan_target, plan_uploads


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current directory with two files and a folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.txt").write_text("a")
    (tmp_path / "b.txt").write_text("b")
    (tmp_path / "photos" / "2026").mkdir(parents=True)
    (tmp_path / "photos" / "2026" / "x.jpg").write_text("x")
    (tmp_path / "photos" / "y.jpg").write_text("y")
    return tmp_path


def names(*arguments: str, recursive: bool = False) -> list[str]:
    """The names that the arguments lead to."""
    return [upload.name for upload in plan_uploads(arguments, recursive=recursive)]


def test_one_source_keeps_its_name_or_gets_another(here: Path) -> None:
    """A slash at the end of the name makes it a folder."""
    assert names("a.txt") == ["a.txt"]
    assert names(str(here / "a.txt")) == ["a.txt"]
    assert names("a.txt", "other") == ["other"]
    assert names("a.txt", "docs/") == ["docs/a.txt"]


@pytest.mark.usefixtures("here")
def test_several_sources_need_a_folder() -> None:
    """Else the last of them would be taken for the name of the others."""
    assert names("a.txt", "b.txt", "docs/") == ["docs/a.txt", "docs/b.txt"]
    with pytest.raises(click.UsageError, match="folder"):
        names("a.txt", "b.txt", "c.txt")


@pytest.mark.usefixtures("here")
def test_a_directory_needs_recursive_and_keeps_its_layout() -> None:
    """Like with cp, its own name comes first unless another is given."""
    with pytest.raises(click.UsageError, match="--recursive"):
        names("photos")
    assert names("photos", recursive=True) == ["photos/y.jpg", "photos/2026/x.jpg"]
    assert names("photos/", "p", recursive=True) == ["p/y.jpg", "p/2026/x.jpg"]
    assert names("photos", "p/", recursive=True) == ["p/photos/y.jpg", "p/photos/2026/x.jpg"]


def test_the_current_directory_has_a_name(here: Path) -> None:
    """A dot is not one."""
    assert f"{here.name}/a.txt" in names(".", recursive=True)


@pytest.mark.usefixtures("here")
def test_pipes_are_left_out_of_a_directory() -> None:
    """Opening one would wait for ever."""
    os.mkfifo("photos/pipe")
    assert "photos/pipe" not in names("photos", recursive=True)


def test_standard_input_needs_a_name() -> None:
    """There is none to keep."""
    assert list(plan_uploads(["-", "n"], recursive=False)) == [Upload("-", "n")]
    for arguments in (["-"], ["-", "folder/"]):
        with pytest.raises(click.UsageError, match="NAME"):
            names(*arguments)


def test_a_target_is_a_file_or_a_directory(here: Path) -> None:
    """Without one the file gets the last part of its name, here."""
    assert plan_target("docs/c.txt", None) == Path("c.txt")
    assert plan_target("docs/c.txt", "other") == Path("other")
    assert plan_target("docs/c.txt", str(here)) == here / "c.txt"


@pytest.mark.parametrize("name", ["..", "a/..", "a/.", "a/", "a/\0b"])
def test_a_name_that_is_no_file_name_needs_a_target(name: str) -> None:
    """It is never put where the dots lead."""
    with pytest.raises(click.UsageError, match="TARGET"):
        plan_target(name, None)
    assert plan_target(name, "target") == Path("target")


def test_a_name_becomes_a_path_below_the_root(tmp_path: Path) -> None:
    """Slashes are directories."""
    assert path_inside(tmp_path, "a/b/c.txt") == tmp_path / "a" / "b" / "c.txt"
    assert path_inside(tmp_path, "...") == tmp_path / "..."


@pytest.mark.parametrize(
    "name",
    ["../x", "a/../../x", "a/../x", "/etc/passwd", "a//b", "a/", "", ".", "..", "a/./b", "a\0"],
)
def test_no_name_escapes_the_root(tmp_path: Path, name: str) -> None:
    """Nor is one bent so that it fits."""
    with pytest.raises(CommandError, match="has no place"):
        path_inside(tmp_path, name)


def test_no_name_escapes_over_a_link(tmp_path: Path) -> None:
    """A link in the target may lead anywhere."""
    root = tmp_path / "root"
    root.mkdir()
    (root / "link").symlink_to(tmp_path)
    with pytest.raises(CommandError, match="has no place"):
        path_inside(root, "link/x")
    (root / "loop").symlink_to(root)
    assert path_inside(root, "loop/x") == root / "loop" / "x"
