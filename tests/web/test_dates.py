"""HTTP dates: RFC 9110 section 5.6.7."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twisted_store.web.dates import format_date, parse_date

SECONDS = 784111777


@pytest.mark.parametrize(
    "text",
    [
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994",
    ],
)
def test_the_three_formats_are_read(text: str) -> None:
    """A recipient must take all of them."""
    assert parse_date(text) == SECONDS


@pytest.mark.parametrize("text", ["", "yesterday", "784111777", "Sun, 99 Foo 1994", ","])
def test_what_is_no_date_is_none(text: str) -> None:
    """Such a header is as good as absent."""
    assert parse_date(text) is None


def test_the_preferred_format_is_written() -> None:
    """Fractions of a second are cut off: the date is never in the future."""
    assert format_date(SECONDS + 0.999) == "Sun, 06 Nov 1994 08:49:37 GMT"


@given(st.integers(0, 4_000_000_000))
def test_a_date_is_read_as_written(seconds: int) -> None:
    """Conditions compare what was sent with what is stored."""
    assert parse_date(format_date(seconds)) == seconds


@given(st.text(st.characters(max_codepoint=255)) | st.from_regex(r"\w{3}, [\d-]+ \w+ [-\d:. ]+"))
def test_no_header_breaks_the_parser(text: str) -> None:
    """A date is a number or None."""
    assert isinstance(parse_date(text), int | None)
