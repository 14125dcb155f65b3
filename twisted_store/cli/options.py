"""Options that several commands share, and what they do to the output."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click

from twisted_store.cli.command_lines import API_PORT

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
    label = shown(label)
    bar = click.progressbar(
        length=length or 0,
        label=label
        if len(label) <= LABEL_CHARACTERS_MAX
        else f"…{label[1 - LABEL_CHARACTERS_MAX :]}",
        hidden=quiet or length is None or not sys.stderr.isatty(),
        file=sys.stderr,
        update_min_steps=max((length or 0) // 200, 1),
    )
    with bar:
        yield bar.update
