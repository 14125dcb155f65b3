"""Chunks beyond the data: what the format says they are, whatever comes in which pieces."""

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.test_striping import STRIPE, UNIT, content, cut, sizes, split
from twisted_store.coding import isal
from twisted_store.coding.tables import TableCombination
from twisted_store.core.cutting import SizedCutter, UnsizedCutter
from twisted_store.core.encoding import Code
from twisted_store.core.galois import Combine
from twisted_store.core.redundancy import read_plan, rebuild_plan
from twisted_store.core.scheme import PARITY_ROWS, Scheme
from twisted_store.core.striping import DATA_CHUNKS, Striping

schemes = st.sampled_from(list(Scheme))
LOADED = isal.load()
CODERS: list[Combine] = [TableCombination, *([] if LOADED is None else [LOADED])]


def product(a: int, b: int) -> int:
    """Multiplication in GF(2^8) modulo 0x11d, bit by bit: independent of the product's tables."""
    total = 0
    for bit in range(8):
        if b >> bit & 1:
            shifted = a << bit
            for high in range(14, 7, -1):
                if shifted >> high & 1:
                    shifted ^= 0x11D << (high - 8)
            total ^= shifted
    return total


PRODUCTS = {
    factor: bytes(product(factor, value) for value in range(256))
    for row in PARITY_ROWS
    for factor in row
}


def xor(a: bytes, b: bytes) -> bytes:
    """Of the same length."""
    return (int.from_bytes(a, "big") ^ int.from_bytes(b, "big")).to_bytes(len(a), "big")


def expected_chunks(body: bytes, scheme: Scheme) -> list[bytes]:
    """All chunks by their definition, stripe by stripe."""
    chunks = [b""] * scheme.width
    for start in range(0, len(body), STRIPE):
        stripe = body[start : start + STRIPE]
        width, longer = divmod(len(stripe), DATA_CHUNKS)
        ends = [(i + 1) * width + min(i + 1, longer) for i in range(DATA_CHUNKS)]
        units = [stripe[a:b] for a, b in zip([0, *ends], ends, strict=False)]
        padded = [unit.ljust(len(units[0]), b"\0") for unit in units]
        for index in range(scheme.width):
            if index < DATA_CHUNKS:
                chunks[index] += units[index]
            elif scheme is Scheme.COPIES:
                chunks[index] += units[index - DATA_CHUNKS]
            else:
                parity = bytes(len(padded[0]))
                for factor, unit in zip(PARITY_ROWS[index - DATA_CHUNKS], padded, strict=True):
                    parity = xor(parity, unit.translate(PRODUCTS[factor]))
                chunks[index] += parity
    return chunks


@given(scheme=schemes, size=sizes, cuts=st.lists(st.integers(0, 4 * STRIPE), max_size=6))
def test_the_chunks_are_what_the_format_says(scheme: Scheme, size: int, cuts: list[int]) -> None:
    """Of any size, in any pieces, the length known or not."""
    body, code = content(size), Code(scheme, TableCombination)
    pieces, expected = split(body, cuts), expected_chunks(body, scheme)
    assert cut(SizedCutter(Striping(size, UNIT), code), pieces, scheme.width) == expected
    assert cut(UnsizedCutter(UNIT, code), pieces, scheme.width) == expected


@given(scheme=schemes, size=sizes)
def test_chunks_beyond_the_data_are_as_long_as_their_model(scheme: Scheme, size: int) -> None:
    """So their length is known beforehand."""
    striping = Striping(size, UNIT)
    expected = expected_chunks(content(size), scheme)
    assert [len(chunk) for chunk in expected] == [
        striping.chunk_bytes(scheme.model(index)) for index in range(scheme.width)
    ]


@pytest.mark.parametrize("size", [1, 4, 6, STRIPE - 1, STRIPE + 7])
@pytest.mark.parametrize("scheme", [Scheme.PARITY_3, Scheme.COPIES])
def test_any_chunks_that_suffice_give_the_data_back(scheme: Scheme, size: int) -> None:
    """Every choice of 5 of the 8 chunks of parity, of copies those that have one of each."""
    chunks = expected_chunks(content(size), scheme)
    longest = max(map(len, chunks))
    decoded = 0
    for there in combinations(range(scheme.width), DATA_CHUNKS):
        plan = read_plan(scheme, tuple(range(DATA_CHUNKS)), there)
        enough = scheme is not Scheme.COPIES or len({i % DATA_CHUNKS for i in there}) == DATA_CHUNKS
        assert (plan is not None) == enough
        if plan is None:
            continue
        sums = [memoryview(bytearray(longest)) for _ in plan.missing]
        if plan.missing:
            combination = TableCombination(plan.matrix)
            for column, index in enumerate(plan.sources):
                targets = [each[: len(chunks[index])] for each in sums]
                combination.add(column, chunks[index], targets)
        for data, found in zip(plan.missing, sums, strict=True):
            assert found[: len(chunks[data])] == chunks[data]
        assert {data: chunks[index] for data, index in plan.direct.items()} == {
            data: chunks[data] for data in plan.direct
        }
        decoded += 1
    assert decoded == (32 if scheme is Scheme.COPIES else 56)


@given(combine=st.sampled_from(CODERS), scheme=schemes, size=sizes, data=st.data())
def test_p7_rebuilt_chunks_are_the_encoded_ones(
    combine: Combine, scheme: Scheme, size: int, data: st.DataObject
) -> None:
    """Byte for byte, whichever are wanted and whichever others there are."""
    chunks = expected_chunks(content(size), scheme)
    every = range(scheme.width)
    usable = tuple(data.draw(st.lists(st.sampled_from(every), unique=True, min_size=5)))
    wanted = tuple(data.draw(st.lists(st.sampled_from(every), unique=True, min_size=1)))
    plan = rebuild_plan(scheme, wanted, usable)
    if plan is None:
        assert scheme is Scheme.COPIES or len(usable) < DATA_CHUNKS
        return
    sums = [bytearray(max(map(len, chunks))) for _ in wanted]
    combination = combine(plan.matrix)
    for column, index in enumerate(plan.sources):
        targets = [memoryview(each)[: len(chunks[index])] for each in sums]
        combination.add(column, chunks[index], targets)
    for index, found in zip(wanted, sums, strict=True):
        assert found[: len(chunks[index])] == chunks[index]
        assert not any(found[len(chunks[index]) :])


def test_parity_goes_on_before_its_stripe_is_complete() -> None:
    """With the bytes of the last unit, so no stripe is held."""
    cutter = SizedCutter(Striping(2 * STRIPE, UNIT), Code(Scheme.PARITY_2, TableCombination))
    before = [index for index, _ in cutter.feed(bytes(4 * UNIT))]
    assert set(before) == {0, 1, 2, 3}
    after = [(index, len(part)) for index, part in cutter.feed(bytes(UNIT // 2))]
    assert after == [(4, UNIT // 2), (5, UNIT // 2), (6, UNIT // 2)]
