"""Small pieces are put together, large ones pass."""

from hypothesis import given
from hypothesis import strategies as st

from tests.api.world import body_of
from tests.catalog.seams import now
from twisted_store.api.gathering import GATHERED_BYTES_MIN, gathered


def pieces_of(*pieces: bytes) -> list[bytes]:
    """What comes of these."""

    async def collect() -> list[bytes]:
        return [piece async for piece in gathered(body_of(*pieces))]

    return now(collect())


@given(st.lists(st.integers(0, 3 * GATHERED_BYTES_MIN), max_size=8))
def test_the_bytes_stay_what_they_were(sizes: list[int]) -> None:
    """In order, and all pieces but the last have the least size."""
    pieces = [bytes([number]) * size for number, size in enumerate(sizes)]
    got = pieces_of(*pieces)
    assert b"".join(got) == b"".join(pieces)
    assert all(len(piece) >= GATHERED_BYTES_MIN for piece in got[:-1])


def test_a_large_piece_is_not_copied() -> None:
    """It is the very same object."""
    piece = bytes(GATHERED_BYTES_MIN)
    assert pieces_of(piece)[0] is piece


def test_many_tiny_pieces_become_few() -> None:
    """A sender of one byte per chunk costs what other senders cost."""
    assert len(pieces_of(*[b"x"] * (2 * GATHERED_BYTES_MIN + 1))) == 3
