"""`twisted-store stat`."""

from email.utils import parsedate_to_datetime
from typing import Any

import click
import httpx

from twisted_store.cli.answers import Explanation
from twisted_store.cli.bodies import announced_bytes, announced_etag
from twisted_store.cli.client import StoreClient, files_path
from twisted_store.cli.explain import chunk_table, redundancy
from twisted_store.cli.options import json_option, say, shown, url_option


@click.command()
@click.argument("name")
@url_option
@json_option
def stat(name: str, url: str, as_json: bool) -> None:
    """Show what is known of a file, and where its chunks are."""
    with StoreClient(url) as client:
        facts = _facts(name, client.call("HEAD", files_path(name)))
        where = client.explain(name)
    say(_description(facts, where), facts | {"explain": where}, as_json=as_json)


def _facts(name: str, answer: httpx.Response) -> dict[str, Any]:
    modified = parsedate_to_datetime(answer.headers["Last-Modified"])
    return {
        "name": name,
        "size": announced_bytes(answer),
        "etag": announced_etag(answer),
        "content_type": answer.headers.get("Content-Type"),
        "modified": f"{modified:%Y-%m-%dT%H:%M:%SZ}",
    } | {key: value for key, value in answer.headers.items() if key.startswith("x-meta-")}


def _description(facts: dict[str, Any], where: Explanation) -> str:
    lines = {**facts, "redundancy": redundancy(where), "object_id": where["object_id"]}
    described = [f"{key:13} {shown(str(value))}" for key, value in lines.items()]
    return "\n".join([*described, chunk_table(where["chunks"])])
