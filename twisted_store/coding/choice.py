"""Which implementation a process uses."""

from typing import NamedTuple

from twisted_store.coding import isal
from twisted_store.coding.tables import TableCombination
from twisted_store.core.galois import Combine


class Coder(NamedTuple):
    """What makes combinations, and what to tell the operator of it."""

    combine: Combine
    text: str


def best_coder() -> Coder:
    """ISA-L where it can be loaded."""
    combine = isal.load()
    if combine is not None:
        return Coder(combine, "ISA-L")
    return Coder(TableCombination, "table look-up (slow: install pyeclib or libisal2)")
