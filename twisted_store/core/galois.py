"""
Arithmetic of GF(2^8) with the polynomial 0x11d, on numbers and small matrices.

Addition is XOR. The same field as ISA-L's and most Reed-Solomon codes' (Plank, "A Tutorial on
Reed-Solomon Coding for Fault-Tolerance in RAID-like Systems", 1997).
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from twisted_store.core.checksums import Buffer

POLYNOMIAL = 0x11D

Matrix = tuple[tuple[int, ...], ...]
"""Rows of numbers from 0 to 255."""


class Combination(Protocol):
    """Linear combinations of buffers, byte by byte: a row of its matrix for each."""

    def add(self, column: int, source: Buffer, targets: Sequence[memoryview | bytearray]) -> None:
        """XOR ``matrix[row][column]`` times ``source`` into ``targets[row]``, as long as it."""


Combine = Callable[[Matrix], Combination]
"""Makes the combination of a matrix."""


def _powers() -> tuple[int, ...]:
    """The powers of 2, which are all numbers but 0, twice over."""
    powers, power = [], 1
    for _ in range(255):
        powers.append(power)
        power = power << 1 ^ (POLYNOMIAL if power & 0x80 else 0)
    return tuple(powers * 2)


_POWERS = _powers()
_LOGARITHMS = {power: exponent for exponent, power in enumerate(_POWERS[:255])}


def multiply(a: int, b: int) -> int:
    """The product of two numbers."""
    return _POWERS[_LOGARITHMS[a] + _LOGARITHMS[b]] if a and b else 0


def inverse(a: int) -> int:
    """What ``a`` gives 1 with; raises ZeroDivisionError for 0."""
    if not a:
        raise ZeroDivisionError("0 has no inverse")
    return _POWERS[255 - _LOGARITHMS[a]]


def rank(matrix: Matrix) -> int:
    """How many rows are independent of each other."""
    return _eliminate([list(row) for row in matrix], len(matrix[0]) if matrix else 0)


def inverted(matrix: Matrix) -> Matrix | None:
    """The inverse of a square matrix, None where there is none."""
    size = len(matrix)
    rows = [[*row, *(int(i == j) for j in range(size))] for i, row in enumerate(matrix)]
    if _eliminate(rows, size) < size:
        return None
    return tuple(tuple(row[size:]) for row in rows)


def product(left: Matrix, right: Matrix) -> Matrix:
    """The matrix product; ``left`` has as many columns as ``right`` has rows."""
    columns = tuple(zip(*right, strict=True))
    return tuple(tuple(_dot(row, column) for column in columns) for row in left)


def _dot(row: Sequence[int], column: Sequence[int]) -> int:
    total = 0
    for a, b in zip(row, column, strict=True):
        total ^= multiply(a, b)
    return total


def _eliminate(rows: list[list[int]], columns: int) -> int:
    """Bring the first ``columns`` to reduced echelon form, in place; the number of pivots."""
    pivots = 0
    for column in range(columns):
        found = next((i for i in range(pivots, len(rows)) if rows[i][column]), None)
        if found is None:
            continue
        rows[pivots], rows[found] = rows[found], rows[pivots]
        scale = inverse(rows[pivots][column])
        rows[pivots] = [multiply(scale, value) for value in rows[pivots]]
        for i, row in enumerate(rows):
            if i != pivots and row[column]:
                factor = row[column]
                rows[i] = [
                    value ^ multiply(factor, above)
                    for value, above in zip(row, rows[pivots], strict=True)
                ]
        pivots += 1
    return pivots
