"""A job looked at again and again until it has nothing to do any more."""

import time
from collections.abc import Callable, Mapping

import httpx

from twisted_store.cli.answers import Amount, Job, JobName, ThrottledJob
from twisted_store.cli.client import StoreClient
from twisted_store.cli.exits import StoreUnavailableError
from twisted_store.cli.jobs import amounts, failures, throttled_job
from twisted_store.cli.options import growing_progress

LOOK_SECONDS = 0.5
LOOK_TIMEOUT = httpx.Timeout(30.0, connect=10.0)


def watch(
    client: StoreClient,
    name: JobName,
    cause: str | None = None,
    *,
    quiet: bool,
    wait: Callable[[float], None] = time.sleep,
) -> ThrottledJob:
    """
    Show how a job goes on, and return it when none of its work is queued any more.

    With ``cause`` only work of that cause counts. Raises `StoreUnavailableError` when the job is
    halted or paused, or when what is left cannot be done now.
    """
    job = _look(client, name)
    with growing_progress(name, quiet=quiet) as show:
        show(0, _bytes(job["queued"], cause))
        while _goes_on(name, job, cause):
            wait(LOOK_SECONDS)
            before, job = job, _look(client, name)
            # An api that starts again counts from zero.
            moved_bytes = _bytes(job["moved"], cause) - _bytes(before["moved"], cause)
            show(max(moved_bytes, 0), _bytes(job["queued"], cause))
    return job


def _look(client: StoreClient, name: JobName) -> ThrottledJob:
    return throttled_job(client.cluster(LOOK_TIMEOUT), name)


def _goes_on(name: JobName, job: Job, cause: str | None) -> bool:
    """Whether there is work that is being done; raises if there is some that is not."""
    if job["state"] == "halted":
        raise StoreUnavailableError(f"The {name} is halted: {job['reason']}")
    if job["state"] == "paused":
        raise StoreUnavailableError(
            f"The {name} is paused: `twisted-store {name} --resume` lets it go on."
        )
    if _of(job["queued"], cause):
        return True
    if job["state"] == "running" and not job["queued"]:
        return True  # It looks for work, or ends what it took last.
    if blocked := _of(job["blocked"], cause):
        raise StoreUnavailableError(
            f"What is left of the {name} needs more nodes than are up: {amounts(blocked)}."
            " Start nodes."
        )
    if job["failed_objects"]:
        raise StoreUnavailableError("\n".join([f"The {name} is not complete.", *failures(job)]))
    return False


def _of(by_cause: Mapping[str, Amount], cause: str | None) -> dict[str, Amount]:
    return {key: amount for key, amount in by_cause.items() if cause in (None, key)}


def _bytes(by_cause: Mapping[str, Amount], cause: str | None) -> int:
    return sum(amount["bytes"] for amount in _of(by_cause, cause).values())
