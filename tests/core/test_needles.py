"""What records make of what is known of a needle."""

import pytest

from twisted_store.core.ids import PACKED_BYTES
from twisted_store.core.needles import ALIVE, READABLE, NeedleRow, live_bytes, put
from twisted_store.core.volume import RECORD_HEAD_BYTES, NeedleState

PROVISIONAL, CONFIRMED, QUARANTINED, DEAD, GONE = NeedleState


def row(state: NeedleState = PROVISIONAL, volume: int = 3) -> NeedleRow:
    """A needle of 100 bytes."""
    return put(None, volume, 200, 100, state, 7)


@pytest.mark.parametrize(
    ("state", "next_states"),
    [
        (PROVISIONAL, {CONFIRMED, QUARANTINED, DEAD, GONE}),
        (CONFIRMED, {QUARANTINED, DEAD}),
        (QUARANTINED, {DEAD, GONE}),
        (DEAD, {GONE}),
        (GONE, set()),
    ],
)
def test_what_may_follow(state: NeedleState, next_states: set[NeedleState]) -> None:
    """A confirmed chunk leaves only by a dead mark; the dead never come back by a mark."""
    assert {each for each in NeedleState if row(state).may_become(each)} == next_states


def test_what_is_sent_and_what_a_file_is_made_of() -> None:
    """A dead chunk is still read in its grace."""
    assert set(ALIVE) == {PROVISIONAL, CONFIRMED}
    assert set(READABLE) == {PROVISIONAL, CONFIRMED, DEAD}


def test_a_first_needle() -> None:
    """Its record says all."""
    assert row() == NeedleRow(3, 200, 100, PROVISIONAL, 0, 7, 0, 0)
    assert row(DEAD).died == 7
    assert row().record_bytes == RECORD_HEAD_BYTES + 100


def test_a_needle_that_is_written_again_remembers_where_copies_may_be() -> None:
    """Those in its own volume go with it, so they do not count."""
    assert put(row(volume=3), 3, 400, 50, PROVISIONAL, 8).older == 0
    second = put(row(volume=3), 4, 400, 50, PROVISIONAL, 8)
    assert second == NeedleRow(4, 400, 50, PROVISIONAL, 0, 8, 0, 3)
    assert put(second, 4, 600, 50, PROVISIONAL, 9).older == 3
    assert put(second, 5, 600, 50, PROVISIONAL, 9).older == 4
    assert put(second._replace(volume=0), 5, 600, 50, PROVISIONAL, 9).older == 3


def test_a_mark_says_state_place_and_time() -> None:
    """The time of death is that of the first mark that meant it."""
    confirmed = row().marked(CONFIRMED, 4, 8)
    assert confirmed == row()._replace(state=CONFIRMED, mark_volume=4, sequence=8)
    dead = confirmed.marked(DEAD, 4, 9)
    assert (dead.died, dead.marked(DEAD, 5, 10).died, dead.marked(GONE, 6, 11).died) == (9, 9, 9)
    assert dead.marked(DEAD, 5, 10).mark_volume == 5


@pytest.mark.parametrize("state", NeedleState)
@pytest.mark.parametrize("mark_volume", [0, 3, 5])
def test_what_is_needed_of_volumes(state: NeedleState, mark_volume: int) -> None:
    """The needle until it is dead, and the mark while it is elsewhere."""
    needed = {3: RECORD_HEAD_BYTES + 100 if state < DEAD else 0}
    if mark_volume == 5:
        needed[5] = PACKED_BYTES
    assert dict(live_bytes(row(state)._replace(mark_volume=mark_volume))) == needed
