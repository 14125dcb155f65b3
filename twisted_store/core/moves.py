"""
What has to be made anew or moved so that every object has the redundancy that it should have.

A *move* takes an object from one placement to another: chunks that the new one has and the old one
lacks are made first, then the catalog changes, then what only the old one had is declared dead. All
work is found by looking at the placements in the catalog; nothing else remembers it.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import StrEnum

from twisted_store.core.ids import NodeId, Placement
from twisted_store.core.layout import closed_nodes, only
from twisted_store.core.manifest import Manifest
from twisted_store.core.reasons import Reasons
from twisted_store.core.redundancy import UNREADABLE, losses_survived
from twisted_store.core.scheme import Scheme, scheme_of


class Cause(StrEnum):
    """Why chunks are made or moved, the more urgent ones first."""

    LOST = "lost"
    """Their node is lost."""

    HOLE = "hole"
    """They are on no node."""

    DRAIN = "drain"
    """Their node is being drained."""

    UPGRADE = "upgrade"
    """There are more nodes now, so the target has more chunks."""

    REBALANCE = "rebalance"
    """Their node is filled more than others."""


_URGENCY = {cause: number for number, cause in enumerate(Cause)}


@dataclass(frozen=True, slots=True)
class Group:
    """
    The objects of one placement; ``chunk_bytes`` is the sum of the length of a chunk of each.

    The scheme of ``auto`` ones follows the number of nodes.
    """

    placement_id: int
    placement: Placement
    auto: bool
    objects: int
    chunk_bytes: int


@dataclass(frozen=True, slots=True)
class Standing:
    """
    What is known of the nodes: what those ``present`` hold counts, what others hold is gone.

    Those that are ``draining`` give away what they have, ``takers`` take chunks. ``goal`` is the
    scheme that objects have whose scheme follows the number of nodes.
    """

    present: frozenset[NodeId]
    draining: frozenset[NodeId]
    takers: frozenset[NodeId]
    goal: Scheme


@dataclass(frozen=True, slots=True)
class Work:
    """
    What is to be done for the objects of a group: make the chunks ``indexes`` on other nodes.

    ``placement`` is as wide as it is to become, with holes for the chunks that are gone;
    ``survived`` is how many losses more the objects survive as long as nothing is done.
    """

    group: Group
    placement: Placement
    indexes: tuple[int, ...]
    cause: Cause
    survived: int

    @property
    def size_bytes(self) -> int:
        """Bytes of all chunks to be made."""
        return self.group.chunk_bytes * len(self.indexes)


@dataclass(slots=True)
class Amount:
    """Objects, and bytes of the chunks to be made for them or made."""

    objects: int = 0
    size_bytes: int = 0

    def add(self, objects: int, size_bytes: int) -> None:
        """So much more."""
        self.objects += objects
        self.size_bytes += size_bytes


@dataclass(frozen=True, slots=True)
class Backlog:
    """
    All work, the most urgent first.

    What is ``blocked`` needs nodes that are not there. ``unreadable`` counts objects of which too
    little is left: only the return of a lost node can help.
    """

    runnable: tuple[Work, ...] = ()
    blocked: tuple[Work, ...] = ()
    unreadable: int = 0

    @property
    def queued(self) -> dict[Cause, Amount]:
        """How much there is to do, by cause."""
        return _amounts(self.runnable)

    @property
    def waiting(self) -> dict[Cause, Amount]:
        """How much cannot be done, by cause."""
        return _amounts(self.blocked)


@dataclass(frozen=True, slots=True)
class MovableObject:
    """
    An object that may have to be moved, and why its chunks are where they are.

    ``sequence`` is that of the commit that made it as it is. The nodes ``leaving`` have still to be
    told that a chunk of it is dead: they take none.
    """

    manifest: Manifest
    placement: Placement
    sequence: int
    reasons: Reasons
    leaving: frozenset[NodeId]


@dataclass(frozen=True, slots=True)
class Step:
    """Chunk ``index`` is made on ``target``: copied from ``source`` if there is one."""

    index: int
    target: NodeId
    source: NodeId | None


@dataclass(frozen=True, slots=True)
class Plan:
    """
    One move: from ``placement``, where holes are what is gone, by these steps, of which each makes
    a chunk.

    ``manifest`` is the one that the object is to have.
    """

    subject: MovableObject
    manifest: Manifest
    placement: Placement
    steps: tuple[Step, ...]
    cause: Cause

    @property
    def goal(self) -> Placement:
        """Where the chunks are when all is done; lost nodes that are not replaced keep theirs."""
        targets = {step.index: step.target for step in self.steps}
        old = self.subject.placement
        widened = (*old, *[None] * (len(self.placement) - len(old)))
        return tuple(targets.get(index, was) for index, was in enumerate(widened))

    @property
    def made(self) -> Placement:
        """Just the chunks that are made."""
        targets = {step.index: step.target for step in self.steps}
        return tuple(targets.get(index) for index in range(len(self.placement)))

    @property
    def size_bytes(self) -> int:
        """Bytes of the chunks that are made."""
        return sum(self.manifest.chunk_bytes(step.index) for step in self.steps)


def survey(groups: Iterable[Group], standing: Standing) -> Backlog:
    """What there is to do: objects that survive the fewest losses first, then by cause."""
    runnable: list[Work] = []
    blocked: list[Work] = []
    unreadable = 0
    for group in groups:
        work = _work(group, standing)
        if work is None:
            continue
        if work.survived == UNREADABLE:
            unreadable += group.objects
        elif targets := _possible(work, standing):
            runnable.append(targets)
        else:
            blocked.append(work)
    runnable.sort(key=lambda work: (work.survived, _URGENCY[work.cause], work.group.placement_id))
    return Backlog(tuple(runnable), tuple(blocked), unreadable)


def _work(group: Group, standing: Standing) -> Work | None:
    """All that could be done for a group if there were nodes enough; None if nothing has to be."""
    left = only(group.placement, standing.present)
    survived = losses_survived(scheme_of(left), left)
    placement = left
    if group.auto and len(left) < standing.goal.width:
        placement = (*left, *[None] * (standing.goal.width - len(left)))
    missing = [index for index, node_id in enumerate(placement) if node_id is None]
    wanted = standing.goal.width if group.auto else len(placement)
    missing = missing[: max(wanted - (len(placement) - len(missing)), 0)]
    leaving = [index for index, node_id in enumerate(placement) if node_id in standing.draining]
    if not missing and not leaving:
        return None
    cause = _cause(group.placement, missing)
    return Work(group, placement, (*missing, *leaving), cause, survived)


def _cause(old: Placement, missing: Collection[int]) -> Cause:
    """The most urgent one of all that apply."""
    gone = [old[index] for index in missing if index < len(old)]
    if any(node_id is not None for node_id in gone):
        return Cause.LOST
    if gone:
        return Cause.HOLE
    return Cause.UPGRADE if missing else Cause.DRAIN


def _possible(work: Work, standing: Standing) -> Work | None:
    """The part of the work for which there are nodes, None if it is none of it."""
    placement, possible = work.placement, []
    for index in work.indexes:
        free = standing.takers - closed_nodes(placement, index)
        if free:
            possible.append(index)
            placement = (*placement[:index], min(free), *placement[index + 1 :])
    if not possible:
        return None
    return Work(work.group, work.placement, tuple(possible), work.cause, work.survived)


def _amounts(works: Iterable[Work]) -> dict[Cause, Amount]:
    amounts: dict[Cause, Amount] = {}
    for work in works:
        amounts.setdefault(work.cause, Amount()).add(work.group.objects, work.size_bytes)
    return amounts
