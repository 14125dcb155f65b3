"""Both implementations of the arithmetic: the same bytes, whatever the buffers are."""

import ctypes
import sys
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.test_encoding import product
from twisted_store.coding import isal
from twisted_store.coding.choice import best_coder
from twisted_store.coding.tables import TableCombination
from twisted_store.core.checksums import Buffer
from twisted_store.core.galois import Combine, Matrix, inverse, inverted, multiply, rank

LOADED = isal.load()
IMPLEMENTATIONS = {"tables": TableCombination, **({} if LOADED is None else {"ISA-L": LOADED})}
GOLDEN_MATRIX: Matrix = ((1, 1, 1), (143, 210, 200), (104, 245, 82))

numbers = st.integers(0, 255)
non_zero = st.integers(1, 255)


@pytest.fixture(params=list(IMPLEMENTATIONS))
def combine(request: pytest.FixtureRequest) -> Combine:
    """Each of them."""
    return IMPLEMENTATIONS[request.param]


def combined(combine: Combine, matrix: Matrix, sources: Sequence[Buffer]) -> list[bytes]:
    """The rows of the matrix times the sources."""
    targets = [bytearray(len(sources[0])) for _ in matrix]
    combination = combine(matrix)
    for column, source in enumerate(sources):
        combination.add(column, source, targets)
    return [bytes(target) for target in targets]


def reference(matrix: Matrix, sources: Sequence[Buffer]) -> list[bytes]:
    """The same, byte by byte and bit by bit."""
    rows = []
    for row in matrix:
        total = [0] * len(sources[0])
        for factor, source in zip(row, sources, strict=True):
            total = [a ^ product(factor, b) for a, b in zip(total, bytes(source), strict=True)]
        rows.append(bytes(total))
    return rows


@given(a=numbers, b=numbers)
def test_products_are_those_of_the_polynomial(a: int, b: int) -> None:
    """By a reference that works bit by bit."""
    assert multiply(a, b) == product(a, b)


@given(a=non_zero)
def test_inverses_give_one(a: int) -> None:
    """And 0 has none."""
    assert multiply(a, inverse(a)) == 1
    with pytest.raises(ZeroDivisionError):
        inverse(0)


@given(st.integers(1, 5).flatmap(lambda n: st.tuples(*[st.tuples(*[numbers] * n)] * n)))
def test_an_inverse_undoes_its_matrix(matrix: Matrix) -> None:
    """Where there is one, which is where the rows are independent."""
    undone = inverted(matrix)
    assert (undone is not None) == (rank(matrix) == len(matrix))
    if undone is not None:
        for i, row in enumerate(undone):
            for j in range(len(matrix)):
                total = 0
                for factor, above in zip(row, matrix, strict=True):
                    total ^= multiply(factor, above[j])
                assert total == (i == j)


def test_golden_bytes(combine: Combine) -> None:
    """Written down, so that no change to code and reference together goes unseen."""
    sources = [bytes([1, 2, 0x80]), bytes([3, 0, 0xFF]), bytes([7, 9, 0x53])]
    expected = ["050b2c", "a6c512", "c92812"]
    assert [row.hex() for row in reference(GOLDEN_MATRIX, sources)] == expected
    assert [row.hex() for row in combined(combine, GOLDEN_MATRIX, sources)] == expected


@pytest.mark.parametrize("size", [*range(72), 255, 256, 257, 4099])
def test_all_compute_what_the_reference_does(combine: Combine, size: int) -> None:
    """Of any length, also where vector instructions leave a rest."""
    sources = [
        bytes((7 * number + size + column) % 256 for number in range(size)) for column in range(3)
    ]
    assert combined(combine, GOLDEN_MATRIX, sources) == reference(GOLDEN_MATRIX, sources)


@given(
    rows=st.lists(st.tuples(*[numbers] * 5), min_size=1, max_size=5),
    size=st.integers(0, 3000),
    seed=st.integers(0, 2**32),
)
def test_the_implementations_agree(rows: list[tuple[int, ...]], size: int, seed: int) -> None:
    """Byte by byte, for any matrix that occurs."""
    sources = [
        bytes((seed >> column) + number * (column + 3) & 255 for number in range(size))
        for column in range(5)
    ]
    results = [combined(combine, tuple(rows), sources) for combine in IMPLEMENTATIONS.values()]
    assert all(result == results[0] for result in results)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_buffer_is_taken_wherever_it_begins(
    combine: Combine, kind: Callable[[bytes], Buffer]
) -> None:
    """Read-only or not, whole or a part of another."""
    whole = bytes(range(256)) * 3
    for start in range(17):
        source = memoryview(kind(whole))[start : start + 500]
        target = bytearray(700)
        combine(((5,),)).add(0, source, [memoryview(target)[start : start + 500]])
        expected = bytes(product(5, value) for value in whole[start : start + 500])
        assert bytes(target) == bytes(start) + expected + bytes(700 - 500 - start)


def test_sums_add_to_what_is_there(combine: Combine) -> None:
    """Twice the same is nothing."""
    target = bytearray(b"before")
    for _ in range(2):
        combine(((9,),)).add(0, b"source", [target])
    assert target == b"before"


def test_lengths_that_differ_are_refused(combine: Combine) -> None:
    """By each of them; a target must not change its size."""
    target = bytearray(8)
    with pytest.raises(ValueError, match="differ"):
        combine(((3,),)).add(0, b"abc", [target])
    with pytest.raises(ValueError, match="differ"):
        combine(((3,), (4,))).add(0, b"8 octets", [target])
    assert target == bytes(8)


isal_only = pytest.mark.skipif(LOADED is None, reason="no ISA-L for this machine")


@isal_only
def test_buffers_are_not_copied() -> None:
    """The library is given their own addresses."""
    held: list[isal._Buffer] = []
    target = bytearray(100)
    address = ctypes.addressof((ctypes.c_char * 100).from_buffer(target))
    assert isal._address(memoryview(target)[7:], isal._READ, held) == address + 7
    isal._release_buffer(held[0])
    target.append(1)  # would fail if anybody still held the bytes


@isal_only
def test_what_cannot_be_used_is_refused_and_let_go() -> None:
    """Bytes in pieces, targets that are read-only, lengths that differ, columns that are not."""
    assert LOADED is not None
    combination = LOADED(((1,), (2,)))
    target, other = bytearray(4), bytearray(4)
    with pytest.raises(BufferError):
        combination.add(0, memoryview(b"12345678")[::2], [target, other])
    with pytest.raises(BufferError):
        combination.add(0, b"1234", [target, memoryview(b"4321")])
    for column, source, targets in (
        (0, b"123", [target, other]),
        (0, b"1234", [target]),
        (0, b"1234", [target, bytearray(5)]),
        (1, b"1234", [target, other]),
    ):
        with pytest.raises(ValueError, match="column|differ"):
            combination.add(column, source, targets)
    target.append(1)
    assert target == b"\0\0\0\0\1"


@isal_only
@pytest.mark.parametrize(("size_bytes", "released"), [(16 * 2**20, True), (4096, False)])
def test_long_calls_let_other_threads_run(size_bytes: int, released: bool) -> None:
    """Another thread gets on during calls; short ones keep the lock, and are over sooner."""
    assert LOADED is not None
    source, target = bytes(size_bytes), bytearray(size_bytes)
    turns, started, ended = 0, threading.Event(), threading.Event()

    def work() -> None:
        nonlocal turns
        started.set()
        while not ended.is_set():
            turns += 1
            time.sleep(0.0001)

    combination, interval = LOADED(((7,),)), sys.getswitchinterval()
    thread = threading.Thread(target=work)
    thread.start()
    started.wait()
    sys.setswitchinterval(60)  # nobody is given the lock who does not find it free
    try:
        before = turns
        for _ in range(100):
            combination.add(0, source, [target])
        during = turns - before
    finally:
        sys.setswitchinterval(interval)
        ended.set()
        thread.join()
    assert during > 3 if released else during <= 1


@isal_only
def test_a_library_that_computes_wrong_is_not_used() -> None:
    """Nor is one that is none."""
    assert LOADED is not None

    class Wrong:
        def __init__(self, matrix: Matrix) -> None:
            self._right = TableCombination(matrix)

        def add(
            self, column: int, source: Buffer, targets: Sequence[memoryview | bytearray]
        ) -> None:
            self._right.add(column, source, targets)
            targets[0][-1] ^= 1

    assert isal.is_right(LOADED)
    assert not isal.is_right(Wrong)


def test_without_a_library_tables_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """And the operator is told what would help."""
    monkeypatch.setattr(isal, "_paths", partial(iter, ["/nowhere/libisal.so"]))
    coder = best_coder()
    assert (coder.combine, "libisal2" in coder.text) == (TableCombination, True)
