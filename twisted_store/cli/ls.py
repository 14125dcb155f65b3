"""`twisted-store ls`."""

from collections.abc import Iterator
from typing import Any

import click

from twisted_store.cli.answers import File, Page
from twisted_store.cli.client import StoreClient
from twisted_store.cli.options import json_option, say, shown, url_option


@click.command()
@click.argument("prefix", default="")
@click.option("--recursive", "-r", is_flag=True, help="List the files in folders, not the folders.")
@url_option
@json_option
def ls(prefix: str, recursive: bool, url: str, as_json: bool) -> None:
    """List the names that begin with PREFIX: bytes, time, name. Folders end in a slash."""
    with StoreClient(url) as client:
        for page in client.pages(prefix, "" if recursive else "/"):
            for line, result in _lines(page):
                say(line, result, as_json=as_json)


def _lines(page: Page) -> Iterator[tuple[str, dict[str, Any] | File]]:
    """Files and folders in one order, that of the bytes of their names."""
    files = {file["name"]: file for file in page["files"]}
    for name in sorted([*files, *page["prefixes"]], key=str.encode):
        if name in files:
            file = files[name]
            yield f"{file['size']:>14}  {file['modified'][:19]}  {shown(name)}", file
        else:
            yield f"{'':37}{shown(name)}", {"prefix": name}
