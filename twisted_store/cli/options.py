"""Options that several commands share, and what they do to the output."""

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click

from twisted_store.cli.command_lines import API_PORT
from twisted_store.core.sizes import format_size

LABEL_CHARACTERS_MAX = 40

url_option = click.option(
    "--url",
    default=f"http://127.0.0.1:{API_PORT}",
    envvar="TWISTED_STORE_URL",
    show_default=True,
    show_envvar=True,
    help="Where the store is.",
)
json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print results as JSON, one object a line."
)
quiet_option = click.option("--quiet", "-q", is_flag=True, help="Print errors only.")


def say(line: str, result: Any, *, as_json: bool, quiet: bool = False) -> None:
    """Print a result as text or as JSON, unless nothing but errors is to be printed."""
    if as_json:
        click.echo(json.dumps(result, ensure_ascii=False))
    elif not quiet:
        click.echo(line)


def shown(name: str) -> str:
    """A name as it may stand in a line for people: quoted if it would play tricks on a terminal."""
    return name if name.isprintable() else ascii(name)


@contextmanager
def progress(label: str, length: int | None, *, quiet: bool) -> Iterator[Callable[[int], None]]:
    """Yield a function that takes the steps done; on a terminal they are shown, on stderr."""
    bar = click.progressbar(
        length=length or 0,
        label=_short(shown(label)),
        hidden=_hidden(quiet=quiet or length is None),
        file=sys.stderr,
        update_min_steps=max((length or 0) // 200, 1),
    )
    with bar:
        yield bar.update


@contextmanager
def growing_progress(label: str, *, quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """The same for what may grow: the function takes the steps done, and those that are left."""
    bar = click.progressbar(
        length=1, label=label, hidden=_hidden(quiet=quiet), file=sys.stderr, update_min_steps=0
    )

    def show(done: int, left: int) -> None:
        bar.length = max(bar.pos + done + left, 1)
        bar.finished = False
        bar.update(done)

    with bar:
        yield show


@contextmanager
def reading_progress(label: str, *, quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """The same for bytes that are read: takes those so far, and all; the rate is shown, too."""
    began_seconds = time.monotonic()
    bar = click.progressbar(
        length=1,
        label=label,
        hidden=_hidden(quiet=quiet),
        file=sys.stderr,
        item_show_func=lambda rate: rate,
    )

    def show(done_bytes: int, all_bytes: int) -> None:
        bar.length = max(all_bytes, 1)
        seconds = max(time.monotonic() - began_seconds, 0.001)
        bar.update(done_bytes - bar.pos, f"{format_size(int(done_bytes / seconds))}/s")

    with bar:
        yield show


def _short(label: str) -> str:
    """The end of a label that is too long."""
    fits = len(label) <= LABEL_CHARACTERS_MAX
    return label if fits else f"…{label[1 - LABEL_CHARACTERS_MAX :]}"


def _hidden(*, quiet: bool) -> bool:
    """Whether no bar is to be drawn."""
    return quiet or not sys.stderr.isatty()
