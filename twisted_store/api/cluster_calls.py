"""What is told of the cluster as a whole, and what operators ask of it."""

from dataclasses import dataclass, replace
from typing import Any

from twisted_store import __version__
from twisted_store.api.damage import Damage
from twisted_store.api.explain_view import counted
from twisted_store.api.jobs_view import job_view
from twisted_store.api.safety import objections_to_stop, reasons_to_keep
from twisted_store.api.views import losses_view, node_view, nodes_view, readiness_view
from twisted_store.catalog.catalog import Catalog
from twisted_store.cluster.jobs import Job, Jobs
from twisted_store.cluster.losses import LossWatch
from twisted_store.cluster.marks import MarkDelivery
from twisted_store.cluster.members import Members
from twisted_store.cluster.mover import Mover
from twisted_store.cluster.setbacks import Setbacks
from twisted_store.cluster.worklist import Worklist
from twisted_store.core.durability import Durability
from twisted_store.core.ids import NodeId
from twisted_store.core.scheme import SchemeRules
from twisted_store.errors import (
    BadRequestError,
    CatalogRolledBackError,
    NodeNeededError,
    NotFoundError,
)

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ClusterCalls:
    """Answers are values for JSON."""

    catalog: Catalog
    members: Members
    losses: LossWatch
    worklist: Worklist
    mover: Mover
    jobs: Jobs
    setbacks: Setbacks
    marks: MarkDelivery
    damage: Damage
    durability: Durability
    rules: SchemeRules

    async def cluster(self) -> Json:
        """All there is to know of the cluster."""
        totals = self.catalog.totals
        about = {
            "cluster_id": self.catalog.cluster_id,
            "version": __version__,
            "scheme": str(self.rules.default),
            "durability": str(self.durability),
            "objects": totals.objects,
            "bytes": totals.size_bytes,
        }
        target = self.members.target(self.rules.default)
        await self.worklist.look(self.mover.moving)
        losses = losses_view(self.worklist.groups, self.members.standing().present)
        jobs = {
            "jobs": {job.value: self._job_view(job) for job in Job},
            "rate_bytes_max": self.jobs.rate_bytes_max,
        }
        return about | losses | nodes_view(self.members, target) | jobs

    def readiness(self) -> Json:
        """Whether files can be stored now, with reasons."""
        view = readiness_view(self.members.status(), self.members.target(self.rules.default))
        view["reasons"] += self._remarks()
        return view

    async def control(self, job_name: str, asked: Json) -> Json:
        """Pause a job or let it go on, or limit how fast chunks are moved."""
        job = _job(job_name)
        _check_asked(asked)
        if "rate_bytes_max" in asked:
            await self.jobs.limit(asked["rate_bytes_max"])
        if "paused" in asked:
            await self.jobs.pause(job, asked["paused"])
        if asked.get("start") and job is Job.REBALANCE:
            await self.jobs.pause(job, False)
            self.worklist.asked_to_balance = True
        await self.worklist.look(self.mover.moving)
        return self._job_view(job) | {"rate_bytes_max": self.jobs.rate_bytes_max}

    async def drain(self, node_id: NodeId, draining: bool) -> Json:
        """Move all chunks away from a node, or no longer."""
        member = self.members.status_of(node_id).member
        await self.members.save(replace(member, draining=draining))
        await self.worklist.look(self.mover.moving)
        return node_view(self.members.status_of(node_id))

    async def forget(self, node_id: NodeId, gone: bool) -> None:
        """
        Forget a node; raises `NodeNeededError` while it runs or an object needs it.

        One that is ``gone`` for good is needed only by objects that cannot be read without it.
        """
        status = self.members.status_of(node_id)
        groups = await self.catalog.groups()
        reasons = reasons_to_keep(status, groups, self.members.standing(), gone)
        if reasons:
            raise NodeNeededError(" ".join(reasons))
        await self.catalog.forget_node(node_id)
        self.members.remove(node_id)

    async def objections_to_stop(self, node_id: NodeId) -> list[Json]:
        """Why the node should not be stopped now."""
        self.members.status_of(node_id)
        groups = await self.catalog.groups()
        return objections_to_stop(node_id, groups, self.members.status())

    def _job_view(self, job: Job) -> Json:
        return job_view(
            job, self.jobs, self.worklist, self.setbacks, [*self.mover.moving], self.losses.doubt
        )

    def _remarks(self) -> list[Json]:
        """What an operator should know besides what nodes say."""
        found = [
            {"code": CatalogRolledBackError.code, "message": refusal}
            for refusal in self.marks.refusals.values()
        ]
        if self.losses.doubt:
            message = (
                f"Nothing is repaired: {self.losses.doubt}. If the network failed, mend it; if "
                "nodes are gone for good, say so (twisted-store forget --gone NODE)."
            )
            found.append({"code": "repair_halted", "message": message})
        if unreadable := self.worklist.backlog.unreadable:
            files = counted(unreadable, "file")
            message = f"{files} cannot be read: too many of their nodes are lost."
            found.append({"code": "files_unreadable", "message": message})
        if beyond := self.damage.beyond_repair:
            chunks = counted(beyond, "damaged chunk")
            message = f"{chunks} cannot be made anew: too few others are left."
            found.append({"code": "chunks_beyond_repair", "message": message})
        if blocked := sum(each.objects for each in self.worklist.backlog.waiting.values()):
            files = counted(blocked, "file")
            message = f"{files} cannot be as safe as asked for without more nodes: start some."
            found.append({"code": "repair_blocked", "message": message})
        return found


def _job(name: str) -> Job:
    try:
        return Job(name)
    except ValueError as error:
        raise NotFoundError(f"There is no job {name!r}: repair and rebalance are.") from error


def _check_asked(asked: Json) -> None:
    for name in ("paused", "start"):
        if not isinstance(asked.get(name, False), bool):
            raise BadRequestError(f"{name} must be true or false.")
    rate_bytes = asked.get("rate_bytes_max")
    if rate_bytes is not None and (type(rate_bytes) is not int or not 0 < rate_bytes < 2**62):
        raise BadRequestError("rate_bytes_max must be a number of bytes per second, or null.")
