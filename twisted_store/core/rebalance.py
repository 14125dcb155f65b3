"""
Which chunks to move so that nodes are filled evenly, and no more of them than must be.

The goal is the most even fill (`core.evenness`). A chunk goes from a node that holds more than
that to one that holds less, and only if neither passes its goal by it: so what is moved in all is
never more than what nodes hold above it.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from twisted_store.core.evenness import optimum, spread
from twisted_store.core.fills import NodeFill
from twisted_store.core.ids import NodeId, Placement
from twisted_store.core.layout import closed_nodes
from twisted_store.core.moves import Group, Plan

SPREAD_BEGIN = 0.05
"""Above this deviation, a part of a node's capacity, chunks are moved without being asked."""

SPREAD_END = 0.005
"""Below this one nodes count as even."""


@dataclass(frozen=True, slots=True)
class Shift:
    """Chunk ``index`` of an object goes to node ``target``."""

    index: int
    target: NodeId


def live_fills(nodes: Iterable[NodeFill], groups: Iterable[Group]) -> list[NodeFill]:
    """
    The nodes as they are filled with chunks of current objects alone.

    What nodes report includes what is dead and not yet reclaimed, so it lags behind moves.
    """
    live: Counter[NodeId] = Counter()
    for group in groups:
        for node_id in group.placement:
            if node_id is not None:
                live[node_id] += group.chunk_bytes
    return [node.grown(live[node.node_id] - node.used_bytes) for node in nodes]


def should_balance(fills: Sequence[NodeFill], width: int, balancing: bool) -> bool:
    """Whether to go on, or to begin."""
    return spread(fills, width) > (SPREAD_END if balancing else SPREAD_BEGIN)


class Balance:
    """
    How many bytes each node has above its goal, and how many below it.

    ``fills`` are all nodes with what they hold of current objects, of which those that are not
    usable keep what they have. ``width`` is the usual number of chunks of an object.
    """

    def __init__(self, fills: Sequence[NodeFill], width: int) -> None:
        usable = [fill for fill in fills if fill.usable]
        used = [min(fill.used_bytes, fill.capacity_bytes) for fill in usable]
        goals = optimum([fill.capacity_bytes for fill in usable], sum(used), width)
        self._zones = {fill.node_id: fill.zone for fill in fills}
        self._above: dict[NodeId, float] = {}
        self._below: dict[NodeId, float] = {}
        for fill, there, goal in zip(usable, used, goals, strict=True):
            side = self._above if there > goal else self._below
            side[fill.node_id] = abs(there - goal)

    @property
    def left_bytes(self) -> int:
        """What has to be moved still."""
        return int(min(sum(self._above.values()), sum(self._below.values())))

    def concerns(self, placement: Placement) -> bool:
        """Whether an object with that placement can help."""
        return self._best(placement, 1) is not None

    def take(
        self, placement: Placement, chunk_bytes: int, leaving: frozenset[NodeId] = frozenset()
    ) -> Shift | None:
        """
        What to move of an object with chunks of that size, counted as moved; None if nothing.

        Empty chunks stay: to move them would not change anything. Nothing goes to ``leaving``.
        """
        shift = self._best(placement, chunk_bytes, leaving) if chunk_bytes > 0 else None
        if shift is not None:
            source = placement[shift.index]
            assert source is not None, "a hole is nothing to move"
            self._count(source, shift.target, chunk_bytes)
        return shift

    def count(self, plan: Plan) -> None:
        """A move that is under way already."""
        for step in plan.steps:
            if step.source is not None:
                self._count(step.source, step.target, plan.manifest.chunk_bytes(step.index))

    def _count(self, source: NodeId, target: NodeId, size_bytes: int) -> None:
        for side, node_id in ((self._above, source), (self._below, target)):
            side[node_id] = max(side.get(node_id, 0.0) - size_bytes, 0.0)

    def _best(
        self, placement: Placement, chunk_bytes: int, leaving: frozenset[NodeId] = frozenset()
    ) -> Shift | None:
        """From the node that is most above to the one that is most below."""
        sources = [
            (self._above[node_id], -index)
            for index, node_id in enumerate(placement)
            if node_id is not None and self._above.get(node_id, 0.0) >= chunk_bytes
        ]
        for _, negative in sorted(sources, reverse=True):
            index = -negative
            closed = closed_nodes(placement, index) | leaving
            targets = [
                (room, node_id)
                for node_id, room in self._below.items()
                if room >= chunk_bytes
                and node_id not in closed
                and self._keeps_apart(placement, index, node_id)
            ]
            if targets:
                return Shift(index, max(targets)[1])
        return None

    def _keeps_apart(self, placement: Placement, index: int, target: NodeId) -> bool:
        """Whether no zone holds more chunks of the object than the fullest does now."""
        zones = Counter(
            self._zones.get(node_id, "") for node_id in placement if node_id is not None
        )
        most = max(zones.values())
        source = placement[index]
        if source is not None:
            zones[self._zones.get(source, "")] -= 1
        return zones[self._zones[target]] + 1 <= most
