"""The model of losses against brute force on small clusters, and against the page that shows it."""

from dataclasses import replace
from itertools import combinations, product
from math import comb
from pathlib import Path

import pytest

from benchmarks.loss import (
    Cluster,
    fatal_sets,
    lost_at_once,
    lost_in_a_year,
    open_sets,
    readable,
    report,
)
from twisted_store.core.scheme import Scheme

PAGE = Path(__file__).parents[2] / "docs" / "redundancy.md"


def can_be_read(scheme: Scheme, up: tuple[bool, ...]) -> bool:
    """By the words of the promise, not by the code of the product."""
    if scheme is Scheme.COPIES:  # a chunk and its copy lie on neighbours in a ring
        return all(up[i] or up[(i + 1) % 5] for i in range(5))
    return sum(up) >= 5


@pytest.mark.parametrize("scheme", list(Scheme))
def test_readable_is_the_sum_over_all_states(scheme: Scheme) -> None:
    """Of all nodes of a file."""
    total = 0.0
    for state in product((True, False), repeat=scheme.nodes):
        if can_be_read(scheme, state):
            total += 0.99 ** sum(state) * 0.01 ** (scheme.nodes - sum(state))
    assert readable(scheme) == pytest.approx(total)


@pytest.mark.parametrize(
    ("scheme", "losses", "fatal"),
    [
        (Scheme.PLAIN, 1, 5),
        (Scheme.PARITY_2, 2, 0),
        (Scheme.PARITY_2, 3, 35),
        (Scheme.COPIES, 1, 0),
        (Scheme.COPIES, 2, 5),
        (Scheme.COPIES, 3, 10),
    ],
)
def test_fatal_sets_are_counted(scheme: Scheme, losses: int, fatal: int) -> None:
    """Half of the pairs of nodes are fatal to copies."""
    assert fatal_sets(scheme, losses) == fatal


@pytest.mark.parametrize("scheme", list(Scheme))
@pytest.mark.parametrize("dead", range(5))
def test_one_set_among_others_is_lost_as_by_trial(scheme: Scheme, dead: int) -> None:
    """With every way in which so many of ten nodes can die."""
    ways = list(combinations(range(10), dead))
    lost = 0
    for gone in ways:
        state = tuple(number not in gone for number in range(scheme.nodes))
        lost += not can_be_read(scheme, state)
    cluster = Cluster(nodes=10)
    expected = 1 - (1 - lost / len(ways)) ** open_sets(cluster, scheme)
    assert lost_at_once(cluster, scheme, dead) == pytest.approx(expected)


def test_few_sets_are_lost_more_seldom() -> None:
    """That is what open placements are for."""
    few, many = Cluster(nodes=100), Cluster(nodes=100, few_sets=False)
    assert lost_at_once(few, Scheme.PARITY_2, 3) < 0.01
    assert lost_at_once(many, Scheme.PARITY_2, 3) == 1
    assert lost_at_once(many, Scheme.PARITY_2, 2) == 0


def test_a_year_is_that_of_its_rates() -> None:
    """For one node it is the failure rate itself; shorter absences help by their power."""
    alone = Cluster(nodes=5)
    assert lost_in_a_year(alone, Scheme.PLAIN) == pytest.approx(1 - 0.96**5)
    long, short = Cluster(absence_hours=100), Cluster(absence_hours=1)
    for scheme, power in ((Scheme.PARITY_1, 1), (Scheme.PARITY_2, 2), (Scheme.COPIES, 1)):
        ratio = lost_in_a_year(long, scheme) / lost_in_a_year(short, scheme)
        assert ratio == pytest.approx(100**power, rel=0.01)
    assert lost_in_a_year(replace(short, nodes=7), Scheme.PARITY_2) == pytest.approx(
        comb(7, 3) * 3 * short.rate_per_hour**3 * 8766, rel=0.01
    )


def test_the_page_shows_what_the_model_computes() -> None:
    """Every line of its tables."""
    text = PAGE.read_text()
    assert [line for line in report() if line not in text] == []
