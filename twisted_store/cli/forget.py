"""`twisted-store forget`."""

import click

from twisted_store.cli.client import StoreClient
from twisted_store.cli.nodes import called, find_node
from twisted_store.cli.options import json_option, quiet_option, say, url_option


@click.command()
@click.argument("node", metavar="NODE")
@click.option(
    "--gone",
    is_flag=True,
    help="It will not come back: do not wait until it counts as lost. Refused only if files could "
    "not be read without it.",
)
@url_option
@json_option
@quiet_option
def forget(node: str, gone: bool, url: str, as_json: bool, quiet: bool) -> None:
    """
    Take a node off the list, for good.

    NODE is the id of a node, the beginning of it, or the URL of the node. Exit status 5 while it
    still runs or a file needs it: see drain.
    """
    with StoreClient(url) as client:
        found = find_node(client.cluster()["nodes"], node)
        client.forget(found["node_id"], gone=gone)
    say(f"Node {called(found)} is forgotten.", found, as_json=as_json, quiet=quiet)
