"""Matrices over GF(2^8): what a product is, by a reference that works bit by bit."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.test_encoding import product as multiplied
from twisted_store.core.galois import Matrix, inverted, product

numbers = st.integers(0, 255)
sizes = st.integers(1, 5)


@st.composite
def factors(draw: Any) -> tuple[Matrix, Matrix]:
    """Two matrices that fit together, of any shape."""
    rows, inner, columns = draw(st.tuples(sizes, sizes, sizes))
    left = draw(st.tuples(*[st.tuples(*[numbers] * inner)] * rows))
    right = draw(st.tuples(*[st.tuples(*[numbers] * columns)] * inner))
    return left, right


@given(factors())
def test_a_product_is_that_of_rows_and_columns(matrices: tuple[Matrix, Matrix]) -> None:
    """Each number by its definition."""
    left, right = matrices
    expected = []
    for row in left:
        sums = [0] * len(right[0])
        for factor, others in zip(row, right, strict=True):
            sums = [a ^ multiplied(factor, b) for a, b in zip(sums, others, strict=True)]
        expected.append(tuple(sums))
    assert product(left, right) == tuple(expected)


def test_golden_numbers() -> None:
    """Written down: 2 times 0x80 is 0x1d, and the order of the factors matters."""
    assert product(((2, 1),), ((0x80,), (1,))) == ((0x1C,),)
    assert product(((1, 1), (0, 1)), ((1, 0), (2, 1))) == ((3, 1), (2, 1))


@given(sizes.flatmap(lambda n: st.tuples(*[st.tuples(*[numbers] * n)] * n)))
def test_a_matrix_times_its_inverse_is_the_identity(matrix: Matrix) -> None:
    """From both sides."""
    undone = inverted(matrix)
    if undone is not None:
        size = range(len(matrix))
        identity = tuple(tuple(int(i == j) for j in size) for i in size)
        assert product(matrix, undone) == product(undone, matrix) == identity


@pytest.mark.parametrize("right", [((1,),), ((1,), (2,), (3,))])
def test_matrices_that_do_not_fit_are_refused(right: Matrix) -> None:
    """Rather than cut to what fits."""
    with pytest.raises(ValueError, match="zip"):
        product(((1, 2),), right)
