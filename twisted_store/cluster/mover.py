"""
Moves objects: makes chunks where they are to be, commits, and lets marks do the rest.

What a move that fails or is overtaken has made stays provisional, and is dropped when its node asks
about it. So nothing has to be undone, and a process that ends at any moment leaves nothing behind.
"""

from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from twisted_store.cluster.jobs import Job, Jobs
from twisted_store.cluster.losses import LossWatch
from twisted_store.cluster.members import Members
from twisted_store.cluster.setbacks import Setbacks
from twisted_store.cluster.tasks import Tasks
from twisted_store.cluster.worklist import PROPOSALS_MAX, Proposal, Worklist
from twisted_store.core.ids import ObjectId, Placement
from twisted_store.core.manifest import Manifest
from twisted_store.core.moves import Cause, Plan, Step
from twisted_store.core.reasons import Reason, Reasons
from twisted_store.core.versions import Version
from twisted_store.errors import StoreError

MOVES_MAX = 8
"""So many objects are moved at the same time."""

LOOK_SECONDS = 2.0
"""The catalog is looked at so often, to see what has become urgent."""

FILL_DIGITS = 2
"""Of the fill in the reasons of a move: so that many objects share them."""

log = Logger()


class Rows(Protocol):
    """The catalog, as far as moves change it."""

    def move(
        self, manifest: Manifest, old: Placement, new: Placement, reasons: Reasons
    ) -> Awaitable[int | None]:
        """The sequence of the commit; None if the object is not at ``old`` any more."""


class Maker(Protocol):
    """Makes chunks."""

    def make(self, plan: Plan) -> Awaitable[None]:
        """Make the chunks of all steps, verified and as durable as others; or a `StoreError`."""


class Holds(Protocol):
    """Keeps chunks that belong to no row yet from being dropped."""

    def hold(self, object_id: ObjectId) -> None:
        """Chunks of the object are being made."""

    def end(self, object_id: ObjectId, /) -> None:
        """They are committed, or given up."""


@dataclass(frozen=True, slots=True)
class MovePorts:
    """
    What a move needs besides plans.

    ``committed`` is told of the sequence of a commit and the chunks that are to be confirmed.
    """

    rows: Rows
    maker: Maker
    holds: Holds
    committed: Callable[[int, Version], None]


class Mover:
    """A step of it starts what is most urgent, until all is done or it is time to look again."""

    def __init__(
        self,
        worklist: Worklist,
        jobs: Jobs,
        members: Members,
        losses: LossWatch,
        setbacks: Setbacks,
        ports: MovePorts,
        clock: IReactorTime,
    ) -> None:
        self._worklist = worklist
        self._jobs = jobs
        self._members = members
        self._losses = losses
        self._setbacks = setbacks
        self._ports = ports
        self._clock = clock
        self._queue: deque[Proposal] = deque()
        self._more = False
        self._moving: dict[ObjectId, Plan] = {}
        self._tasks = Tasks[ObjectId]()
        self._drained: Deferred[None] | None = None

    @property
    def moving(self) -> Iterable[Plan]:
        """The moves under way."""
        return self._moving.values()

    async def run(self) -> float:
        """Move for a while; the seconds until the next time."""
        await self._worklist.look(self.moving)
        self._queue = deque(await self._proposals())
        self._more = len(self._queue) >= PROPOSALS_MAX
        self._start_moves()
        if not self._moving:
            return LOOK_SECONDS
        await self._until_drained()
        return 0.0

    async def stop(self) -> None:
        """Break off all moves."""
        self._queue.clear()
        await self._tasks.stop()

    async def _proposals(self) -> list[Proposal]:
        found: list[Proposal] = []
        if self._losses.doubt:
            return found
        if not self._jobs.is_paused(Job.REPAIR):
            found = await self._worklist.repairs(self._moving)
        if not found and not self._jobs.is_paused(Job.REBALANCE):
            found = await self._worklist.shifts(self._moving)
            if not found and not self._moving:
                self._worklist.give_up_balance()
        return found

    async def _until_drained(self) -> None:
        """Return when there is room for more moves than are known, or it is time to look."""
        self._drained = Deferred()
        timer = self._clock.callLater(LOOK_SECONDS, self._wake)
        try:
            self._start_moves()
            await self._drained
        finally:
            self._drained = None
            if timer.active():
                timer.cancel()

    def _wake(self) -> None:
        drained, self._drained = self._drained, None
        if drained is not None:
            drained.callback(None)

    def _start_moves(self) -> None:
        while self._queue and len(self._moving) < MOVES_MAX:
            proposal = self._queue.popleft()
            if proposal.subject.manifest.object_id not in self._moving:
                self._start(proposal)
        if not self._moving or (self._more and not self._queue):
            self._wake()

    def _start(self, proposal: Proposal) -> None:
        manifest, plan = proposal.subject.manifest, proposal.plan()
        if plan is None:
            reason = "No other node can take a chunk of it now."
            self._setbacks.add(manifest.object_id, manifest.name, proposal.cause, reason)
            return
        self._moving[manifest.object_id] = plan
        self._tasks.start(manifest.object_id, partial(self._move, plan))

    async def _move(self, plan: Plan) -> None:
        manifest = plan.manifest
        self._ports.holds.hold(manifest.object_id)
        self._assign(plan, 1)
        try:
            await self._ports.maker.make(plan)
            old, reasons = plan.subject.placement, self._reasons(plan)
            sequence = await self._ports.rows.move(manifest, old, plan.goal, reasons)
            if sequence is not None:
                self._done(plan, sequence)
            self._setbacks.clear(manifest.object_id)
        except StoreError as failure:
            self._failed(plan, failure)
        finally:
            self._assign(plan, -1)
            self._ports.holds.end(manifest.object_id)
            del self._moving[manifest.object_id]
            self._start_moves()

    def _done(self, plan: Plan, sequence: int) -> None:
        self._jobs.done(plan)
        self._ports.committed(sequence, Version(plan.manifest.object_id, plan.made))
        for step in plan.steps:
            self._members.stored(step.target, plan.manifest.chunk_bytes(step.index))

    def _failed(self, plan: Plan, failure: StoreError) -> None:
        self._jobs.failures += 1
        manifest = plan.manifest
        self._setbacks.add(manifest.object_id, manifest.name, plan.cause, failure.message)
        log.warn(
            "object {object_id} could not be moved ({cause}), it will be tried again: {reason}",
            object_id=plan.manifest.object_id,
            cause=plan.cause.value,
            reason=failure.message,
        )

    def _assign(self, plan: Plan, sign: int) -> None:
        for step in plan.steps:
            size_bytes = plan.manifest.chunk_bytes(step.index)
            self._members.assign(step.target, sign * size_bytes)

    def _reasons(self, plan: Plan) -> Reasons:
        """Those that the object had, and for each node that took a chunk why it did."""
        reasons = plan.subject.reasons
        for step in plan.steps:
            fill = self._members.fills.get(step.target)
            fraction = 0.0 if fill is None else round(fill.fraction, FILL_DIGITS)
            text = f"took chunk {step.index}: {_why(plan, step)}"
            reasons = reasons.with_reason(Reason(step.target, fraction, text))
        return reasons


def _why(plan: Plan, step: Step) -> str:
    old = plan.subject.placement
    holder = old[step.index] if step.index < len(old) else None
    reasons: Mapping[Cause, str] = {
        Cause.DRAIN: f"node {holder} was drained",
        Cause.REBALANCE: f"node {holder} was filled more",
    }
    if step.source is not None:
        return reasons.get(plan.cause, reasons[Cause.DRAIN])
    if holder is not None:
        return f"node {holder} was lost"
    return "it was on no node" if step.index < len(old) else "there are more nodes now"
