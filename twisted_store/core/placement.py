"""
Which nodes take the chunks of an object: the least filled, across zones, in few combinations.

A handful of placements stay open, as many as give each node about two, and take objects in turn.
Each takes a share of bytes, small against its smallest node, before it is chosen anew by the
figures of that moment. Choosing anew keeps the fill even; staying open makes a choice cheap, the
catalog small, and the combinations of nodes whose loss loses an object few (copysets). For the same
reason the nodes of a used-up placement are chosen again, in a new order, until others are emptier
by a share.

A zone takes at most ``ceil(width / zones)`` chunks of an object or, where zones are unequal, its
part of the free room, rounded up: with less, the small zones would be full long before the others.
"""

from collections import Counter, defaultdict, deque
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from math import ceil
from random import Random

from twisted_store.core.evenness import WIDTH, optimum
from twisted_store.core.fills import NodeFill, NodeFills
from twisted_store.core.ids import NodeId
from twisted_store.core.reasons import Reason, Reasons
from twisted_store.core.striping import DATA_CHUNKS
from twisted_store.errors import TooFewNodesError

SHARES_PER_NODE = 400
"""A share is this part of a capacity: fill strays by one to three of them, 1 % at the worst."""

OPEN_PER_NODE = 2
"""So many open placements contain a node, on average."""

ZONE_LAG_CHUNKS_MAX = 0.02
"""Zones that differ by less, in chunks per object, pass for equal: no two disks are the same."""

REASONS_SHOWN_MAX = 10
"""The message of an error names so many nodes at most."""

RETRY_AFTER_SECONDS = 5
"""When to ask again after too few nodes: a restarted node is back by then."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """
    A node's part in a decision: chosen or skipped (``chunk_index`` is None), why, and its fill.

    The fills, before and after this object, are fractions of its capacity.
    """

    node_id: NodeId
    zone: str
    chunk_index: int | None
    fill_before: float
    fill_after: float
    reason: str


@dataclass(frozen=True, slots=True)
class Decision:
    """
    Where the chunks of one object go: ``nodes`` in chunk order.

    ``reasons``, for every node, are those of the moment when this placement was opened.
    """

    nodes: tuple[NodeId, ...]
    chunk_bytes: int
    reasons: Reasons

    def candidates(self, nodes: NodeFills) -> list[Candidate]:
        """Every node that was considered; ``nodes`` as they were for the decision."""
        return [
            self._candidate(nodes[reason.node_id], reason.text)
            for reason in self.reasons.considered
        ]

    def _candidate(self, fill: NodeFill, reason: str) -> Candidate:
        index, after = None, fill
        if fill.node_id in self.nodes:
            index = self.nodes.index(fill.node_id)
            after = fill.grown(self.chunk_bytes)
        return Candidate(fill.node_id, fill.zone, index, fill.fraction, after.fraction, reason)


@dataclass(slots=True)
class _OpenPlacement:
    """
    Nodes that take objects until ``left_bytes`` of the share are too few for the next chunk.

    Where fewer nodes than are wanted had room, chunks below ``chunk_bytes_min`` may find more.
    """

    nodes: tuple[NodeId, ...]
    left_bytes: int
    chunk_bytes_min: int
    ceilings: tuple[int, ...]
    reasons: Reasons


class Placer:
    """
    Chooses nodes; ``random`` breaks ties and shuffles chunks, all else is determined.

    One instance serves one `NodeFills`: it knows the open placements and what it sent to each node.
    """

    def __init__(self, random: Random) -> None:
        self._random = random
        self._open: defaultdict[int, deque[_OpenPlacement]] = defaultdict(deque)
        self._opened_for = -1
        self._usable = 0
        self._announced: Counter[NodeId] = Counter()

    def choose(self, nodes: NodeFills, chunk_bytes: int, width: int = WIDTH) -> Decision:
        """
        Nodes for the ``width`` chunks of an object, which are of ``chunk_bytes`` each.

        Where not so many can take one they are fewer, but `DATA_CHUNKS` at least: else
        `TooFewNodesError` is raised. The caller assigns the bytes to them in ``nodes``; where it
        learns only later how many they are, it passes what it knows.
        """
        placement = self._next(nodes, chunk_bytes, width)
        opened = self._open[self._width(width)]
        if len(opened) == self._open_max(width):
            opened.popleft()
        opened.append(placement)
        placement.left_bytes -= chunk_bytes
        for node_id in placement.nodes:
            self._announced[node_id] += chunk_bytes
        return Decision(placement.nodes, chunk_bytes, placement.reasons)

    def preview(self, nodes: NodeFills, chunk_bytes: int, width: int = WIDTH) -> Decision:
        """Where an object of this size would go now. Raises `TooFewNodesError`."""
        placement = self._next(nodes, chunk_bytes, width)
        return Decision(placement.nodes, chunk_bytes, placement.reasons)

    def replacement(self, nodes: NodeFills, chunk_bytes: int, taken: Collection[NodeId]) -> NodeId:
        """
        Another node for one chunk, none of ``taken``, which hold the other chunks or refused it.

        Of the zones that hold the fewest of ``taken``, the least filled. Raises `TooFewNodesError`.
        """
        held = Counter(nodes[node_id].zone for node_id in taken)
        others = [fill for fill in nodes.values() if fill.node_id not in taken]
        fits = [fill for fill in others if not fill.objection(chunk_bytes)]
        if not fits:
            raise _too_few(others, chunk_bytes, 1)

        def rank(fill: NodeFill) -> tuple[int, float, float]:
            return held[fill.zone], fill.fraction, self._random.random()

        return min(fits, key=rank).node_id

    def _next(self, nodes: NodeFills, chunk_bytes: int, width: int) -> _OpenPlacement:
        """The open placement whose turn it is, or a new one: in its place if enough are open."""
        if self._opened_for != nodes.generation:
            self._opened_for = nodes.generation
            self._open.clear()
            self._usable = sum(fill.usable for fill in nodes.values())
        opened = self._open[self._width(width)]
        if len(opened) < self._open_max(width):
            return self._opened(nodes, chunk_bytes, width, again=())
        if self._takes(opened[0], nodes, chunk_bytes):
            return opened[0]
        return self._opened(nodes, chunk_bytes, width, again=opened[0].nodes)

    def _width(self, wanted: int) -> int:
        """How many nodes can be had for the ``wanted``, those that are full not yet left out."""
        return max(DATA_CHUNKS, min(wanted, self._usable))

    def _open_max(self, wanted: int) -> int:
        return max(1, OPEN_PER_NODE * self._usable // self._width(wanted))

    def _takes(self, placement: _OpenPlacement, nodes: NodeFills, chunk_bytes: int) -> bool:
        if not placement.chunk_bytes_min <= chunk_bytes <= placement.left_bytes:
            return False
        for node_id, ceiling in zip(placement.nodes, placement.ceilings, strict=True):
            fill = nodes[node_id]
            if not fill.has_room(chunk_bytes) or self._unannounced(fill) > ceiling:
                return False
        return True

    def _unannounced(self, fill: NodeFill) -> int:
        """What a node holds beyond the sizes given to `choose`: not all are known beforehand."""
        return fill.used_bytes - self._announced[fill.node_id]

    def _opened(
        self, nodes: NodeFills, chunk_bytes: int, width: int, again: Sequence[NodeId]
    ) -> _OpenPlacement:
        reasons = {fill.node_id: fill.objection(chunk_bytes) for fill in nodes.values()}
        fits = [fill for fill in nodes.values() if not reasons[fill.node_id]]
        if len(fits) < DATA_CHUNKS:
            raise _too_few(nodes.values(), chunk_bytes, DATA_CHUNKS)
        missed = self._width(width) > len(fits)
        chosen = _least_filled(self._ranked(fits, again), min(width, len(fits)), reasons)
        self._random.shuffle(chosen)
        share = min(fill.capacity_bytes for fill in chosen) // SHARES_PER_NODE
        return _OpenPlacement(
            nodes=tuple(fill.node_id for fill in chosen),
            left_bytes=max(share, chunk_bytes),
            chunk_bytes_min=chunk_bytes if missed else 0,
            ceilings=tuple(self._unannounced(fill) + share for fill in chosen),
            reasons=Reasons(
                tuple(
                    Reason(fill.node_id, fill.fraction, reasons[fill.node_id])
                    for fill in nodes.values()
                )
            ),
        )

    def _ranked(self, fits: list[NodeFill], again: Sequence[NodeId]) -> list[NodeFill]:
        """
        Least filled first, counting what open placements may still add.

        The nodes ``again``, of a used-up placement, have a share of grace, less what it leaves.
        """
        planned: Counter[NodeId] = Counter()
        for placement in chain(*self._open.values()):
            for node_id in placement.nodes:
                planned[node_id] += placement.left_bytes

        def rank(fill: NodeFill) -> tuple[float, float]:
            level = (fill.used_bytes + planned[fill.node_id]) / fill.capacity_bytes
            grace = 1 / SHARES_PER_NODE if fill.node_id in again else 0.0
            return level - grace, self._random.random()

        return sorted(fits, key=rank)


def _least_filled(ranked: list[NodeFill], width: int, reasons: dict[NodeId, str]) -> list[NodeFill]:
    """The first ``width`` that their zones admit; adds the reason for each node."""
    limits = _zone_limits(ranked, width)
    held: Counter[str] = Counter()
    chosen: list[NodeFill] = []
    for fill in ranked:
        if len(chosen) == width:
            reasons[fill.node_id] = "filled more than those chosen"
        elif held[fill.zone] == limits[fill.zone]:
            reasons[fill.node_id] = f"zone {fill.zone} takes no more than {limits[fill.zone]}"
        else:
            reasons[fill.node_id] = "among the least filled"
            held[fill.zone] += 1
            chosen.append(fill)
    return chosen


def _zone_limits(fits: list[NodeFill], width: int) -> dict[str, int]:
    """
    How many chunks of one object each zone may take.

    For the free room to run out everywhere at once, each node has to take so many chunks of every
    object, one at most, and all of them ``width``; a zone may take the sum over its nodes, rounded
    up. So ``width`` nodes are always within the limits: what the rounding forgives is less than one
    chunk where zones are fewer than chunks, and where they are not, each zone may take one.
    """
    rooms = [fill.room_bytes for fill in fits]
    wanted: defaultdict[str, float] = defaultdict(float)
    for fill, chunks in zip(fits, optimum(rooms, width, width), strict=True):
        wanted[fill.zone] += chunks
    fewest = ceil(width / len(wanted))
    return {
        zone: max(fewest, ceil(chunks - ZONE_LAG_CHUNKS_MAX)) for zone, chunks in wanted.items()
    }


def _too_few(nodes: Iterable[NodeFill], chunk_bytes: int, wanted: int) -> TooFewNodesError:
    objections = {fill.node_id: fill.objection(chunk_bytes) for fill in nodes}
    named = [f"{node_id} {objection}" for node_id, objection in objections.items() if objection]
    count = f"{len(objections) - len(named)} of {len(objections)} nodes are usable"
    message = "; ".join([f"{count}, {wanted} needed", *named[:REASONS_SHOWN_MAX]])
    if len(named) > REASONS_SHOWN_MAX:
        message += f"; and {len(named) - REASONS_SHOWN_MAX} more"
    return TooFewNodesError(message, retry_after_seconds=RETRY_AFTER_SECONDS)
