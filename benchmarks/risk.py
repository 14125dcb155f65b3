"""
How likely nodes that fail take files with them: a model by arithmetic, without any measuring.

Nodes fail independently of each other; what else is assumed stands in `docs/redundancy.md`. A
combination is the set of nodes of a placement. Its objects lie on it in every order, so under
``5x2`` any two of its nodes hold both copies of some chunk.
"""

from collections.abc import Sequence
from functools import cache
from itertools import combinations
from math import ceil, comb, expm1, log1p, log2

from twisted_store.core.ids import NodeId
from twisted_store.core.layout import placement_of
from twisted_store.core.redundancy import read_plan
from twisted_store.core.scheme import Scheme
from twisted_store.core.striping import DATA_CHUNKS

HOURS_PER_YEAR = 8766

SERIES_TERMS = 24
"""So many terms of the series of exp(x), x at most 1, leave out less than a float can tell."""

Matrix = Sequence[Sequence[float]]


@cache
def fatal_shares(scheme: Scheme) -> tuple[float, ...]:
    """Which part of all sets of 0, 1, 2 … of the nodes of an object is one too many for it."""
    placement = _placement(scheme)
    shares = []
    for lost_nodes in range(scheme.nodes + 1):
        fatal = 0
        for lost in combinations(placement[: scheme.nodes], lost_nodes):
            left = tuple(index for index, node in enumerate(placement) if node not in lost)
            fatal += read_plan(scheme, tuple(range(DATA_CHUNKS)), left) is None
        shares.append(fatal / comb(scheme.nodes, lost_nodes))
    return tuple(shares)


def zones_to_lose_one(scheme: Scheme) -> int | None:
    """In how many zones of equal size an object survives the loss of one; None if in none."""
    return ceil(scheme.nodes / scheme.losses) if scheme.losses else None


def readable(scheme: Scheme, up: float) -> float:
    """How likely an object can be read when each node is up with this probability."""
    count = scheme.nodes
    return sum(
        comb(count, down) * (1 - up) ** down * up ** (count - down) * (1 - fatal)
        for down, fatal in enumerate(fatal_shares(scheme))
    )


def lost_at_once(scheme: Scheme, nodes: int, dead: int) -> float:
    """How likely one object is lost when ``dead`` of all nodes die together."""
    fatal = fatal_shares(scheme)
    return sum(_hit(scheme, nodes, dead, hits) * fatal[hits] for hits in range(scheme.nodes + 1))


def some_lost_at_once(scheme: Scheme, nodes: int, dead: int, combinations_used: int) -> float:
    """How likely any object is lost then, when all lie in so many combinations, drawn at random."""
    fatal = sum(
        _hit(scheme, nodes, dead, hits) for hits in range(scheme.losses + 1, scheme.nodes + 1)
    )
    return any_of(combinations_used, fatal)


def lost_in_a_year(
    scheme: Scheme,
    nodes: int,
    annual_failure_rate: float,
    repair_hours: float | None,
    combinations_used: int | None = None,
) -> float:
    """
    An upper bound on the probability that any object is lost within a year.

    A node fails in a year with this probability; what it held is there again after ``repair_hours``
    on average, or never if that is None. Without ``combinations_used`` all there can be are in use.
    """
    failures = -log1p(-annual_failure_rate)
    repairs = HOURS_PER_YEAR / repair_hours if repair_hours else 0.0
    anywhere = away_at_once(nodes, scheme.losses, failures, repairs)
    if combinations_used is None:
        return anywhere
    in_one = away_at_once(scheme.nodes, scheme.losses, failures, repairs)
    return min(anywhere, any_of(combinations_used, in_one))


def away_at_once(nodes: int, losses: int, failures: float, repairs: float) -> float:
    """
    How likely, at some moment of a year, more than ``losses`` of the nodes are away together.

    A Markov chain on their number, from none on; its last state is never left. Each node that is
    there fails, and each that is away returns, so many times a year.
    """
    last = losses + 1
    rates = [[0.0] * (last + 1) for _ in range(last + 1)]
    for away in range(last):
        rates[away][away + 1] = (nodes - away) * failures
        if away:
            rates[away][away - 1] = away * repairs
    return _after(rates, 1.0)[0][last]


def any_of(count: int, probability: float) -> float:
    """How likely one of ``count`` independent events is, each of this probability."""
    return 1.0 if probability >= 1 else -expm1(count * log1p(-probability))


def _placement(scheme: Scheme) -> tuple[NodeId | None, ...]:
    return placement_of(scheme, tuple(NodeId(str(number)) for number in range(scheme.nodes)))


def _hit(scheme: Scheme, nodes: int, dead: int, hits: int) -> float:
    """How likely ``hits`` of the dead nodes are among those of one object."""
    ways = comb(scheme.nodes, hits) * comb(nodes - scheme.nodes, dead - hits) if hits <= dead else 0
    return ways / comb(nodes, dead)


def _after(rates: Matrix, years: float) -> Matrix:
    """
    Probabilities of each state (columns) after each other one (rows), by rates of change per year.

    Nothing is subtracted on the way, so that the smallest probabilities are as exact as others.
    """
    fastest = max(map(sum, rates)) * years
    halvings = max(0, ceil(log2(fastest))) if fastest > 0 else 0
    step = years / 2**halvings
    size = range(len(rates))
    moves = [[each * step for each in row] for row in rates]
    for i in size:
        moves[i][i] = max(fastest / 2**halvings - sum(moves[i]), 0.0)
    term: Matrix = [[float(i == j) for j in size] for i in size]
    total = term
    for order in range(1, SERIES_TERMS):
        term = [[each / order for each in row] for row in _product(term, moves)]
        total = [
            [a + b for a, b in zip(*both, strict=True)] for both in zip(total, term, strict=True)
        ]
    result: Matrix = [[each / sum(row) for each in row] for row in total]
    for _ in range(halvings):
        result = _product(result, result)
    return result


def _product(left: Matrix, right: Matrix) -> Matrix:
    columns = list(zip(*right, strict=True))
    return [
        [sum(a * b for a, b in zip(row, column, strict=True)) for column in columns] for row in left
    ]
