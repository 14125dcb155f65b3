"""A catalog of objects in memory, nodes that are there or not, and chunks that are made by word."""

from collections.abc import Awaitable, Iterable, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock

from twisted_store.cluster.jobs import Jobs
from twisted_store.cluster.losses import LossWatch
from twisted_store.cluster.member import Member
from twisted_store.cluster.members import Members
from twisted_store.cluster.mover import MovePorts, Mover
from twisted_store.cluster.setbacks import Setbacks
from twisted_store.cluster.throttle import Throttle
from twisted_store.cluster.worklist import Worklist
from twisted_store.core.ids import NodeId, ObjectId, Placement, object_id
from twisted_store.core.manifest import Manifest
from twisted_store.core.membership import NodeHealth
from twisted_store.core.moves import Group, MovableObject, Plan
from twisted_store.core.peer import Peer
from twisted_store.core.reasons import NO_REASONS, Reasons
from twisted_store.core.scheme import scheme_of
from twisted_store.core.versions import Version
from twisted_store.errors import NodeFailedError, StoreError

GIB = 2**30
SUSPECT_AFTER = 15.0
LOST_AFTER = 600.0
NODES = tuple(NodeId(f"{number:016x}") for number in range(12))


def id_of(number: int) -> ObjectId:
    """That of the object of this number."""
    return object_id(1, number, number)


def manifest_of(number: int, placement: Placement, size_bytes: int = 50) -> Manifest:
    """Its name is its number."""
    return Manifest(
        id_of(number), str(number), size_bytes, 1 << 20, scheme_of(placement), "", 0, "", ()
    )


class Rows:
    """Objects in order of their commits; ``overtaken`` ones cannot be moved."""

    def __init__(self) -> None:
        self.objects: dict[ObjectId, MovableObject] = {}
        self.moves: list[str] = []
        self.overtaken: set[str] = set()
        self.failing = False
        self.auto = True
        self.pages = 0
        self._sequence = 0
        self._placements: dict[Placement, int] = {}

    def add(
        self,
        number: int,
        placement: Placement,
        leaving: Iterable[NodeId] = (),
        size_bytes: int = 50,
    ) -> None:
        """Commit an object."""
        manifest = manifest_of(number, placement, size_bytes)
        self._put(MovableObject(manifest, placement, self._next(), NO_REASONS, frozenset(leaving)))

    def placements(self) -> dict[str, Placement]:
        """Where the chunks of each object are."""
        return {each.manifest.name: each.placement for each in self.objects.values()}

    def groups(self) -> Awaitable[Sequence[Group]]:
        """By placement."""
        found: dict[Placement, list[MovableObject]] = {}
        for each in self.objects.values():
            found.setdefault(each.placement, []).append(each)
        return succeed(
            tuple(
                Group(
                    self._placements[placement],
                    placement,
                    self.auto,
                    len(objects),
                    sum(each.manifest.chunk_bytes(0) for each in objects),
                )
                for placement, objects in found.items()
            )
        )

    def movable(
        self, placement_id: int, after_sequence: int, limit: int
    ) -> Awaitable[Sequence[MovableObject]]:
        """In order."""
        self.pages += 1
        found = [
            each
            for each in self.objects.values()
            if self._placements[each.placement] == placement_id and each.sequence > after_sequence
        ]
        return succeed(sorted(found, key=lambda each: each.sequence)[:limit])

    def move(
        self, manifest: Manifest, old: Placement, new: Placement, reasons: Reasons
    ) -> Awaitable[int | None]:
        """Unless the object is somewhere else."""
        if self.failing:
            return fail(StoreError("The catalog rests."))
        found = self.objects.get(manifest.object_id)
        if found is None or found.placement != old or manifest.name in self.overtaken:
            return succeed(None)
        self.moves.append(manifest.name)
        self._put(MovableObject(manifest, new, self._next(), reasons, found.leaving))
        return succeed(self._sequence)

    def _next(self) -> int:
        self._sequence += 1
        return self._sequence

    def _put(self, found: MovableObject) -> None:
        self._placements.setdefault(found.placement, len(self._placements) + 1)
        self.objects[found.manifest.object_id] = found


class Maker:
    """Makes chunks when the test says so."""

    def __init__(self) -> None:
        self.made: list[Plan] = []
        self.waiting: dict[str, Deferred[None]] = {}
        self.failing: set[str] = set()

    async def make(self, plan: Plan) -> None:
        """Note it."""
        name = plan.manifest.name
        self.made.append(plan)
        self.waiting[name] = Deferred()
        try:
            await self.waiting[name]
        finally:
            del self.waiting[name]
        if name in self.failing:
            raise NodeFailedError("It rained.")

    def names(self) -> list[str]:
        """The objects for which chunks were asked, in that order."""
        return [plan.manifest.name for plan in self.made]

    def finish(self, *names: str) -> None:
        """Let those be ready, all that wait if none is named."""
        for name in names or [*self.waiting]:
            self.waiting[name].callback(None)


class Holds:
    """Counts."""

    def __init__(self) -> None:
        self.held: list[ObjectId] = []

    def hold(self, object_id: ObjectId) -> None:
        """One more."""
        self.held.append(object_id)

    def end(self, object_id: ObjectId, /) -> None:
        """One less."""
        self.held.remove(object_id)


@dataclass
class MovingWorld:
    """The mover over all of these; ``nodes`` are up, each with a GiB of which some is used."""

    nodes: int = 9

    def __post_init__(self) -> None:
        self.clock = Clock()
        self.rows, self.maker, self.holds = Rows(), Maker(), Holds()
        self.saved: list[tuple[str, int | None]] = []
        self.committed: list[tuple[int, Version]] = []
        self.members = Members([], Prober(), remember, self.clock.seconds, Random(1), SUSPECT_AFTER)
        for number in range(self.nodes):
            self.join(number)
        self.losses = LossWatch(self.members, LOST_AFTER)
        self.setbacks = Setbacks(self.clock.seconds)
        self.worklist = Worklist(self.rows, self.members, self.setbacks)
        throttle = Throttle(self.clock, self.clock.seconds, None)
        self.jobs = Jobs(throttle, self.clock.seconds, {}, self._save)
        ports = MovePorts(self.rows, self.maker, self.holds, self._commit)
        self.mover = Mover(
            self.worklist, self.jobs, self.members, self.losses, self.setbacks, ports, self.clock
        )

    def join(self, number: int, **changes: Any) -> None:
        """A node that is up."""
        health = NodeHealth().heard(self.members.now_seconds, SUSPECT_AFTER, 0.0, False)
        member = Member(
            Peer(NODES[number], f"http://node{number}"),
            zone=f"zone{number}",
            capacity_bytes=GIB,
            health=health.probed(0.0),
        )
        self.members.put(replace(member, **changes))

    def change(self, number: int, **changes: Any) -> None:
        """Something is new of a node."""
        member = self.members.get(NODES[number])
        assert member is not None
        self.members.put(replace(member, **changes))

    def look(self) -> None:
        """See what there is to do."""
        done: list[None] = []
        Deferred.fromCoroutine(self.worklist.look(self.mover.moving)).addCallback(done.append)
        assert done

    def run(self) -> "Deferred[float]":
        """Begin a step of the mover."""
        return Deferred.fromCoroutine(self.mover.run())

    def run_until_idle(self) -> None:
        """Step by step, chunks being made as they are asked for, until nothing is left to do."""
        for _ in range(300):
            delays: list[float] = []
            self.run().addCallback(delays.append)
            while self.maker.waiting:
                self.maker.finish(next(iter(self.maker.waiting)))
            if not delays:
                raise AssertionError("it waits for nothing")
            if delays[0]:
                return
        raise AssertionError("it does not come to an end")

    def moving(self) -> list[str]:
        """The objects that are moved now."""
        return [plan.manifest.name for plan in self.mover.moving]

    def idle(self) -> bool:
        """Whether nothing is held or on its way."""
        assigned = [status.member.traffic.assigned_bytes for status in self.members.status()]
        return not (self.holds.held or self.moving() or any(assigned))

    async def _save(self, name: str, value: int | None) -> None:
        self.saved.append((name, value))

    def _commit(self, sequence: int, version: Version) -> None:
        self.committed.append((sequence, version))


class Prober:
    """Nobody answers."""

    def probe(self, peer: Peer) -> Awaitable[dict[str, Any]]:
        """Fail."""
        return fail(NodeFailedError("Connection refused."))


async def remember(member: Member) -> None:
    """Nothing is kept."""
