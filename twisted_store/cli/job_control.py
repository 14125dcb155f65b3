"""What `twisted-store repair` and `twisted-store rebalance` have in common."""

import click

from twisted_store.cli.answers import JobChanges, JobName
from twisted_store.cli.client import StoreClient
from twisted_store.cli.jobs import full_job_lines, throttled_job
from twisted_store.cli.options import say
from twisted_store.cli.watching import watch
from twisted_store.core.sizes import parse_size

NO_RATE = "none"


def _throttle(_context: click.Context, _parameter: click.Parameter, text: str | None) -> JobChanges:
    """What there is to change when the option has this value; nothing without it."""
    if text is None:
        return {}
    if text == NO_RATE:
        return {"rate_bytes_max": None}
    try:
        rate_bytes = parse_size(text)
    except ValueError as error:
        raise click.BadParameter(f"{error} Or write {NO_RATE}.") from error
    if rate_bytes == 0:
        raise click.BadParameter(f"Nothing moves at 0: say --pause, or {NO_RATE} for no throttle.")
    return {"rate_bytes_max": rate_bytes}


pause_option = click.option(
    "--pause/--resume", "paused", default=None, help="Let the job rest, or go on."
)
rate_option = click.option(
    "--rate",
    "throttle",
    callback=_throttle,
    metavar=f"SIZE|{NO_RATE}",
    help="Let all moves together, of repair and rebalance, take so much a second (50MiB).",
)
watch_option = click.option(
    "--watch", "watching", is_flag=True, help="Show the progress until nothing is queued any more."
)


def pausing(paused: bool | None) -> JobChanges:
    """What there is to change by `pause_option`."""
    return {} if paused is None else {"paused": paused}


def control(
    name: JobName, changes: JobChanges, *, watching: bool, url: str, as_json: bool, quiet: bool
) -> None:
    """Make the changes, if there are any, watch if that is wanted, and show the job."""
    with StoreClient(url) as client:
        if changes:
            job = client.change_job(name, changes)
        if watching:
            job = watch(client, name, quiet=quiet)
        elif not changes:
            job = throttled_job(client.cluster(), name)
    say("\n".join(full_job_lines(name, job)), job, as_json=as_json, quiet=quiet)
