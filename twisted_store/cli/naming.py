"""Which local file belongs to which name in the store, in both directions."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from twisted_store.cli.exits import CommandError

STDIO = "-"
"""Stands for standard input as a source and for standard output as a target."""


@dataclass(frozen=True, slots=True)
class Upload:
    """A local file, or `STDIO`, and the name that it gets."""

    source: str
    name: str


def plan_uploads(arguments: Sequence[str], *, recursive: bool) -> Iterator[Upload]:
    """
    The uploads that ``SOURCE… [NAME]`` asks for, by the rules of ``cp``.

    A NAME that ends in a slash is a folder, and sources keep their own names in it; several sources
    ask for one. Without NAME a source keeps its own name.
    """
    *sources, name = arguments if len(arguments) > 1 else [*arguments, ""]
    if len(sources) > 1 and not name.endswith("/"):
        raise click.UsageError(
            f"The last of several arguments is the NAME; for {len(sources)} sources"
            f" it has to be a folder, with a slash at its end: {name}/"
        )
    for source in sources:
        yield from _uploads_of(source, _name_for(source, name), recursive=recursive)


def folder_of(name: str) -> str:
    """The prefix that the names under a folder have; all names have the prefix of ``""``."""
    return name if not name or name.endswith("/") else f"{name}/"


def plan_target(name: str, target: str | None) -> Path:
    """Where ``get NAME [TARGET]`` puts a file; by its own name here, or in the directory TARGET."""
    if target is not None and not os.path.isdir(target):
        return Path(target)
    own = name.rpartition("/")[2]
    if not _is_plain(own):
        raise click.UsageError(f"{name!r} cannot be the name of a local file: say TARGET.")
    return Path(target or ".") / own


def path_inside(root: Path, relative_name: str) -> Path:
    """
    Where below ``root`` a name goes whose slashes are read as directories.

    Raises `CommandError` for a name that would leave ``root``, over ``..`` or a link, or that no
    path can spell.
    """
    parts = relative_name.split("/")
    path = root.joinpath(*parts) if all(map(_is_plain, parts)) else None
    if path is None or not path.parent.resolve().is_relative_to(root.resolve()):
        raise CommandError(
            f"{relative_name!r} has no place in {root}: get it by itself, with TARGET."
        )
    return path


def _uploads_of(source: str, name: str, *, recursive: bool) -> Iterator[Upload]:
    if source == STDIO or not os.path.isdir(source):
        yield Upload(source, name)
    elif not recursive:
        raise click.UsageError(f"{source} is a directory: use --recursive.")
    else:
        for path in _files_below(Path(source)):
            yield Upload(str(path), folder_of(name) + path.relative_to(source).as_posix())


def _name_for(source: str, name: str) -> str:
    if name and not name.endswith("/"):
        return name
    if source == STDIO:
        raise click.UsageError("Standard input has no name: say NAME.")
    # A directory may be given as `.`, which says its name only when resolved.
    path = Path(source).resolve() if os.path.isdir(source) else Path(source)
    return name + path.name


def _files_below(directory: Path) -> Iterator[Path]:
    """All but directories, devices and the like; links to directories are not followed."""
    for folder, subfolders, names in os.walk(directory):
        subfolders.sort()
        for name in sorted(names):
            path = Path(folder, name)
            if path.is_file() or path.is_symlink():
                yield path


def _is_plain(part: str) -> bool:
    """Whether one component of a path can be called so, and stays where it is."""
    return part not in ("", ".", "..") and Path(part).name == part and "\0" not in part
