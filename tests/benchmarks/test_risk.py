"""Tests of `benchmarks.risk`, against going through every case of a small cluster."""

from collections.abc import Sequence
from itertools import combinations, permutations, product
from math import comb, exp

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.risk import (
    any_of,
    away_at_once,
    fatal_shares,
    lost_at_once,
    lost_in_a_year,
    readable,
    some_lost_at_once,
    zones_to_lose_one,
)
from twisted_store.core.scheme import Scheme

NODES = 8
PROTECTED = [scheme for scheme in Scheme if scheme is not Scheme.PLAIN]

RATES = st.floats(0.001, 2)
REPAIRS = st.floats(0, 10_000)


def is_lost(scheme: Scheme, nodes: Sequence[int], dead: frozenset[int]) -> bool:
    """By the rule in words: more than m of them, or under ``5x2`` two neighbours in the ring."""
    if scheme is Scheme.COPIES:
        return any({nodes[i], nodes[(i + 1) % 5]} <= dead for i in range(5))
    return len(dead.intersection(nodes)) > int(scheme[-1])


def sets_of(size: int) -> list[frozenset[int]]:
    """All sets of so many nodes of the small cluster."""
    return [frozenset(each) for each in combinations(range(NODES), size)]


@pytest.mark.parametrize("scheme", Scheme)
def test_fatal_sets_are_those_of_the_rule(scheme: Scheme) -> None:
    """Counted one by one; five of the ten pairs under ``5x2``."""
    nodes = range(scheme.nodes)
    for count, share in enumerate(fatal_shares(scheme)):
        lost = [is_lost(scheme, nodes, frozenset(each)) for each in combinations(nodes, count)]
        assert share == sum(lost) / len(lost)
    assert fatal_shares(Scheme.COPIES) == (0, 0, 0.5, 1, 1, 1)


@pytest.mark.parametrize("scheme", Scheme)
def test_readable_is_the_sum_over_all_states(scheme: Scheme) -> None:
    """Every node up or down, each state with its probability."""
    total = 0.0
    for states in product([True, False], repeat=scheme.nodes):
        down = frozenset(number for number, up in enumerate(states) if not up)
        if not is_lost(scheme, range(scheme.nodes), down):
            total += 0.9 ** (scheme.nodes - len(down)) * 0.1 ** len(down)
    assert readable(scheme, 0.9) == pytest.approx(total, rel=1e-12)


@pytest.mark.parametrize("scheme", Scheme)
@pytest.mark.parametrize("dead", range(NODES + 1))
def test_one_object_among_nodes_that_die_together(scheme: Scheme, dead: int) -> None:
    """Every set of dead nodes against one object: where it lies makes no difference then."""
    lost = [is_lost(scheme, range(scheme.nodes), each) for each in sets_of(dead)]
    assert lost_at_once(scheme, NODES, dead) == pytest.approx(sum(lost) / len(lost))


@pytest.mark.parametrize("scheme", Scheme)
@pytest.mark.parametrize("dead", range(NODES + 1))
def test_any_object_in_two_combinations(scheme: Scheme, dead: int) -> None:
    """Every set of dead nodes against every two combinations, with objects in every order."""
    used = sets_of(scheme.nodes)
    fatal = 0
    for gone in sets_of(dead):
        hit = sum(
            any(is_lost(scheme, order, gone) for order in _orders(scheme, each)) for each in used
        )
        fatal += len(used) ** 2 - (len(used) - hit) ** 2
    wanted = fatal / comb(NODES, dead) / len(used) ** 2
    # Their two draws are independent for given dead nodes, and equally likely whichever died.
    assert some_lost_at_once(scheme, NODES, dead, 2) == pytest.approx(wanted)


@pytest.mark.parametrize("combinations_used", [1, 3])
@pytest.mark.parametrize("scheme", [Scheme.PARITY_1, Scheme.PARITY_2, Scheme.COPIES])
def test_a_year_is_bounded_tightly(scheme: Scheme, combinations_used: int) -> None:
    """The exact chain on all 256 sets of absent nodes: never above the bound, and near it."""
    used = sets_of(scheme.nodes)[:: len(sets_of(scheme.nodes)) // 3][:combinations_used]
    exact = _exact_year(used, scheme.losses, failures=0.2, repairs=12.0)
    rate = 1 - exp(-0.2)
    bound = lost_in_a_year(scheme, NODES, rate, 8766 / 12, combinations_used)
    assert exact <= bound * (1 + 1e-9)
    assert bound == pytest.approx(exact, rel=1e-9 if combinations_used == 1 else 0.75)


@pytest.mark.parametrize("scheme", Scheme)
def test_a_year_with_all_combinations_in_use_is_exact(scheme: Scheme) -> None:
    """Then any set of nodes that is too large takes something with it."""
    exact = _exact_year(sets_of(scheme.nodes), scheme.losses, failures=0.2, repairs=12.0)
    assert lost_in_a_year(scheme, NODES, 1 - exp(-0.2), 8766 / 12) == pytest.approx(exact)


@given(st.integers(5, 40), st.integers(0, 3), RATES)
def test_without_repair_it_is_a_binomial(nodes: int, losses: int, failures: float) -> None:
    """So many nodes that have not failed by the end of the year, however small the rest is."""
    gone = 1 - exp(-failures)
    more = sum(
        comb(nodes, away) * gone**away * (1 - gone) ** (nodes - away)
        for away in range(losses + 1, nodes + 1)
    )
    assert away_at_once(nodes, losses, failures, 0) == pytest.approx(more, rel=1e-9, abs=0)


def test_rare_losses_have_all_their_digits() -> None:
    """With fast repair, the rate of loss by hand: three absent of seven, each for an hour."""
    failures, repairs = 0.04, 8766.0
    rate = 7 * failures * (6 * failures / repairs) * (5 * failures / (2 * repairs))
    assert away_at_once(7, 2, failures, repairs) == pytest.approx(rate, rel=1e-3, abs=0)


@given(st.integers(8, 60), RATES, REPAIRS, st.floats(1.01, 10))
def test_more_parity_and_faster_repair_lose_less(
    nodes: int, failures: float, repairs: float, factor: float
) -> None:
    """And more nodes lose more, some file being on each set of them."""
    base = away_at_once(nodes, 2, failures, repairs)
    assert 0 <= base <= 1 + 1e-9
    slack = 1 + 1e-9
    assert away_at_once(nodes, 3, failures, repairs) <= base * slack
    assert away_at_once(nodes, 2, failures, repairs * factor) <= base * slack
    assert base <= away_at_once(nodes + 1, 2, failures, repairs) * slack


@given(st.sampled_from(list(Scheme)), st.integers(8, 30), st.integers(0, 8), st.integers(1, 500))
def test_more_combinations_lose_something_more_often(
    scheme: Scheme, nodes: int, dead: int, count: int
) -> None:
    """Any of them is at least as likely as a given object, and more of them at least as likely."""
    few = some_lost_at_once(scheme, nodes, dead, count)
    assert lost_at_once(scheme, nodes, dead) <= few * (1 + 1e-9)
    assert few <= some_lost_at_once(scheme, nodes, dead, count + 1) <= 1


def test_any_of_many() -> None:
    """Certain with one that is certain, and exact for what a float would round away."""
    assert any_of(3, 1.0) == 1
    assert any_of(3, 0.5) == 0.875
    assert any_of(1000, 1e-20) == pytest.approx(1e-17, rel=1e-9, abs=0)


@pytest.mark.parametrize("scheme", PROTECTED)
def test_zones_are_as_few_as_survive_one(scheme: Scheme) -> None:
    """With one less, some zone holds more of an object than may go."""
    zones = zones_to_lose_one(scheme)
    assert zones is not None
    assert -(-scheme.nodes // zones) <= scheme.losses < -(-scheme.nodes // (zones - 1))


def test_no_zones_help_what_survives_nothing() -> None:
    """Every chunk of ``5+0`` is needed."""
    assert zones_to_lose_one(Scheme.PLAIN) is None


def _orders(scheme: Scheme, nodes: frozenset[int]) -> list[tuple[int, ...]]:
    """In which orders objects lie on the nodes, as far as that makes a difference."""
    first, *others = sorted(nodes)
    if scheme is Scheme.COPIES:
        return [(first, *rest) for rest in permutations(others)]
    return [(first, *others)]


def _exact_year(
    used: Sequence[frozenset[int]], losses: int, failures: float, repairs: float
) -> float:
    """Probability that more than ``losses`` of one of the combinations are away together."""
    every = [each for size in range(NODES + 1) for each in sets_of(size)]
    fatal = {each for each in every if any(len(each & nodes) > losses for nodes in used)}
    pace = NODES * max(failures, repairs)
    now, weight, survive = {frozenset[int](): 1.0}, exp(-pace), 0.0
    for jumps in range(1, int(4 * pace) + 100):
        survive += weight * sum(now.values())
        weight *= pace / jumps
        after: dict[frozenset[int], float] = {}
        for away, probability in now.items():
            stay = 1.0
            for node in range(NODES):
                chance = (repairs if node in away else failures) / pace
                stay -= chance
                changed = away ^ {node}
                if changed not in fatal:
                    after[changed] = after.get(changed, 0.0) + probability * chance
            after[away] = after.get(away, 0.0) + probability * stay
        now = after
    return 1 - survive
