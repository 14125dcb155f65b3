"""What there is to say of the jobs that move chunks by themselves."""

from collections.abc import Iterator, Mapping

from twisted_store.cli.answers import Amount, Cluster, Job, JobName, ThrottledJob
from twisted_store.cli.durations import format_seconds
from twisted_store.cli.options import shown
from twisted_store.core.sizes import format_size

_CAUSES = {
    "lost": "with chunks on lost nodes",
    "hole": "with missing chunks",
    "drain": "with chunks on draining nodes",
    "upgrade": "with less parity than is wanted now",
    "rebalance": "to spread evenly",
}


def throttled_job(cluster: Cluster, name: JobName) -> ThrottledJob:
    """One job of the cluster, and the throttle that it shares with the other."""
    return {**cluster["jobs"][name], "rate_bytes_max": cluster["rate_bytes_max"]}


def count_files(count: int) -> str:
    """So many files, in words."""
    return "1 file" if count == 1 else f"{count} files"


def amounts(by_cause: Mapping[str, Amount]) -> str:
    """How many files and bytes there are of each cause."""
    return "; ".join(
        f"{count_files(amount['objects'])} ({format_size(amount['bytes'])})"
        f" {_CAUSES.get(cause, cause)}"
        for cause, amount in by_cause.items()
    )


def is_quiet(job: Job) -> bool:
    """Whether the job has nothing to do and nothing to tell."""
    return job["state"] == "idle" and not (job["queued"] or job["blocked"] or job["failed_objects"])


def job_lines(name: JobName, job: ThrottledJob) -> Iterator[str]:
    """What a job does now, and what keeps it from doing more."""
    yield f"{name}: {', '.join(_now(job))}"
    if job["blocked"]:
        yield f"  blocked until more nodes are up: {amounts(job['blocked'])}"
    yield from (f"  {line}" for line in failures(job))


def full_job_lines(name: JobName, job: ThrottledJob) -> Iterator[str]:
    """The same, and what it has done, and what it may do."""
    yield from job_lines(name, job)
    yield f"  moved since the api started: {amounts(job['moved']) or 'nothing'}"
    throttle = job["rate_bytes_max"]
    yield f"  throttle of all moves: {'none' if throttle is None else _rate(throttle)}"


def failures(job: Job) -> Iterator[str]:
    """A line for each file that could not be moved, as far as the api names them."""
    for failed in job["failed"]:
        again = format_seconds(failed["retry_seconds"])
        yield f"failed: {shown(failed['name'])}: {failed['reason']} (tried again in {again})"
    unnamed = job["failed_objects"] - len(job["failed"])
    if unnamed > 0:
        yield f"failed: {count_files(unnamed)} more"


def _now(job: ThrottledJob) -> Iterator[str]:
    yield job["state"] + (f" ({job['reason']})" if job["reason"] else "")
    if job["queued"]:
        yield amounts(job["queued"])
    if job["queued"] or job["rate_bytes"]:
        throttle = job["rate_bytes_max"]
        allowed = "" if throttle is None else f" of {_rate(throttle)} allowed"
        yield f"{_rate(job['rate_bytes'])}{allowed}"
    if job["bytes_left"]:
        eta = job["eta_seconds"]
        time = "" if eta is None else f" and {format_seconds(eta)}"
        yield f"{format_size(job['bytes_left'])}{time} left"


def _rate(bytes_per_second: float) -> str:
    return f"{format_size(int(bytes_per_second))}/s"
