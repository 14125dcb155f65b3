"""
How evenly nodes can be filled, and how evenly they are.

A node holds at most one chunk of an object, so of ``total_bytes`` in objects of ``width`` chunks
none can hold more than ``total_bytes / width``. Below that cap all can stand at one level, the same
fraction of their capacity, as water stands in vessels that are joined: this is the most even fill.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from twisted_store.core.fills import NodeFill

WIDTH = 5
"""Chunks per object where nothing else is said: five data chunks, no parity."""


@dataclass(frozen=True, slots=True)
class Usable:
    """
    How much a cluster can take: ``usable_bytes`` of objects out of ``raw_bytes`` of capacity.

    ``stranded_bytes`` of the capacity can never be used, and ``limit`` tells the operator why.
    """

    raw_bytes: int
    usable_bytes: int
    stranded_bytes: int
    limit: str


def optimum(capacities: Sequence[int], total_bytes: float, width: int = WIDTH) -> list[float]:
    """
    The bytes on each node, in the given order, when ``total_bytes`` of chunks lie most evenly.

    More than fits with one chunk per node and object (written before nodes went away) fills the
    small nodes, and the others hold equal amounts. Raises `ValueError` if it does not fit at all.
    """
    if total_bytes > sum(capacities):
        raise ValueError(f"{total_bytes} bytes do not fit into {sum(capacities)}")
    capped, rest_bytes = _capped(capacities, width)
    if total_bytes * (width - capped) <= width * rest_bytes:
        cap = total_bytes / width
        level = cap * (width - capped) / rest_bytes if rest_bytes else 0.0
    else:
        cap = _cap_above_full(capacities, total_bytes)
        level = 1.0
    return [min(capacity * level, cap) for capacity in capacities]


def spread(nodes: Iterable[NodeFill], width: int = WIDTH) -> float:
    """The largest distance of a usable node from the optimum, as a fraction of its capacity."""
    counted = [node for node in nodes if node.usable and node.capacity_bytes > 0]
    used = [min(node.used_bytes, node.capacity_bytes) for node in counted]
    best = optimum([node.capacity_bytes for node in counted], sum(used), width)
    return max(
        (
            abs(there - wanted) / node.capacity_bytes
            for node, there, wanted in zip(counted, used, best, strict=True)
        ),
        default=0.0,
    )


def usable_bytes(capacities: Sequence[int], width: int = WIDTH, k: float = 5) -> Usable:
    """
    How many bytes fit, and why no more.

    An object puts one share on each of ``width`` nodes, and has the bytes of ``k`` shares.
    """
    capped, rest_bytes = _capped(capacities, width)
    chunk_bytes = rest_bytes // (width - capped) if rest_bytes else 0
    stranded = sum(max(0, capacity - chunk_bytes) for capacity in capacities)
    larger = sum(capacity > chunk_bytes for capacity in capacities)
    if len(capacities) < width:
        limit = f"an object needs {width} nodes, there are {len(capacities)}"
    elif larger:
        limit = f"the small nodes limit it, {larger} larger cannot fill up"
    else:
        limit = "every node can fill up"
    return Usable(sum(capacities), int(chunk_bytes * k), stranded, limit)


def _capped(capacities: Sequence[int], width: int) -> tuple[int, int]:
    """
    How many of the largest nodes hold a chunk of every object, and the capacity of all the others.

    The others share the ``width - capped`` chunks left, level with each other, so each of them has
    at most one such share of their capacity. With fewer nodes than ``width`` nothing is left.
    """
    rest_bytes = sum(capacities)
    for capped, capacity in enumerate(sorted(capacities, reverse=True)):
        if capacity * (width - capped) <= rest_bytes:
            return capped, rest_bytes
        rest_bytes -= capacity
    return min(width - 1, len(capacities)), 0


def _cap_above_full(capacities: Sequence[int], total_bytes: float) -> float:
    """The least bound on what a node holds with which ``total_bytes`` fit, nodes below it full."""
    rest_bytes = total_bytes
    ascending = sorted(capacities)
    for full, capacity in enumerate(ascending):
        cap = rest_bytes / (len(ascending) - full)
        if capacity >= cap:
            return cap
        rest_bytes -= capacity
    return ascending[-1]
