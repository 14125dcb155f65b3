"""Schemes: the matrix that is the format, and which one a new object gets."""

from itertools import combinations

import pytest

from twisted_store.core.galois import inverted
from twisted_store.core.scheme import (
    AUTO,
    IDENTITY,
    Scheme,
    SchemeRules,
    parse_choice,
    scheme_of,
    target_scheme,
)
from twisted_store.core.striping import DATA_CHUNKS


def test_the_generator_is_the_one_of_the_format() -> None:
    """Numbers that stored parity was made with."""
    assert Scheme.PARITY_3.generator == (
        (1, 0, 0, 0, 0),
        (0, 1, 0, 0, 0),
        (0, 0, 1, 0, 0),
        (0, 0, 0, 1, 0),
        (0, 0, 0, 0, 1),
        (1, 1, 1, 1, 1),
        (143, 210, 200, 245, 142),
        (104, 245, 82, 143, 244),
    )
    assert Scheme.COPIES.generator == IDENTITY * 2


def test_every_choice_of_five_rows_is_invertible() -> None:
    """So any 5 chunks are enough."""
    rows = Scheme.PARITY_3.generator
    assert all(inverted(choice) is not None for choice in combinations(rows, DATA_CHUNKS))


def test_a_higher_m_only_adds_chunks() -> None:
    """So an object can be upgraded by adding to it."""
    parity = [Scheme.PLAIN, Scheme.PARITY_1, Scheme.PARITY_2, Scheme.PARITY_3]
    for number, scheme in enumerate(parity):
        assert scheme.generator == Scheme.PARITY_3.generator[: DATA_CHUNKS + number]


@pytest.mark.parametrize(
    ("scheme", "width", "nodes", "overhead"),
    [
        (Scheme.PLAIN, 5, 5, 1.0),
        (Scheme.PARITY_1, 6, 6, 1.2),
        (Scheme.PARITY_2, 7, 7, 1.4),
        (Scheme.PARITY_3, 8, 8, 1.6),
        (Scheme.COPIES, 10, 5, 2.0),
    ],
)
def test_what_a_scheme_costs(scheme: Scheme, width: int, nodes: int, overhead: float) -> None:
    """In chunks, nodes and bytes."""
    assert (scheme.width, scheme.nodes, scheme.overhead) == (width, nodes, overhead)
    assert scheme_of([None] * width) is scheme


@pytest.mark.parametrize(
    ("nodes", "scheme"), [(0, "5+0"), (5, "5+0"), (6, "5+1"), (7, "5+2"), (8, "5+2"), (99, "5+2")]
)
def test_auto_takes_as_much_parity_as_nodes_allow(nodes: int, scheme: str) -> None:
    """Up to two."""
    assert target_scheme(AUTO, nodes) == scheme
    assert target_scheme(Scheme.PARITY_3, nodes) is Scheme.PARITY_3


def test_choices_are_read_as_they_are_written() -> None:
    """And what is none is told what there is."""
    assert [parse_choice(text) for text in ("auto", "5+3", "5x2")] == [
        "auto",
        Scheme.PARITY_3,
        Scheme.COPIES,
    ]
    for text in ("", "5+4", "AUTO", "6+1", "5 + 1"):
        with pytest.raises(ValueError, match="5x2"):
            parse_choice(text)


def test_the_longest_prefix_rules() -> None:
    """In whatever order the rules are."""
    rules = SchemeRules(AUTO, (("a/b/", Scheme.COPIES), ("a/", Scheme.PARITY_1), ("a/b/c", AUTO)))
    chosen = [rules.choice(name) for name in ("x", "a/x", "a/b/x", "a/b/cx", "a")]
    assert chosen == [AUTO, Scheme.PARITY_1, Scheme.COPIES, AUTO, AUTO]
