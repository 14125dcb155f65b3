"""What repair and rebalancing do, as values for JSON."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from twisted_store.cluster.jobs import Job, Jobs
from twisted_store.cluster.setbacks import Setbacks
from twisted_store.cluster.worklist import Worklist
from twisted_store.core.moves import Amount, Cause, Plan

Json = dict[str, Any]

FAILED_SHOWN_MAX = 10
"""So many objects that could not be moved are named."""


def job_view(
    job: Job,
    jobs: Jobs,
    worklist: Worklist,
    setbacks: Setbacks,
    moving: Sequence[Plan],
    doubt: str,
) -> Json:
    """The state of a job, what it has to do and what it did; bytes are those of chunks."""
    queued = queued_amounts(job, worklist, moving)
    blocked = worklist.backlog.waiting if job is Job.REPAIR else {}
    left_bytes = sum(amount.size_bytes for amount in queued.values())
    rate_bytes = jobs.rates[job].bytes_per_second
    busy = any(plan.cause in job.causes for plan in moving)
    state, reason = _state(jobs.is_paused(job), doubt, bool(queued) or busy, bool(blocked))
    failed = setbacks.of(job.causes)
    return {
        "state": state,
        "reason": reason,
        "queued": _amounts_view(queued),
        "blocked": _amounts_view(blocked),
        "moved": _amounts_view({cause: jobs.moved[cause] for cause in job.causes}),
        "failed": [
            {"name": each.name, "reason": each.reason, "retry_seconds": each.retry_seconds}
            for each in failed[:FAILED_SHOWN_MAX]
        ],
        "failed_objects": len(failed),
        "bytes_left": left_bytes,
        "rate_bytes": rate_bytes,
        "eta_seconds": left_bytes / rate_bytes if rate_bytes > 0 else None,
    }


def queued_amounts(job: Job, worklist: Worklist, moving: Iterable[Plan]) -> Mapping[Cause, Amount]:
    """What can be done now, by cause; of rebalancing the objects are not known beforehand."""
    if job is Job.REPAIR:
        return worklist.backlog.queued
    if worklist.balance is None or not worklist.balance.left_bytes:
        return {}
    objects = sum(plan.cause is Cause.REBALANCE for plan in moving)
    return {Cause.REBALANCE: Amount(objects, worklist.balance.left_bytes)}


def _state(paused: bool, doubt: str, busy: bool, blocked: bool) -> tuple[str, str]:
    if paused:
        return "paused", ""
    if doubt:
        return "halted", f"{doubt[0].upper()}{doubt[1:]}."
    if busy:
        return "running", ""
    if blocked:
        return "waiting", "There is no spare node that could take more chunks."
    return "idle", ""


def _amounts_view(amounts: Mapping[Cause, Amount]) -> Json:
    return {
        cause.value: {"objects": amount.objects, "bytes": amount.size_bytes}
        for cause, amount in amounts.items()
        if amount.objects or amount.size_bytes
    }
