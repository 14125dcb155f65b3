"""The jobs of a `FakeStore`, which get on only when a test lets them."""

from dataclasses import dataclass, field
from typing import Any

MIB = 2**20

IDLE: dict[str, Any] = {
    "state": "idle",
    "reason": "",
    "queued": {},
    "blocked": {},
    "moved": {},
    "failed": [],
    "failed_objects": 0,
    "bytes_left": 0,
    "rate_bytes": 0.0,
    "eta_seconds": None,
}


def amount(objects: int, mebibytes: int) -> dict[str, int]:
    """So many files and bytes."""
    return {"objects": objects, "bytes": mebibytes * MIB}


def running(cause: str, objects: int, mebibytes: int, **changes: Any) -> dict[str, Any]:
    """A job that has so much to do, one file a second."""
    return {
        **IDLE,
        "state": "running",
        "queued": {cause: amount(objects, mebibytes)},
        "bytes_left": mebibytes * MIB,
        "rate_bytes": mebibytes * MIB / objects,
        "eta_seconds": float(objects),
        **changes,
    }


FAILED = {"name": "trip/a\x1bb", "reason": "Node 3 failed", "retry_seconds": 30.0}


@dataclass
class FakeJobs:
    """What the jobs are said to be, and what they were asked for."""

    repair: dict[str, Any] = field(default_factory=lambda: dict(IDLE))
    rebalance: dict[str, Any] = field(default_factory=lambda: dict(IDLE))
    rate_bytes_max: int | None = None
    asked: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def look(self) -> dict[str, Any]:
        """Their part in the answer of the cluster."""
        jobs = {"repair": self.repair, "rebalance": self.rebalance}
        return {"jobs": jobs, "rate_bytes_max": self.rate_bytes_max}

    def change(self, name: str, changes: dict[str, Any]) -> dict[str, Any]:
        """Do what is asked for; returns the job."""
        self.asked.append((name, changes))
        job: dict[str, Any] = getattr(self, name)
        if "paused" in changes:
            job["state"] = "paused" if changes["paused"] else "idle"
        self.rate_bytes_max = changes.get("rate_bytes_max", self.rate_bytes_max)
        return {**job, "rate_bytes_max": self.rate_bytes_max}
