"""Ranges as values: RFC 9110 section 14."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twisted_store.errors import RangeNotSatisfiableError
from twisted_store.web.ranges import Range, parse_range


@pytest.mark.parametrize(
    ("header", "first", "last"),
    [
        ("bytes=0-0", 0, 0),
        ("bytes=0-9", 0, 9),
        ("bytes=0-", 0, 9),
        ("bytes=9-", 9, 9),
        ("bytes=3-5", 3, 5),
        ("bytes=3-100", 3, 9),
        ("bytes=3-" + "9" * 30, 3, 9),
        ("bytes=-1", 9, 9),
        ("bytes=-10", 0, 9),
        ("bytes=-11", 0, 9),
        ("bytes=007-008", 7, 8),
        ("Bytes=0-1", 0, 1),
        (" bytes=0-1 ", 0, 1),
    ],
)
def test_a_range_of_ten_bytes(header: str, first: int, last: int) -> None:
    """Both ends are included, and the end of the object cuts them off."""
    part = parse_range(header, 10)
    assert part == Range(first, last)
    assert part.size_bytes == last - first + 1
    assert part.content_range(10) == f"bytes {first}-{last}/10"


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "bytes",
        "bytes=",
        "bytes=-",
        "bytes=a-b",
        "bytes=1",
        "bytes=5-3",
        "bytes=20-10",
        "bytes=0-1,3-4",
        "bytes=0-1,",
        "bytes =0-1",
        "bytes= 0-1",
        "bytes=0x1-2",
        "bytes=+1-2",
        "bytes=--1",
        "bytes=²-3",
        "bytes=" + "9" * 5000 + "-",
        "lines=0-1",
        "0-1",
    ],
)
def test_what_is_no_single_range_is_ignored(header: str | None) -> None:
    """The whole object is always a right answer to it (sections 14.2 and 15.3.7.2)."""
    assert parse_range(header, 10) is None


@pytest.mark.parametrize(
    ("header", "size_bytes"),
    [
        ("bytes=10-", 10),
        ("bytes=10-20", 10),
        ("bytes=" + "9" * 30 + "-", 10),
        ("bytes=-0", 10),
        ("bytes=0-", 0),
        ("bytes=0-0", 0),
        ("bytes=-0", 0),
    ],
)
def test_a_range_beyond_the_end_is_not_satisfiable(header: str, size_bytes: int) -> None:
    """The error knows the size, for the Content-Range of the answer."""
    with pytest.raises(RangeNotSatisfiableError) as caught:
        parse_range(header, size_bytes)
    assert caught.value.size_bytes == size_bytes


def test_the_last_bytes_of_an_empty_object_are_all_of_it() -> None:
    """The range is satisfiable by section 14.1.2, but no Content-Range can express it."""
    assert parse_range("bytes=-5", 0) is None


@given(st.integers(0, 50), st.integers(0, 60), st.integers(0, 60))
def test_a_range_is_the_slice_that_python_takes(size_bytes: int, first: int, last: int) -> None:
    """Against another implementation of the same idea."""
    content = bytes(range(size_bytes))
    try:
        part = parse_range(f"bytes={first}-{last}", size_bytes)
    except RangeNotSatisfiableError:
        assert first >= size_bytes
    else:
        expected = content[first : last + 1] if first <= last else None
        assert (None if part is None else content[part.first : part.last + 1]) == expected


@given(st.text())
def test_no_header_breaks_the_parser(header: str) -> None:
    """Whatever a client sends is a range, none, or beyond the end."""
    try:
        part = parse_range(header, 10)
    except RangeNotSatisfiableError:
        return
    assert part is None or 0 <= part.first <= part.last < 10
