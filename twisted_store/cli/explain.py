"""`twisted-store explain`."""

from collections.abc import Iterator

import click

from twisted_store.cli.answers import Chunk, DryRun, Explanation, Redundancy
from twisted_store.cli.client import StoreClient
from twisted_store.cli.options import json_option, say, url_option
from twisted_store.cli.tables import table
from twisted_store.core.sizes import format_size, parse_size


def _size(_context: click.Context, _parameter: click.Parameter, text: str | None) -> int | None:
    try:
        return None if text is None else parse_size(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


@click.command()
@click.argument("name", required=False)
@click.option(
    "--size",
    "size_bytes",
    callback=_size,
    metavar="SIZE",
    help="Show where a file of this size (1GiB) would go now, without storing anything.",
)
@click.option("--scheme", help="With --size: the scheme to try, instead of the one of NAME.")
@url_option
@json_option
def explain(
    name: str | None, size_bytes: int | None, scheme: str | None, url: str, as_json: bool
) -> None:
    """Show where the chunks of a file are, why they are there, and what losses it survives."""
    if name is None and size_bytes is None:
        raise click.UsageError("Give the NAME of a file, or a --size to try.")
    if scheme is not None and size_bytes is None:
        raise click.UsageError("A --scheme is tried with a --size.")
    with StoreClient(url) as client:
        if size_bytes is not None:
            tried = client.explain_size(size_bytes, name, scheme)
            say("\n".join(_tried(tried)), tried, as_json=as_json)
        elif name is not None:
            where = client.explain(name)
            say("\n".join(_explained(where)), where, as_json=as_json)


def redundancy(about: Redundancy) -> str:
    """In a line: the scheme, what is there of it, and what that survives."""
    survived = about["losses_survived"]
    losses = {-1: "CANNOT BE READ", 0: "survives no loss", 1: "survives any 1 node"}
    present = f"{about['chunks_present']} of {about['chunks_wanted']} chunks"
    what = losses.get(survived, f"survives any {survived} nodes")
    return f"{about['scheme']}: {present}, {what}"


def chunk_table(chunks: list[Chunk]) -> str:
    """A line for each chunk, holes included."""
    return table(("chunk", "kind", "bytes", "node", "url", "state", "why"), map(_row, chunks))


def _row(chunk: Chunk) -> tuple[str, ...]:
    first = (str(chunk["index"]), chunk["kind"], str(chunk["bytes"]))
    if chunk["hole"]:
        return (*first, "(hole)", "", "", "")
    return (*first, chunk["node_id"], chunk["url"], chunk["membership"], chunk["reason"])


def _explained(where: Explanation) -> Iterator[str]:
    yield redundancy(where)
    if where["chunks_reachable"] < where["chunks_present"]:
        yield (
            f"now: {where['chunks_reachable']} chunks on nodes that are up, "
            f"losses survived: {where['losses_survived_now']}"
        )
    if where["note"]:
        yield where["note"]
    yield chunk_table(where["chunks"])
    if where["skipped"]:
        skipped = [
            (each["node_id"], f"{each['fill']:.2%}", each["reason"]) for each in where["skipped"]
        ]
        yield table(("not on", "fill then", "why"), skipped)
    yield from where["changes"]


def _tried(tried: DryRun) -> Iterator[str]:
    yield f"{format_size(tried['size'])} would be stored as {redundancy(tried)}"
    if tried["note"]:
        yield tried["note"]
    rows = [
        (
            node["node_id"],
            node["zone"],
            ", ".join(map(str, node["chunks"])) or "-",
            f"{node['fill_before']:.2%}",
            f"{node['fill_after']:.2%}",
            node["reason"],
        )
        for node in tried["nodes"]
    ]
    yield table(("node", "zone", "chunks", "fill", "after", "why"), rows)
