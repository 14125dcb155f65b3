"""`twisted-store rebalance`."""

import click

from twisted_store.cli.answers import JobChanges
from twisted_store.cli.job_control import (
    control,
    pause_option,
    pausing,
    rate_option,
    watch_option,
)
from twisted_store.cli.options import json_option, quiet_option, url_option


@click.command()
@click.option("--start", is_flag=True, help="Begin now, however evenly the nodes are filled.")
@pause_option
@rate_option
@watch_option
@url_option
@json_option
@quiet_option
def rebalance(
    start: bool,
    paused: bool | None,
    throttle: JobChanges,
    watching: bool,
    url: str,
    as_json: bool,
    quiet: bool,
) -> None:
    """
    Show how chunks are moved from full nodes to empty ones.

    The store begins by itself when the nodes are filled unevenly enough. With --watch the exit
    status is 0 when all is moved, and 5 when the job is paused or halted or cannot go on.
    """
    if start and paused:
        raise click.UsageError("--start and --pause contradict each other.")
    changes: JobChanges = {**throttle, **pausing(paused)}
    if start:
        changes["start"] = True
    control("rebalance", changes, watching=watching, url=url, as_json=as_json, quiet=quiet)
