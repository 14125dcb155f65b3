"""`make loss`: how probable it is to lose files, by scheme; see docs/redundancy.md."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from math import comb, exp, log1p
from pathlib import Path

# Run as a file, so its own folder is on the path; the packages are in the one above.
sys.path[0] = str(Path(__file__).parents[1])

from twisted_store.core.ids import NodeId  # noqa: E402
from twisted_store.core.placement import OPEN_PER_NODE, placement_of  # noqa: E402
from twisted_store.core.redundancy import losses_survived  # noqa: E402
from twisted_store.core.scheme import Scheme  # noqa: E402

HOURS_PER_YEAR = 8766
ANNUAL_FAILURE_RATE = 0.04
"""Of a node for good: that of a disk, about."""

NODES = 12
UP = 0.99
"""The part of the time that a node can be reached."""

ABSENCES_HOURS = (1, 24, 168)
"""How long a lost node, or what was on it, stays away."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """
    So many nodes that fail independently of each other, and come back, or are rebuilt, in time.

    ``sets`` of nodes hold objects, all schemes alike; None for objects placed at random.
    """

    nodes: int = NODES
    annual_failure_rate: float = ANNUAL_FAILURE_RATE
    absence_hours: float = 24
    few_sets: bool = True

    @property
    def rate_per_hour(self) -> float:
        """Failures of one node."""
        return -log1p(-self.annual_failure_rate) / HOURS_PER_YEAR


def fatal_sets(scheme: Scheme, losses: int) -> int:
    """How many sets of ``losses`` of an object's nodes take it with them."""
    names = [NodeId(f"{number:016x}") for number in range(scheme.nodes)]
    placement = placement_of(scheme, tuple(names))
    return sum(
        losses_survived(scheme, tuple(None if each in lost else each for each in placement)) < 0
        for lost in combinations(names, losses)
    )


def readable(scheme: Scheme, up: float = UP) -> float:
    """The probability that a file can be read while each node is up with that probability."""
    return sum(
        (comb(scheme.nodes, down) - fatal_sets(scheme, down))
        * (1 - up) ** down
        * up ** (scheme.nodes - down)
        for down in range(scheme.nodes + 1)
    )


def open_sets(cluster: Cluster, scheme: Scheme) -> int:
    """How many combinations of nodes hold objects: the open placements, which keep their nodes."""
    return max(1, OPEN_PER_NODE * cluster.nodes // scheme.nodes)


def lost_at_once(cluster: Cluster, scheme: Scheme, dead: int) -> float:
    """The probability that some file is lost when so many nodes die at once, whichever they are."""
    total = comb(cluster.nodes, dead)
    others = cluster.nodes - scheme.nodes
    fatal = sum(
        fatal_sets(scheme, among) * comb(others, dead - among)
        for among in range(min(dead, scheme.nodes) + 1)
        if dead - among <= others
    )
    if not cluster.few_sets:
        return float(fatal > 0)
    return 1 - (1 - fatal / total) ** open_sets(cluster, scheme)


def lost_in_a_year(cluster: Cluster, scheme: Scheme) -> float:
    """
    The probability that some file is lost in a year.

    Of the t + 1 nodes whose loss is fatal the last one fails while the others are away: any such
    nodes do so ``(t + 1) r (r A)^t`` times an hour, with a failure rate r and an absence A.
    """
    survived = losses_survived(scheme, placement_of(scheme, tuple(map(_node, range(scheme.nodes)))))
    deadly = survived + 1
    rate = cluster.rate_per_hour
    events = (
        comb(cluster.nodes, deadly) * deadly * rate * (rate * cluster.absence_hours) ** survived
    )
    return 1 - exp(-events * lost_at_once(cluster, scheme, deadly) * HOURS_PER_YEAR)


def report() -> Iterator[str]:
    """The tables of the page."""
    yield "| scheme | readable, nodes 99 % up |" + _heads("lost in a year, away {} h")
    yield "| --- | --- |" + " --- |" * len(ABSENCES_HOURS)
    for scheme in Scheme:
        years = [lost_in_a_year(Cluster(absence_hours=hours), scheme) for hours in ABSENCES_HOURS]
        yield f"| `{scheme}` | {readable(scheme):.5%} |" + "".join(
            f" {each:.1e} |" for each in years
        )
    yield ""
    dead_counts = (1, 2, 3, 4)
    yield "| scheme |" + "".join(f" {dead} dead |" for dead in dead_counts)
    yield "| --- |" + " --- |" * len(dead_counts)
    for scheme in Scheme:
        few = [lost_at_once(Cluster(nodes=100), scheme, dead) for dead in dead_counts]
        yield f"| `{scheme}` |" + "".join(f" {each:.2%} |" for each in few)


def _heads(text: str) -> str:
    return "".join(f" {text.format(hours)} |" for hours in ABSENCES_HOURS)


def _node(number: int) -> NodeId:
    return NodeId(f"{number:016x}")


if __name__ == "__main__":
    print("\n".join(report()))
