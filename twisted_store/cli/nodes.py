"""`twisted-store nodes`, and how commands show and find a node."""

from collections.abc import Iterable, Iterator

import click

from twisted_store.cli.answers import Node
from twisted_store.cli.client import StoreClient
from twisted_store.cli.options import json_option, quiet_option, say, url_option
from twisted_store.cli.tables import table
from twisted_store.core.sizes import format_size

_COLUMNS = ("node", "url", "zone", "used", "capacity", "fill", "state")


@click.command()
@url_option
@json_option
@quiet_option
def nodes(url: str, as_json: bool, quiet: bool) -> None:
    """Show the nodes, how full they are, and their state."""
    with StoreClient(url) as client:
        found = client.cluster()["nodes"]
    say(node_table(found), {"nodes": found}, as_json=as_json, quiet=quiet)


def node_table(nodes: Iterable[Node]) -> str:
    """A line for each node."""
    return table(_COLUMNS, map(_row, nodes))


def called(node: Node) -> str:
    """The id of a node, and where it is."""
    return f"{node['node_id']} ({node['url']})"


def find_node(nodes: Iterable[Node], words: str) -> Node:
    """
    The node that is meant by its id, the beginning of that, or its URL.

    Raises `click.UsageError`, with the nodes to choose from, unless it is exactly one.
    """
    choices = list(nodes)
    found = list(_meant(choices, words.strip()))
    if len(found) == 1:
        return found[0]
    problem = f"{words!r} means several nodes." if found else f"No node is called {words!r}."
    candidates = "".join(f"\n  {called(node)}" for node in found or choices) or " none"
    raise click.UsageError(
        f"{problem} Say the id of a node, the beginning of it, or its URL. There are:{candidates}"
    )


def _meant(nodes: list[Node], words: str) -> Iterator[Node]:
    for node in nodes:
        same_url = node["url"].rstrip("/") == words.rstrip("/")
        if words and (node["node_id"].startswith(words) or same_url):
            yield node


def _row(node: Node) -> tuple[str, ...]:
    return (
        node["node_id"],
        node["url"],
        node["zone"],
        format_size(node["used_bytes"]),
        format_size(node["capacity_bytes"]),
        f"{node['fill']:.1%}",
        ", ".join(_state(node)),
    )


def _state(node: Node) -> Iterator[str]:
    reason = f" ({node['reason']})" if node["reason"] else ""
    yield f"{node['membership']}{reason}"
    if node["draining"]:
        yield "draining"
    if count := node["quarantined_chunks"]:
        yield "1 chunk in quarantine" if count == 1 else f"{count} chunks in quarantine"
