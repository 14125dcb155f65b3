"""In how many combinations of nodes a cluster that fills up has its objects: the product's own."""

from collections.abc import Iterable, Iterator
from functools import cache
from itertools import combinations
from math import comb
from random import Random

from twisted_store.core.fills import NodeFill, NodeFills
from twisted_store.core.ids import NodeId
from twisted_store.core.placement import OPEN_PER_NODE, SHARES_PER_NODE, Placer

SHARE_BYTES = 10**6
CHUNK_BYTES_MAX = SHARE_BYTES // 10
FILLED = 0.5


def open_at_once(nodes: int, width: int) -> int:
    """How many combinations take new objects at a time."""
    return max(1, OPEN_PER_NODE * nodes // width)


@cache
def used_combinations(nodes: int, width: int) -> frozenset[frozenset[NodeId]]:
    """Those that have objects when as many equal nodes, empty at first, are filled to half."""
    return frozenset(_filling(nodes, width))


def part_within(used: Iterable[frozenset[NodeId]], nodes: int, dead: int) -> float:
    """Which part of all sets of ``dead`` nodes lies wholly within one of the combinations."""
    covered = {
        frozenset(each) for combination in used for each in combinations(sorted(combination), dead)
    }
    return len(covered) / comb(nodes, dead)


def _filling(nodes: int, width: int) -> Iterator[frozenset[NodeId]]:
    """That of each object; chunks are up to a tenth of a share."""
    random = Random(1)
    fills, placer = NodeFills(), Placer(random)
    for number in range(nodes):
        capacity_bytes = SHARE_BYTES * SHARES_PER_NODE
        fills.put(NodeFill(NodeId(f"{number:016x}"), str(number), capacity_bytes, 0))
    left_bytes = int(nodes * SHARE_BYTES * SHARES_PER_NODE * FILLED)
    while left_bytes > 0:
        chunk_bytes = random.randint(1, CHUNK_BYTES_MAX)
        chosen = placer.choose(fills, chunk_bytes, width).nodes
        for node_id in chosen:
            fills.assign(node_id, chunk_bytes)
        left_bytes -= chunk_bytes * width
        yield frozenset(chosen)
