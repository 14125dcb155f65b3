"""Striping: promise P0, and the arithmetic that upload, download and ranges share."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twisted_store.coding.tables import TableCombination
from twisted_store.core.cutting import Cutter, SizedCutter, UnsizedCutter
from twisted_store.core.encoding import Code
from twisted_store.core.scheme import Scheme
from twisted_store.core.striping import DATA_CHUNKS, Striping

UNIT = 64 * 1024
STRIPE = DATA_CHUNKS * UNIT
TELLING = [0, 1, 4, 5, 6, UNIT, STRIPE - 1, STRIPE, STRIPE + 1, 2 * STRIPE, 3 * STRIPE + 7]

PLAIN = Code(Scheme.PLAIN, TableCombination)

sizes = st.one_of(st.sampled_from(TELLING), st.integers(0, 4 * STRIPE))
huge_sizes = st.integers(0, 2**63)
units = st.sampled_from([UNIT, 4 * UNIT, 16 * UNIT])


def content(size: int) -> bytes:
    """Bytes in which every position within a few stripes looks different from its neighbours."""
    pattern = b"".join(number.to_bytes(4, "big") for number in range(size // 4 + 1))
    return pattern[:size]


def cut(cutter: Cutter, pieces: list[bytes], width: int = DATA_CHUNKS) -> list[bytes]:
    """The ``width`` chunks that ``cutter`` makes of ``pieces``."""
    chunks = [bytearray() for _ in range(width)]
    for piece in pieces:
        for index, part in cutter.feed(piece):
            chunks[index] += part
    for index, part in cutter.end():
        chunks[index] += part
    return [bytes(chunk) for chunk in chunks]


def glue(chunks: list[bytes], striping: Striping, first: int, end: int) -> bytes:
    """The object's bytes from ``first`` to ``end``, read by the plan."""
    return b"".join(
        chunks[run.index][run.offset : run.offset + run.size_bytes]
        for run in striping.runs(first, end)
    )


def split(body: bytes, cuts: list[int]) -> list[bytes]:
    """``body`` cut at those positions."""
    edges = [0, *sorted(min(cut, len(body)) for cut in cuts), len(body)]
    return [body[start:end] for start, end in zip(edges, edges[1:], strict=False)]


@given(size=huge_sizes, unit=units)
def test_p0_every_size_gives_five_chunks_that_differ_by_at_most_one_byte(
    size: int, unit: int
) -> None:
    """P0 by arithmetic, far beyond 50 GiB."""
    striping = Striping(size, unit)
    chunks = [striping.chunk_bytes(index) for index in range(DATA_CHUNKS)]
    assert sum(chunks) == size
    assert max(chunks) - min(chunks) <= 1


@given(size=sizes, cuts=st.lists(st.integers(0, 4 * STRIPE), max_size=6))
def test_sized_and_unsized_cutters_agree_with_the_plan(size: int, cuts: list[int]) -> None:
    """However the body arrives, the chunks are the same, of the right sizes, and glue back."""
    body, striping = content(size), Striping(size, UNIT)
    pieces = split(body, cuts)
    chunks = cut(SizedCutter(striping, PLAIN), pieces)
    assert chunks == cut(UnsizedCutter(UNIT, PLAIN), pieces)
    assert [len(chunk) for chunk in chunks] == [striping.chunk_bytes(i) for i in range(DATA_CHUNKS)]
    assert glue(chunks, striping, 0, size) == body


@given(size=sizes, bounds=st.tuples(st.integers(0, 4 * STRIPE), st.integers(0, 4 * STRIPE)))
def test_a_range_reads_the_same_bytes_as_the_whole(size: int, bounds: tuple[int, int]) -> None:
    """Ranges by arithmetic."""
    body, striping = content(size), Striping(size, UNIT)
    first, end = sorted(min(bound, size) for bound in bounds)
    chunks = cut(SizedCutter(striping, PLAIN), [body])
    assert glue(chunks, striping, first, end) == body[first:end]


@given(size=huge_sizes, unit=units, position=st.integers(0, 2**63))
def test_bytes_before_a_position_add_up_to_it(size: int, unit: int, position: int) -> None:
    """The spans of the chunks cover a prefix exactly."""
    striping, position = Striping(size, unit), min(position, size)
    assert sum(striping.split(position)) == position


def test_runs_beyond_50_gib_use_64_bit_offsets() -> None:
    """The run at 60 GiB of a 64 GiB object starts where the arithmetic says."""
    unit = 1024 * 1024
    striping = Striping(64 * 2**30, unit)
    position = 60 * 2**30 + 3 * unit + 17
    run = next(striping.runs(position, position + 100))
    stripe, within = divmod(position, DATA_CHUNKS * unit)
    assert (run.index, run.offset) == (within // unit, stripe * unit + within % unit)
    assert run.size_bytes == 100


def test_an_unsized_cutter_holds_at_most_a_stripe() -> None:
    """A full stripe goes on as soon as one more byte shows that it is not the last."""
    cutter = UnsizedCutter(UNIT, PLAIN)
    assert list(cutter.feed(bytes(STRIPE))) == []
    assert sum(len(part) for _, part in cutter.feed(b"x")) == STRIPE
    assert [len(part) for _, part in cutter.end()] == [1]


@pytest.mark.parametrize(("size", "unit"), [(-1, UNIT), (1, 0), (1, 1000)])
def test_impossible_stripings_are_refused(size: int, unit: int) -> None:
    """Units that would end within a block are a mistake of the caller."""
    with pytest.raises(ValueError, match="cannot stripe"):
        Striping(size, unit)
