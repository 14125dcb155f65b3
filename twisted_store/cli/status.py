"""`twisted-store status`."""

from collections.abc import Iterator

import click

from twisted_store.cli.answers import Cluster, JobName, Readiness
from twisted_store.cli.client import StoreClient
from twisted_store.cli.exits import ExitStatus
from twisted_store.cli.jobs import count_files, is_quiet, job_lines, throttled_job
from twisted_store.cli.nodes import node_table
from twisted_store.cli.options import json_option, quiet_option, say, url_option
from twisted_store.core.sizes import format_size


@click.command()
@url_option
@json_option
@quiet_option
@click.pass_context
def status(context: click.Context, url: str, as_json: bool, quiet: bool) -> None:
    """
    Show the nodes, the jobs under way, and whether the store can take files.

    Exit status 5 when it cannot.
    """
    with StoreClient(url) as client:
        cluster, readiness = client.cluster(), client.readiness()
    result = {**cluster, **readiness}
    say(_description(cluster, readiness), result, as_json=as_json, quiet=quiet)
    context.exit(ExitStatus.OK if readiness["ready"] else ExitStatus.UNAVAILABLE)


def _description(cluster: Cluster, readiness: Readiness) -> str:
    spread = cluster["spread"]
    lines = [
        f"cluster {cluster['cluster_id']}, scheme {cluster['scheme']}"
        f" (now {cluster['target']}),"
        f" durability {cluster['durability']}, version {cluster['version']}",
        f"{cluster['objects']} files, {format_size(cluster['bytes'])};"
        f" room for {format_size(cluster['usable_bytes'])} in all",
        *_losses(cluster["objects_by_losses_survived"]),
        "spread: unknown" if spread is None else f"spread: {spread:.2%}",
        "ready" if readiness["ready"] else "NOT READY",
        *(f"  {reason['code']}: {reason['message']}" for reason in readiness["reasons"]),
        *_jobs(cluster),
        node_table(cluster["nodes"]),
    ]
    return "\n".join(lines)


def _losses(objects: dict[str, int]) -> Iterator[str]:
    """How many files survive what, the most endangered first."""
    for losses, count in sorted(objects.items(), key=lambda item: int(item[0])):
        survive = "survives" if count == 1 else "survive"
        what = {
            "-1": "CANNOT BE READ",
            "0": f"{survive} no loss",
            "1": f"{survive} any 1 node",
        }.get(losses, f"{survive} any {losses} nodes")
        yield f"  {count_files(count)} {what}"


def _jobs(cluster: Cluster) -> Iterator[str]:
    """What is under way, and what should be."""
    names: tuple[JobName, ...] = ("repair", "rebalance")
    for name in names:
        if not is_quiet(cluster["jobs"][name]):
            yield from job_lines(name, throttled_job(cluster, name))
