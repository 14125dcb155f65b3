"""Request targets and queries as values."""

from urllib.parse import quote, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twisted_store.errors import BadRequestError
from twisted_store.web.targets import QUERY_PARAMETERS_MAX, parse_query, split_target

TAILS = (b"/files/",)


@given(st.binary(), st.sampled_from(["", "/", "/.~_-"]))
def test_every_name_survives_its_escapes(name: bytes, safe: str) -> None:
    """Whatever a client escapes, the tail is the name."""
    uri = b"/files/" + quote(name, safe=safe).encode("ascii")
    target = split_target(uri + b"?a=b", TAILS)
    assert (target.segments, target.tail) == ((b"files", b"NAME"), name)
    assert target.query == b"a=b"


def test_other_paths_are_segments() -> None:
    """Each is decoded on its own, so that the router sees what the client meant."""
    target = split_target(b"/nodes/%61b/ask?", TAILS)
    assert target.segments == (b"nodes", b"ab", b"ask")
    assert (target.tail, target.query) == (b"", b"")


@given(st.dictionaries(st.text(), st.text(), max_size=QUERY_PARAMETERS_MAX))
def test_every_query_is_read_back(parameters: dict[str, str]) -> None:
    """Any text may be a value."""
    assert parse_query(urlencode(parameters).encode("ascii")) == parameters


@pytest.mark.parametrize(
    ("query", "parameters"),
    [
        (b"", {}),
        (b"a", {"a": ""}),
        (b"a=", {"a": ""}),
        (b"a=b=c", {"a": "b=c"}),
        (b"a=b+c%2B", {"a": "b c+"}),
        (b"a=1;b=2", {"a": "1;b=2"}),
        (b"prefix=a/b&limit=1", {"prefix": "a/b", "limit": "1"}),
    ],
)
def test_a_query_is_pairs(query: bytes, parameters: dict[str, str]) -> None:
    """Only ``&`` separates and only the first ``=`` divides."""
    assert parse_query(query) == parameters


@pytest.mark.parametrize(
    "query",
    [b"a=1&a=2", b"a=%", b"%zz=1", b"a=%ff", b"&".join(b"%d=" % i for i in range(17)), b"&&"],
)
def test_a_query_that_is_ambiguous_or_malformed_is_refused(query: bytes) -> None:
    """It is better to ask again than to take one of two answers."""
    with pytest.raises(BadRequestError):
        parse_query(query)
