"""What can be done with the chunks that are there: read, survive losses, be acknowledged."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations

from twisted_store.core.galois import Matrix, inverted, product, rank
from twisted_store.core.ids import Placement
from twisted_store.core.scheme import IDENTITY, Scheme
from twisted_store.core.striping import DATA_CHUNKS

UNREADABLE = -1
"""Less than no loss is survived: too little of the object is there already."""

_CACHED_MAX = 4096


@dataclass(frozen=True, slots=True)
class ReadPlan:
    """
    Which chunks to read for some of the data chunks.

    ``direct`` has for each data chunk that some chunk holds as it is the index of that one. The
    others, ``missing``, are the rows of ``matrix`` times the chunks ``sources``, in their order.
    """

    direct: Mapping[int, int]
    missing: tuple[int, ...]
    sources: tuple[int, ...]
    matrix: Matrix

    @property
    def degraded(self) -> tuple[int, ...]:
        """The data chunks that are not read from their own place."""
        return tuple(
            sorted([*self.missing, *(data for data, index in self.direct.items() if data != index)])
        )


@lru_cache(_CACHED_MAX)
def read_plan(scheme: Scheme, wanted: tuple[int, ...], usable: tuple[int, ...]) -> ReadPlan | None:
    """
    How to read the data chunks ``wanted`` from the chunks ``usable``, the better ones first.

    None if they do not suffice.
    """
    generator = scheme.generator
    direct: dict[int, int] = {}
    missing: list[int] = []
    for data in wanted:
        holders = [index for index in usable if generator[index] == IDENTITY[data]]
        if holders:
            direct[data] = holders[0]
        else:
            missing.append(data)
    if not missing:
        return ReadPlan(direct, (), (), ())
    sources = _independent(generator, [*direct.values(), *usable])
    if len(sources) < DATA_CHUNKS:
        return None
    matrix = inverted(tuple(generator[index] for index in sources))
    assert matrix is not None, "independent rows"
    return ReadPlan(direct, tuple(missing), sources, tuple(matrix[data] for data in missing))


@dataclass(frozen=True, slots=True)
class RebuildPlan:
    """
    Which chunks to read to make others anew: those are ``matrix`` times the chunks ``sources``.

    A row of the matrix for each chunk that is made, in the order in which they were asked for.
    """

    sources: tuple[int, ...]
    matrix: Matrix


@lru_cache(_CACHED_MAX)
def rebuild_plan(
    scheme: Scheme, wanted: tuple[int, ...], usable: tuple[int, ...]
) -> RebuildPlan | None:
    """
    How to make the chunks ``wanted`` from the chunks ``usable``, the better ones first.

    From copies where there are some, else from `DATA_CHUNKS` chunks. None if they do not suffice.
    """
    generator = scheme.generator
    alike = {generator[index]: index for index in reversed(usable)}
    if all(generator[index] in alike for index in wanted):
        sources = tuple(dict.fromkeys(alike[generator[index]] for index in wanted))
        matrix = tuple(
            tuple(int(generator[index] == generator[source]) for source in sources)
            for index in wanted
        )
        return RebuildPlan(sources, matrix)
    sources = _independent(generator, usable)
    if len(sources) < DATA_CHUNKS:
        return None
    decoding = inverted(tuple(generator[index] for index in sources))
    assert decoding is not None, "independent rows"
    return RebuildPlan(sources, product(tuple(generator[index] for index in wanted), decoding))


def losses_survived(scheme: Scheme, placement: Placement) -> int:
    """
    The loss of how many of its nodes, whichever they are, an object survives.

    `UNREADABLE` if it cannot be read even with all of them. A hole in the placement is a chunk that
    is nowhere.
    """
    numbers = {node_id: number for number, node_id in enumerate(dict.fromkeys(placement))}
    return _survived(
        scheme, tuple(None if node_id is None else numbers[node_id] for node_id in placement)
    )


def losses_to_survive(scheme: Scheme, usable_nodes: int) -> int:
    """
    What an object must survive to be acknowledged (promise P1).

    One loss: so ``5+m`` needs 6 chunks, and ``5x2`` both copies of each. Where there is no sixth
    usable node at all, 5 chunks are enough.
    """
    if scheme is Scheme.COPIES:
        return 1
    return int(scheme is not Scheme.PLAIN and usable_nodes > DATA_CHUNKS)


@lru_cache(_CACHED_MAX)
def _survived(scheme: Scheme, pattern: tuple[int | None, ...]) -> int:
    """As `losses_survived`, with numbers for nodes: placements of one pattern share the answer."""
    nodes = {number for number in pattern if number is not None}
    for losses in range(len(nodes) + 1):
        for lost in combinations(nodes, losses):
            left = [
                scheme.generator[index]
                for index, number in enumerate(pattern)
                if number is not None and number not in lost
            ]
            if rank(tuple(left)) < DATA_CHUNKS:
                return losses - 1
    return UNREADABLE


def _independent(generator: Matrix, preferred: Iterable[int]) -> tuple[int, ...]:
    """The first of the chunks that tell something new each, as many as are needed at most."""
    chosen: tuple[int, ...] = ()
    for index in preferred:
        rows = tuple(generator[each] for each in (*chosen, index))
        if len(chosen) < DATA_CHUNKS and rank(rows) == len(rows):
            chosen = (*chosen, index)
    return chosen
