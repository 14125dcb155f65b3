"""`twisted-store repair`."""

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
@pause_option
@rate_option
@watch_option
@url_option
@json_option
@quiet_option
def repair(
    paused: bool | None, throttle: JobChanges, watching: bool, url: str, as_json: bool, quiet: bool
) -> None:
    """
    Show how missing chunks are made anew.

    Those of lost and of draining nodes, too. The store begins by itself. With --watch the exit
    status is 0 when all is repaired, and 5 when the job is paused or halted, or when what is left
    needs more nodes.
    """
    changes: JobChanges = {**throttle, **pausing(paused)}
    control("repair", changes, watching=watching, url=url, as_json=as_json, quiet=quiet)
