"""`twisted-store safe-to-stop`."""

import click

from twisted_store.cli.client import StoreClient
from twisted_store.cli.exits import ExitStatus
from twisted_store.cli.nodes import called, find_node
from twisted_store.cli.options import json_option, quiet_option, say, url_option


@click.command("safe-to-stop")
@click.argument("node", metavar="NODE")
@url_option
@json_option
@quiet_option
@click.pass_context
def safe_to_stop(context: click.Context, node: str, url: str, as_json: bool, quiet: bool) -> None:
    """
    Tell whether a node can be stopped for a while.

    For an update, say, or a restart. NODE is the id of a node, the beginning of it, or the URL of
    the node. Exit status 5 when it cannot.
    """
    with StoreClient(url) as client:
        found = find_node(client.cluster()["nodes"], node)
        answer = client.safe_to_stop(found["node_id"])
    verdict = "can be stopped" if answer["safe"] else "CANNOT be stopped safely"
    lines = [
        f"Node {called(found)} {verdict}.",
        *(f"  {reason['code']}: {reason['message']}" for reason in answer["reasons"]),
    ]
    say("\n".join(lines), answer, as_json=as_json, quiet=quiet)
    context.exit(ExitStatus.OK if answer["safe"] else ExitStatus.UNAVAILABLE)
