"""What is enough: to read, to survive, to be acknowledged."""

from itertools import combinations, permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twisted_store.core.ids import NodeId, Placement
from twisted_store.core.layout import placement_of
from twisted_store.core.redundancy import (
    UNREADABLE,
    losses_survived,
    losses_to_survive,
    read_plan,
    rebuild_plan,
)
from twisted_store.core.scheme import Scheme
from twisted_store.core.striping import DATA_CHUNKS

DATA = tuple(range(DATA_CHUNKS))
NODES = tuple(NodeId(f"{number:016x}") for number in range(10))


def placed(scheme: Scheme, nodes: int | None = None) -> Placement:
    """Where the chunks are with so many nodes, all that are wanted if None."""
    return placement_of(scheme, NODES[: nodes or scheme.nodes])


@pytest.mark.parametrize(
    ("scheme", "survived"),
    [
        (Scheme.PLAIN, 0),
        (Scheme.PARITY_1, 1),
        (Scheme.PARITY_2, 2),
        (Scheme.PARITY_3, 3),
        (Scheme.COPIES, 1),
    ],
)
def test_p7_each_scheme_survives_what_it_says(scheme: Scheme, survived: int) -> None:
    """And the count is that of nodes: under ``5x2`` each takes two chunks with it."""
    assert losses_survived(scheme, placed(scheme)) == scheme.losses == survived


@pytest.mark.parametrize("scheme", list(Scheme))
def test_p7_every_set_of_lost_nodes_is_judged_as_by_trial(scheme: Scheme) -> None:
    """What is survived can be read whichever nodes go, and one more node can be too many."""
    placement = placed(scheme)
    survived = losses_survived(scheme, placement)
    for losses in range(scheme.nodes + 1):
        readable = [
            read_plan(
                scheme,
                DATA,
                tuple(index for index, node in enumerate(placement) if node not in lost),
            )
            is not None
            for lost in combinations(NODES[: scheme.nodes], losses)
        ]
        assert all(readable) == (losses <= survived)


@pytest.mark.parametrize("holes", range(4))
def test_holes_cost_a_loss_each(holes: int) -> None:
    """With c chunks present any c - 5 nodes may go."""
    assert losses_survived(Scheme.PARITY_3, placed(Scheme.PARITY_3, 8 - holes)) == 3 - holes


def test_too_little_is_unreadable() -> None:
    """Four chunks are none."""
    assert losses_survived(Scheme.PARITY_1, (*NODES[:4], None, None)) == UNREADABLE
    assert losses_survived(Scheme.COPIES, (None, *NODES[:4], None, *NODES[:4])) == UNREADABLE


def test_one_node_that_holds_all_is_no_redundancy() -> None:
    """Chunks are counted by nodes."""
    assert losses_survived(Scheme.PARITY_3, (NODES[0],) * 8) == 0


@pytest.mark.parametrize(
    ("scheme", "usable", "losses"),
    [
        (Scheme.PLAIN, 9, 0),
        (Scheme.PARITY_1, 6, 1),
        (Scheme.PARITY_3, 9, 1),
        (Scheme.PARITY_2, 5, 0),
        (Scheme.COPIES, 5, 1),
        (Scheme.COPIES, 9, 1),
    ],
)
def test_p1_what_an_acknowledged_object_survives(scheme: Scheme, usable: int, losses: int) -> None:
    """6 chunks of parity unless there are but 5 nodes; all copies whatever there is."""
    assert losses_to_survive(scheme, usable) == losses


def test_the_chunks_that_are_better_are_read_first() -> None:
    """Direct ones wherever possible, others in the order given."""
    plan = read_plan(Scheme.PARITY_3, (0, 1), (6, 7, 0, 2, 3, 4, 5))
    assert plan is not None
    assert (dict(plan.direct), plan.missing, plan.sources) == ({0: 0}, (1,), (0, 6, 7, 2, 3))
    assert plan.degraded == (1,)


def test_only_what_is_wanted_is_read() -> None:
    """A range within one chunk needs no other."""
    plan = read_plan(Scheme.PARITY_2, (3,), (3,))
    assert plan is not None
    assert (dict(plan.direct), plan.sources, plan.degraded) == ({3: 3}, (), ())


def test_a_copy_stands_in_for_its_chunk() -> None:
    """Without any arithmetic."""
    plan = read_plan(Scheme.COPIES, DATA, (0, 2, 3, 4, 6))
    assert plan is not None
    assert (dict(plan.direct)[1], plan.missing, plan.degraded) == (6, (), (1,))


def test_no_node_has_both_copies_of_a_chunk() -> None:
    """Nor more than two chunks."""
    placement = placed(Scheme.COPIES)
    assert all(placement[index] != placement[index + DATA_CHUNKS] for index in DATA)
    assert {placement.count(node) for node in NODES[:DATA_CHUNKS]} == {2}


@given(scheme=st.sampled_from(list(Scheme)), data=st.data())
def test_what_can_be_read_can_be_rebuilt(scheme: Scheme, data: st.DataObject) -> None:
    """All of it, from usable chunks alone; of copies one that is there is enough for itself."""
    every = range(scheme.width)
    usable = tuple(data.draw(st.lists(st.sampled_from(every), unique=True)))
    wanted = tuple(data.draw(st.lists(st.sampled_from(every), unique=True, min_size=1)))
    plan = rebuild_plan(scheme, wanted, usable)
    alike = {scheme.generator[index] for index in usable}
    copied = all(scheme.generator[index] in alike for index in wanted)
    assert (plan is not None) == (copied or read_plan(scheme, DATA, usable) is not None)
    if plan is not None:
        assert set(plan.sources) <= set(usable)
        assert len(plan.sources) <= (len(wanted) if copied else DATA_CHUNKS)
        assert [len(row) for row in plan.matrix] == [len(plan.sources)] * len(wanted)


@pytest.mark.parametrize("index", range(10))
def test_of_copies_one_source_is_read(index: int) -> None:
    """The other one, or itself if it is there and comes first."""
    other = (index + DATA_CHUNKS) % 10
    plan = rebuild_plan(Scheme.COPIES, (index,), tuple(each for each in range(10) if each != index))
    assert plan is not None
    assert (plan.sources, plan.matrix) == ((other,), ((1,),))


def test_both_copies_are_made_of_one_source_and_several_of_several() -> None:
    """Each source is read once, in the order of the first that needs it."""
    plan = rebuild_plan(Scheme.COPIES, (6, 0, 1, 2), (5, 7, 6))
    assert plan is not None
    assert plan.sources == (6, 5, 7)
    assert plan.matrix == ((1, 0, 0), (0, 1, 0), (1, 0, 0), (0, 0, 1))


def test_copies_of_which_none_is_left_cannot_be_made() -> None:
    """Nine others do not help."""
    assert rebuild_plan(Scheme.COPIES, (0, 1), (1, 2, 3, 4, 6, 7, 8, 9)) is None


@pytest.mark.parametrize("preferred", list(permutations(range(7), 2))[:12])
def test_better_sources_are_rebuilt_from_first(preferred: tuple[int, ...]) -> None:
    """Five of them, in the order given."""
    usable = (*preferred, *(index for index in range(7) if index not in preferred))
    plan = rebuild_plan(Scheme.PARITY_3, (7,), usable)
    assert plan is not None
    assert plan.sources == usable[:DATA_CHUNKS]


def test_four_chunks_make_nothing_but_themselves() -> None:
    """A chunk that is there is its own copy."""
    assert rebuild_plan(Scheme.PARITY_2, (4,), (0, 1, 2, 3)) is None
    plan = rebuild_plan(Scheme.PARITY_2, (3,), (0, 1, 2, 3))
    assert plan is not None
    assert plan.sources == (3,)
