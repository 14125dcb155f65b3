"""What is known of a needle, and how records change it: pure."""

from collections.abc import Iterator
from typing import NamedTuple

from twisted_store.core.ids import PACKED_BYTES
from twisted_store.core.volume import RECORD_HEAD_BYTES, NeedleState

ALIVE = (NeedleState.PROVISIONAL, NeedleState.CONFIRMED)
"""What a file may be made of."""

READABLE = (*ALIVE, NeedleState.DEAD)
"""What is sent to who asks."""

_BEFORE = {
    NeedleState.PROVISIONAL: (),
    NeedleState.CONFIRMED: (NeedleState.PROVISIONAL,),
    NeedleState.QUARANTINED: ALIVE,
    NeedleState.DEAD: (*ALIVE, NeedleState.QUARANTINED),
    NeedleState.GONE: (NeedleState.PROVISIONAL, NeedleState.QUARANTINED, NeedleState.DEAD),
}
"""The states from which a mark leads to each."""


class NeedleRow(NamedTuple):
    """
    Where a chunk is, and in which state.

    Its content is ``size_bytes`` from ``offset`` on in ``volume``, which is 0 once only its marks
    are left. The last mark is in ``mark_volume``, 0 if the needle itself says its state; the last
    record of the chunk was in the batch ``sequence``, that of its death in ``died``, 0 while it
    lives. Volumes up to ``older`` may hold copies of the chunk that were written before this one; 0
    if none does.
    """

    volume: int
    offset: int
    size_bytes: int
    state: NeedleState
    mark_volume: int
    sequence: int
    died: int
    older: int

    @property
    def record_bytes(self) -> int:
        """What its needle takes in the volume."""
        return RECORD_HEAD_BYTES + self.size_bytes

    def marked(self, state: NeedleState, volume: int, sequence: int) -> "NeedleRow":
        """After a mark."""
        died = 0 if state < NeedleState.DEAD else self.died or sequence
        return self._replace(state=state, mark_volume=volume, sequence=sequence, died=died)

    def may_become(self, state: NeedleState) -> bool:
        """Whether a mark leads from this state to that one."""
        return self.state in _BEFORE[state]

    def is_reached_by(self, state: NeedleState) -> bool:
        """
        Whether a mark that is found in a volume counts.

        Those before it may be gone with their volumes, so it says where the chunk went, wherever it
        came from. But what is damaged stays so, and what has no needle stays gone.
        """
        if self.volume == 0:
            return state is NeedleState.GONE
        is_damaged = self.state is NeedleState.QUARANTINED and self.mark_volume == 0
        return not is_damaged or state >= NeedleState.QUARANTINED


def put(
    old: NeedleRow | None,
    volume: int,
    offset: int,
    size_bytes: int,
    state: NeedleState,
    sequence: int,
) -> NeedleRow:
    """The row of a needle that has been written, in place of ``old``."""
    older = 0
    if old is not None:
        older = old.older if old.volume == volume else max(old.older, old.volume)
    died = 0 if state < NeedleState.DEAD else sequence
    return NeedleRow(volume, offset, size_bytes, state, 0, sequence, died, older)


def live_bytes(row: NeedleRow) -> Iterator[tuple[int, int]]:
    """
    Of which volumes the row needs how many bytes: a needle is needed until it is dead.

    The volume of a dead one is named with 0: it must be there.
    """
    if row.volume:
        yield row.volume, row.record_bytes if row.state < NeedleState.DEAD else 0
    if row.mark_volume not in (0, row.volume):
        yield row.mark_volume, PACKED_BYTES
