"""Sizes: what operators write, and what they get to read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twisted_store.core.sizes import Share, format_size, parse_share, parse_size


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [
        ("0", 0),
        ("1048576", 2**20),
        ("10 B", 10),
        ("500MB", 500_000_000),
        ("2GiB", 2**31),
        ("2gib", 2**31),
        (" 1.5 TB ", 1_500_000_000_000),
        ("0.5KiB", 512),
        ("9007199254740993", 9007199254740993),
    ],
)
def test_a_size_is_read_in_the_units_people_write(text: str, size_bytes: int) -> None:
    """Binary and decimal units, whole numbers exactly."""
    assert parse_size(text) == size_bytes


@pytest.mark.parametrize("text", ["", "GiB", "-1", "1e3", "5XB", "1.MB", "2G", "1 2", "٣MB"])
def test_what_is_not_a_size_is_refused_with_an_example(text: str) -> None:
    """The message shows how to write one."""
    with pytest.raises(ValueError, match="is not a size: write it like 2GiB"):
        parse_size(text)


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1536, "1.5 KiB"),
        (2**31, "2.0 GiB"),
        (2**60, "1024.0 PiB"),
    ],
)
def test_a_size_is_written_in_the_largest_unit_it_fills(size_bytes: int, text: str) -> None:
    """Never 0.9 of something."""
    assert format_size(size_bytes) == text


@given(st.integers(0, 2**60))
def test_a_written_size_reads_back_nearly(size_bytes: int) -> None:
    """One decimal of at least 1.0 is at most 5 % off."""
    assert abs(parse_size(format_size(size_bytes)) - size_bytes) <= size_bytes * 0.05 + 1


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("5%", Share(fraction=0.05)),
        ("2.5 %", Share(fraction=0.025)),
        ("0%", Share()),
        ("10GiB", Share(size_bytes=10 * 2**30)),
    ],
)
def test_a_share_is_a_percentage_or_a_size(text: str, share: Share) -> None:
    """Both forms of --reserve."""
    assert parse_share(text) == share


def test_a_share_of_a_whole_in_bytes() -> None:
    """A fraction follows the whole, a size does not."""
    assert parse_share("5%").of(1000) == 50
    assert parse_share("70").of(1000) == 70


@pytest.mark.parametrize("text", ["101%", "-1%", "%", "half"])
def test_what_is_no_share_is_refused(text: str) -> None:
    """Percentages end at 100."""
    with pytest.raises(ValueError, match="write"):
        parse_share(text)
