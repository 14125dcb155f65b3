"""`twisted-store drain`."""

import click

from twisted_store.cli.client import StoreClient
from twisted_store.cli.job_control import watch_option
from twisted_store.cli.nodes import called, find_node
from twisted_store.cli.options import json_option, quiet_option, say, url_option
from twisted_store.cli.watching import watch


@click.command()
@click.argument("node", metavar="NODE")
@click.option("--undo", is_flag=True, help="Let the node take chunks again.")
@watch_option
@url_option
@json_option
@quiet_option
def drain(node: str, undo: bool, watching: bool, url: str, as_json: bool, quiet: bool) -> None:
    """
    Move all chunks away from a node that is to leave.

    NODE is the id of a node, the beginning of it, or the URL of the node. Keep it running
    meanwhile: it is read as before. With --watch the exit status is 0 when nothing is left to move,
    and 5 when what is left cannot be moved now.
    """
    if undo and watching:
        raise click.UsageError("With --undo there is nothing to watch.")
    with StoreClient(url) as client:
        found = find_node(client.cluster()["nodes"], node)
        drained = client.drain(found["node_id"], draining=not undo)
        forget = f"twisted-store forget {found['node_id']}"
        text = (
            f"Node {called(found)} takes new chunks again."
            if undo
            else f"Node {called(found)} is drained:"
            f" its chunks are moved to other nodes; then: {forget}"
        )
        say(text, drained, as_json=as_json, quiet=quiet)
        if watching:
            job = watch(client, "repair", "drain", quiet=quiet)
            say(f"Its chunks are moved. Now: {forget}", job, as_json=as_json, quiet=quiet)
