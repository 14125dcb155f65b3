"""`twisted-store rm`."""

from collections.abc import Iterator

import click

from twisted_store.cli.client import StoreClient
from twisted_store.cli.exits import do_each
from twisted_store.cli.naming import folder_of
from twisted_store.cli.options import json_option, quiet_option, say, shown, url_option


@click.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option("--recursive", "-r", is_flag=True, help="Remove all files under the folders NAME.")
@url_option
@json_option
@quiet_option
def rm(names: tuple[str, ...], recursive: bool, url: str, as_json: bool, quiet: bool) -> None:
    """Remove files from the store."""
    if recursive and not all(names):
        raise click.UsageError("An empty NAME would remove everything.")

    def remove(name: str) -> None:
        client.delete(name)
        say(f"{shown(name)}  removed", {"name": name}, as_json=as_json, quiet=quiet)

    with StoreClient(url) as client:
        do_each(_below(client, names) if recursive else names, remove)


def _below(client: StoreClient, folders: tuple[str, ...]) -> Iterator[str]:
    for folder in folders:
        yield from client.names_under(folder_of(folder))
