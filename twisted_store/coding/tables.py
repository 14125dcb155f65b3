"""Combinations in pure Python: slow, and the same bytes as any other implementation."""

from collections.abc import Sequence

from twisted_store.core.checksums import Buffer
from twisted_store.core.galois import Matrix, multiply


class TableCombination:
    """A product is a look-up for each byte, a sum the XOR of long numbers."""

    def __init__(self, matrix: Matrix) -> None:
        self._tables = [[_products(factor) for factor in row] for row in matrix]

    def add(self, column: int, source: Buffer, targets: Sequence[memoryview | bytearray]) -> None:
        """As `Combination` has it."""
        octets = bytes(source)
        lengths = [len(target) for target in targets]
        if lengths != [len(octets)] * len(self._tables):
            raise ValueError("sources and targets differ in length or number")
        for row, target in zip(self._tables, targets, strict=True):
            product = int.from_bytes(octets.translate(row[column]), "little")
            total = int.from_bytes(target, "little") ^ product
            target[:] = total.to_bytes(len(octets), "little")


def _products(factor: int) -> bytes:
    return bytes(multiply(factor, value) for value in range(256))
