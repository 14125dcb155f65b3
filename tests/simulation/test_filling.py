"""Whole lives of clusters on paper: the real placement code, simulated nodes that only count."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from random import Random

import pytest

from twisted_store.core.evenness import spread, usable_bytes
from twisted_store.core.fills import NodeFill, NodeFills
from twisted_store.core.ids import NodeId
from twisted_store.core.placement import Placer
from twisted_store.errors import TooFewNodesError

KIB, MIB, GIB = 2**10, 2**20, 2**30
OBJECT_BYTES = [4 * KIB, 4 * KIB, 64 * KIB, 256 * KIB, MIB, MIB, 4 * MIB, 16 * MIB, 64 * MIB]
CHUNK_BYTES_MAX = 64 * MIB / 5

EQUAL = [2 * GIB] * 7
UNEQUAL = [GIB, 2 * GIB, 4 * GIB, GIB, 2 * GIB, 4 * GIB, GIB]
MANY_UNEQUAL = [GIB, 2 * GIB, 4 * GIB] * 4

ZONES: dict[str, Callable[[int], str]] = {
    "one zone": lambda _: "host",
    "a zone each": str,
    "three zones": lambda number: str(number % 3),
    "five zones": lambda number: str(number % 5),
    "one large zone": lambda number: str(max(0, number - 4) % 3),
}


class Cluster:
    """Nodes that count bytes, and the placer that fills them."""

    def __init__(
        self, capacities: Sequence[int], zone: Callable[[int], str], seed: int, sizes: list[int]
    ) -> None:
        self.nodes = NodeFills()
        self.combinations: set[frozenset[NodeId]] = set()
        self._zone = zone
        self._random = Random(seed)
        self._placer = Placer(Random(seed))
        self._sizes = sizes
        self.join(capacities)

    def join(self, capacities: Sequence[int]) -> None:
        """Add empty nodes."""
        for number, capacity in enumerate(capacities, start=len(self.nodes)):
            node_id = NodeId(f"{number:016x}")
            self.nodes.put(NodeFill(node_id, self._zone(number), capacity, 0))

    def store(self) -> int:
        """Store an object of a random size; the bytes of its chunks."""
        chunk_bytes = -(-self._random.choice(self._sizes) // 5)
        placement = self._placer.choose(self.nodes, chunk_bytes).nodes
        for node_id in placement:
            self.nodes.assign(node_id, chunk_bytes)
        self.combinations.add(frozenset(placement))
        return chunk_bytes * len(placement)

    def fill(self, size_bytes: float, steps: int) -> Iterator[float]:
        """Store so many bytes; the spread after each of the equal steps."""
        stored = 0
        for step in range(1, steps + 1):
            while stored < size_bytes * step / steps:
                stored += self.store()
            yield self.spread

    @property
    def spread(self) -> float:
        """How far the fill is from the most even one."""
        return spread(self.nodes.values())

    @property
    def used_bytes(self) -> int:
        """Bytes on all nodes."""
        return sum(fill.used_bytes for fill in self.nodes.values())


def chunk_of_smallest(capacities: Sequence[int]) -> float:
    """One largest chunk as a fraction of the smallest node."""
    return CHUNK_BYTES_MAX / min(capacities)


@pytest.mark.parametrize("capacities", [EQUAL, UNEQUAL, MANY_UNEQUAL], ids=["7", "1:2:4", "12"])
@pytest.mark.parametrize("seed", range(5))
def test_fill_is_even_from_empty_to_half_full(capacities: list[int], seed: int) -> None:
    """Never further from the optimum than 1 % of capacity and one largest chunk."""
    cluster = Cluster(capacities, ZONES["one zone"], seed, OBJECT_BYTES)
    spreads = list(cluster.fill(sum(capacities) / 2, steps=100))
    assert max(spreads) <= 0.01 + chunk_of_smallest(capacities)


@pytest.mark.parametrize("zones", ZONES)
@pytest.mark.parametrize("capacities", [EQUAL, UNEQUAL], ids=["7", "1:2:4"])
def test_nodes_that_join_bring_the_fill_closer_to_even(capacities: list[int], zones: str) -> None:
    """After two empty nodes joined, each 5 % of data leave the spread no higher than before."""
    cluster = Cluster(capacities, ZONES[zones], 1, OBJECT_BYTES)
    list(cluster.fill(sum(capacities) / 2, steps=1))
    cluster.join([2 * GIB] * 2)
    before = cluster.spread
    spreads = [before, *cluster.fill(cluster.used_bytes, steps=20)]
    chunk = chunk_of_smallest(capacities)
    assert before > 0.3
    assert all(after <= earlier + chunk for earlier, after in pairwise(spreads))
    assert spreads[-1] < before / 4


def test_a_cluster_fills_to_its_usable_capacity() -> None:
    """Equal nodes end nearly full, all of them: evenness strands nothing."""
    cluster = Cluster(EQUAL, ZONES["three zones"], 2, [MIB])
    with pytest.raises(TooFewNodesError, match="of 7 nodes are usable, 5 needed; .* full: "):
        list(cluster.fill(sum(EQUAL), steps=1))
    assert cluster.used_bytes >= 0.999 * usable_bytes(EQUAL).usable_bytes


def test_a_returning_node_catches_up() -> None:
    """A node that was suspect while others filled gets its part of what comes later."""
    cluster = Cluster(EQUAL, ZONES["one zone"], 3, OBJECT_BYTES)
    first = NodeId(f"{0:016x}")
    cluster.nodes.put(replace(cluster.nodes[first], usable=False, reason="suspect: silent"))
    list(cluster.fill(sum(EQUAL) / 8, steps=1))
    assert cluster.nodes[first].used_bytes == 0
    cluster.nodes.put(replace(cluster.nodes[first], usable=True, reason=""))
    list(cluster.fill(sum(EQUAL) / 2, steps=1))
    assert cluster.spread <= 0.01 + chunk_of_smallest(EQUAL)


def test_a_hundred_nodes_fill_evenly_while_others_join() -> None:
    """100,000 objects on hosts of two nodes, of three sizes; twice, eight empty nodes join."""
    capacities = [14 * GIB, 28 * GIB, 56 * GIB] * 28
    sizes = [64 * KIB, MIB, 16 * MIB, 64 * MIB]
    cluster = Cluster(capacities, lambda number: str(number // 2), 4, sizes)
    spreads = []
    for percent in range(5, 105, 5):
        for _ in range(5_000):
            cluster.store()
        spreads.append(cluster.spread)
        if percent in (30, 60):
            cluster.join([28 * GIB] * 8)
            assert cluster.spread > 0.2
    bar = 0.01 + chunk_of_smallest(capacities)
    assert len(cluster.nodes) == 100
    assert cluster.used_bytes > 0.6 * sum(fill.capacity_bytes for fill in cluster.nodes.values())
    assert max(spreads[:12]) <= bar, "the first eight fill up while 5 % of the data are stored"
    assert max(spreads[13:]) <= bar, "the second eight have caught up with fuller nodes after 10 %"
    assert spreads[12] < 0.1
    assert len(cluster.combinations) < 6_000
