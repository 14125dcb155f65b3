"""What is to be moved next: found in the catalog each time, most urgent first."""

from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

from twisted_store.cluster.members import Members
from twisted_store.cluster.setbacks import Setbacks
from twisted_store.core.ids import ObjectId
from twisted_store.core.layout import closed_nodes
from twisted_store.core.manifest import Manifest
from twisted_store.core.moves import (
    Backlog,
    Cause,
    Group,
    MovableObject,
    Plan,
    Step,
    Work,
    survey,
)
from twisted_store.core.rebalance import Balance, live_fills, should_balance
from twisted_store.core.scheme import AUTO, scheme_of
from twisted_store.core.striping import DATA_CHUNKS
from twisted_store.errors import TooFewNodesError

PROPOSALS_MAX = 64
"""So many objects are planned at once; what becomes urgent meanwhile goes before the next ones."""

PAGE_OBJECTS = 64
"""Objects read from the catalog at once."""

PAGES_MAX = 32
"""Pages of objects that are passed over, as they have to wait, before others have their turn."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """An object, why it should be moved, and what makes a plan for it at the last moment."""

    subject: MovableObject
    cause: Cause
    plan: Callable[[], Plan | None]


Propose = Callable[[MovableObject], Proposal | None]


class Objects(Protocol):
    """The catalog, as far as moves go by it."""

    def groups(self) -> Awaitable[Sequence[Group]]:
        """The placements of all current objects."""

    def movable(
        self, placement_id: int, after_sequence: int, limit: int
    ) -> Awaitable[Sequence[MovableObject]]:
        """Objects of one placement in order of their commits, beginning after one of these."""


class Worklist:
    """
    ``groups`` are the placements as they were seen last, ``backlog`` is what repair has to do,
    ``balance`` what rebalancing has, None while it rests.

    Where it stands within the objects of a placement is remembered, but nothing depends on it.
    """

    def __init__(self, objects: Objects, members: Members, setbacks: Setbacks) -> None:
        self.backlog = Backlog()
        self.balance: Balance | None = None
        self.asked_to_balance = False
        self._objects = objects
        self._members = members
        self._setbacks = setbacks
        self.groups: Sequence[Group] = ()
        self._futile: object = None
        self._cursors: dict[int, int] = {}

    async def look(self, running: Iterable[Plan]) -> None:
        """See anew what there is to do besides what is ``running``."""
        self.groups = await self._objects.groups()
        self.backlog = survey(self.groups, self._members.standing())
        self._setbacks.forget_old()
        self._look_at_balance(running)

    async def repairs(self, busy: Collection[ObjectId]) -> list[Proposal]:
        """The most urgent moves of objects that are not ``busy``, at most `PROPOSALS_MAX`."""
        found: list[Proposal] = []
        for work in self.backlog.runnable:
            await self._search(work.group, _repair(work, self._members), busy, found)
            if len(found) >= PROPOSALS_MAX:
                break
        return found

    async def shifts(self, busy: Collection[ObjectId]) -> list[Proposal]:
        """Moves that make nodes more even."""
        found: list[Proposal] = []
        balance = self.balance
        if balance is None:
            return found
        for group in self.groups:
            if balance.concerns(group.placement):
                await self._search(group, _shift(balance), busy, found)
            if len(found) >= PROPOSALS_MAX:
                break
        return found

    def give_up_balance(self) -> None:
        """Nothing that can be moved makes nodes more even, as long as nothing changes."""
        self._rest()
        self._futile = self._situation()

    def _rest(self) -> None:
        self.balance = None
        self.asked_to_balance = False

    def _situation(self) -> object:
        """What rebalancing depends on."""
        return self.groups, self._members.takers(0)

    def _look_at_balance(self, running: Iterable[Plan]) -> None:
        live = live_fills(self._members.fills.values(), self.groups)
        usable = sum(fill.usable for fill in live)
        width = max(DATA_CHUNKS, min(self._members.target(AUTO).nodes, usable))
        balancing = self.balance is not None or self.asked_to_balance
        futile = not balancing and self._futile == self._situation()
        if futile or usable <= DATA_CHUNKS or not should_balance(live, width, balancing):
            self._rest()
            return
        self.balance = Balance(live, width)
        for plan in running:
            if plan.cause is Cause.REBALANCE:
                self.balance.count(plan)

    def _seen(self) -> tuple[object, ...]:
        """All that it depends on whether some move makes nodes more even."""
        usable = (fill for fill in self._members.fills.values() if fill.usable)
        nodes = frozenset((fill.node_id, fill.zone, fill.capacity_bytes) for fill in usable)
        return self.groups, nodes

    async def _search(
        self,
        group: Group,
        propose: Propose,
        busy: Collection[ObjectId],
        found: list[Proposal],
    ) -> None:
        """Add objects of a group to ``found``, going on where the last search ended."""
        start = after = self._cursors.pop(group.placement_id, 0)
        around = False
        for _ in range(PAGES_MAX):
            page = await self._objects.movable(group.placement_id, after, PAGE_OBJECTS)
            for each in page:
                if around and each.sequence > start:
                    return
                after = each.sequence
                object_id = each.manifest.object_id
                if object_id in busy or self._setbacks.waits(object_id):
                    continue
                proposed = propose(each)
                if proposed is not None:
                    found.append(proposed)
                if len(found) >= PROPOSALS_MAX:
                    self._cursors[group.placement_id] = after
                    return
            if len(page) < PAGE_OBJECTS:
                if around or not start:
                    return
                after, around = 0, True
        self._cursors[group.placement_id] = after


def _repair(work: Work, members: Members) -> Propose:
    """Plans what ``work`` is for one of its objects, as far as there are nodes for it."""

    def plan(found: MovableObject) -> Plan | None:
        manifest = _widened(found.manifest, work)
        placement, steps = work.placement, []
        for index in work.indexes:
            closed = closed_nodes(placement, index) | found.leaving
            try:
                target = members.replacement(manifest.chunk_bytes(index), closed)
            except TooFewNodesError:
                continue
            steps.append(Step(index, target, source=placement[index]))
            placement = (*placement[:index], target, *placement[index + 1 :])
        if not steps:
            return None
        return Plan(found, manifest, work.placement, tuple(steps), work.cause)

    return lambda found: Proposal(found, work.cause, partial(plan, found))


def _widened(manifest: Manifest, work: Work) -> Manifest:
    """The manifest that the object is to have: its scheme is as wide as its placement."""
    scheme = scheme_of(work.placement)
    return manifest if manifest.scheme is scheme else replace(manifest, scheme=scheme)


def _shift(balance: Balance) -> Propose:
    def propose(found: MovableObject) -> Proposal | None:
        shift = balance.take(found.placement, found.manifest.chunk_bytes(0), found.leaving)
        if shift is None:
            return None
        step = Step(shift.index, shift.target, found.placement[shift.index])
        plan = Plan(found, found.manifest, found.placement, (step,), Cause.REBALANCE)
        return Proposal(found, Cause.REBALANCE, lambda: plan)

    return propose
