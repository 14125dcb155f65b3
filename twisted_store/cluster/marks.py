"""The api tells nodes which chunks are confirmed and which are dead."""

from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Protocol

from twisted.internet.defer import CancelledError, Deferred, FirstError, gatherResults
from twisted.logger import Logger

from twisted_store.core.ids import ChunkId, NodeId, ObjectId, Placement
from twisted_store.core.peer import Marks, Peer
from twisted_store.core.redundancy import losses_survived
from twisted_store.core.scheme import scheme_of
from twisted_store.core.versions import DeadVersion, Version
from twisted_store.errors import CatalogRolledBackError, StoreError

CONFIRMS_WAITING_MAX = 10_000
"""Objects whose confirm waits to be sent; those beyond it are asked about by their nodes."""

CONFIRMS_PER_ROUND = 2000
"""Objects whose confirm is sent at once."""

DEAD_PER_ROUND = 500
"""Dead versions taken from the outbox at once."""

ROUND_SECONDS = 0.2
"""Between two rounds while there is work."""

IDLE_SECONDS = 1.0
"""Between two looks into the outbox."""

log = Logger()


class Outbox(Protocol):
    """The durable list of dead versions; shows only commits that survive a power loss."""

    @property
    def incarnation(self) -> int:
        """Which life of the api this is."""

    @property
    def synced_sequence(self) -> int:
        """The last commit that survives a power loss."""

    def dead_work(self, after_sequence: int, limit: int) -> Awaitable[Sequence[DeadVersion]]:
        """Rows in the order of their commits."""

    def find(self, object_ids: Iterable[ObjectId]) -> Awaitable[Mapping[ObjectId, object]]:
        """Those of the versions that are current."""

    def dying(self, object_ids: Iterable[ObjectId]) -> Awaitable[frozenset[ObjectId]]:
        """Those of the versions that have a row here."""

    def dead_done(self, sequences: Iterable[int]) -> Awaitable[None]:
        """Forget these rows."""


class MarkTaker(Protocol):
    """Speaks to nodes."""

    def mark(self, peer: Peer, marks: Marks) -> Awaitable[frozenset[ChunkId]]:
        """Send marks; gives, when they are durable, the chunks that cannot be confirmed."""


class Addresses(Protocol):
    """Which nodes can be spoken to now."""

    def reachable(self, node_id: NodeId) -> Peer | None:
        """Where the node listens if an answer can be expected."""

    def is_gone(self, node_id: NodeId) -> bool:
        """Whether nobody waits for the node."""


Absent = Callable[[NodeId, ChunkId], None]
"""Told of a chunk that a node should hold and does not."""


class MarkDelivery:
    """
    One round after the other: confirms first, then the dead.

    The chunks of a version are declared dead only after nodes of its successor have confirmed
    theirs, which they do once these are synced, all of them or as many as survive the loss of one
    node: so nothing old is reclaimed before its replacement is safe (promise P2), and nodes that
    are away do not keep it for ever. A dead version leaves the outbox when all its nodes know but
    those that are gone. The confirm of a new object is sent once: a node that missed it asks.
    ``refusals`` has, by node, what those say that have seen a later catalog than this one.
    """

    def __init__(
        self, outbox: Outbox, nodes: MarkTaker, addresses: Addresses, absent: Absent
    ) -> None:
        self.refusals: dict[NodeId, str] = {}
        self._outbox = outbox
        self._nodes = nodes
        self._addresses = addresses
        self._absent = absent
        self._confirms: deque[tuple[int, Version]] = deque()
        self._cursor = 0

    def committed(self, sequence: int, version: Version) -> None:
        """A new version is in the catalog; its nodes will hear of it."""
        if len(self._confirms) < CONFIRMS_WAITING_MAX:
            self._confirms.append((sequence, version))

    async def run_round(self) -> float:
        """Tell nodes what there is to tell; gives the seconds until the next round."""
        dead = await self._outbox.dead_work(self._cursor, DEAD_PER_ROUND)
        self._cursor = dead[-1].sequence if len(dead) == DEAD_PER_ROUND else 0
        new = self._take_synced()
        if not new and not dead:
            return IDLE_SECONDS
        successors = [row.successor for row in dead if row.successor is not None]
        heard = await self._tell(confirm=[*new, *successors], dead=[])
        gone = await self._gone(version for version in successors if not heard(version))
        ready = [row for row in dead if _may_die(row, heard, gone)]
        heard = await self._tell(confirm=[], dead=[row.version for row in ready])
        done = [row.sequence for row in ready if heard.or_gone(row.version, self._addresses)]
        if done:
            await self._outbox.dead_done(done)
        return ROUND_SECONDS if new or done else IDLE_SECONDS

    def _take_synced(self) -> list[Version]:
        synced = self._outbox.synced_sequence
        taken: list[Version] = []
        while self._confirms and self._confirms[0][0] <= synced and len(taken) < CONFIRMS_PER_ROUND:
            taken.append(self._confirms.popleft()[1])
        return taken

    async def _gone(self, versions: Iterable[Version]) -> frozenset[ObjectId]:
        """Those that have ended since; their own successors are safe, or they would be dying."""
        object_ids = frozenset(version.object_id for version in versions)
        current = await self._outbox.find(object_ids)
        return object_ids - current.keys() - await self._outbox.dying(object_ids)

    async def _tell(self, confirm: list[Version], dead: list[Version]) -> "_Heard":
        by_node: dict[NodeId, tuple[list[ChunkId], list[ChunkId]]] = defaultdict(lambda: ([], []))
        for kind, versions in enumerate((confirm, dead)):
            for version in versions:
                for index, node_id in enumerate(version.placement):
                    if node_id is not None:
                        by_node[node_id][kind].append(ChunkId(version.object_id, index))
        calls = [
            Deferred.fromCoroutine(self._tell_node(node_id, *chunk_ids))
            for node_id, chunk_ids in by_node.items()
        ]
        try:
            told = await gatherResults(calls, consumeErrors=True)
        except FirstError as error:
            error.subFailure.raiseException()
            raise
        return _Heard(dict(each for each in told if each is not None))

    async def _tell_node(
        self, node_id: NodeId, confirm: list[ChunkId], dead: list[ChunkId]
    ) -> tuple[NodeId, frozenset[ChunkId]] | None:
        peer = self._addresses.reachable(node_id)
        if peer is None:
            return None
        marks = Marks(self._outbox.incarnation, self._outbox.synced_sequence, confirm, dead)
        try:
            missing = await self._nodes.mark(peer, marks)
        except CancelledError:
            raise
        except StoreError as error:
            if isinstance(error, CatalogRolledBackError):
                self.refusals[node_id] = error.message
            log.info(
                "node {node_id} took no marks: {reason}", node_id=node_id, reason=error.message
            )
            return None
        self.refusals.pop(node_id, None)
        for chunk_id in missing:
            log.warn(
                "node {node_id} cannot confirm chunk {chunk_id}: it does not hold it safely",
                node_id=node_id,
                chunk_id=str(chunk_id),
            )
            self._absent(node_id, chunk_id)
        return node_id, missing


class _Heard:
    """Which nodes of a version were told, and found the chunk that they were told of."""

    def __init__(self, missing: dict[NodeId, frozenset[ChunkId]]) -> None:
        self._missing = missing

    def __call__(self, version: Version) -> bool:
        """Whether all were and did."""
        return self._found(version) == version.placement

    def or_gone(self, version: Version, addresses: Addresses) -> bool:
        """Whether all were and did but those that nobody waits for."""
        return all(
            was == found or (was is not None and addresses.is_gone(was))
            for was, found in zip(version.placement, self._found(version), strict=True)
        )

    def is_safe(self, version: Version) -> bool:
        """Whether all did, or so many that it survives the loss of one of them."""
        return (
            self(version) or losses_survived(scheme_of(version.placement), self._found(version)) > 0
        )

    def _found(self, version: Version) -> Placement:
        return tuple(
            node_id
            if node_id in self._missing
            and ChunkId(version.object_id, index) not in self._missing[node_id]
            else None
            for index, node_id in enumerate(version.placement)
        )


def _may_die(row: DeadVersion, heard: _Heard, gone: frozenset[ObjectId]) -> bool:
    successor = row.successor
    return successor is None or successor.object_id in gone or heard.is_safe(successor)
