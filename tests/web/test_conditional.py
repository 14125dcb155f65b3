"""The headers of conditional requests: RFC 9110 sections 8.8.3 and 13.1."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.web.http_headers import Headers

from twisted_store.core.conditions import NO_CONDITIONS, Conditions, EntityTag, EntityTags
from twisted_store.errors import BadRequestError
from twisted_store.web.conditional import format_etag, parse_conditions

DATE = "Sun, 06 Nov 1994 08:49:37 GMT"
SECONDS = 784111777


def conditions(**lines: str | list[str]) -> Conditions:
    """Parse headers given by their names, with underscores for dashes."""
    headers = Headers()
    for name, values in lines.items():
        for value in [values] if isinstance(values, str) else values:
            headers.addRawHeader(name.replace("_", "-").encode(), value.encode("latin-1"))
    return parse_conditions(headers)


def test_no_header_is_no_condition() -> None:
    """The ordinary request."""
    assert conditions() == NO_CONDITIONS


@pytest.mark.parametrize(
    ("value", "tags"),
    [
        ('"a"', [EntityTag("a")]),
        ('W/"a"', [EntityTag("a", weak=True)]),
        ('""', [EntityTag("")]),
        ('"a", "b"', [EntityTag("a"), EntityTag("b")]),
        ('"a","b"', [EntityTag("a"), EntityTag("b")]),
        (', "a",, W/"b" ,', [EntityTag("a"), EntityTag("b", weak=True)]),
        ('"a,b"', [EntityTag("a,b")]),
        ('"a\xe9"', [EntityTag("a\xe9")]),
        (['"a"', '"b"'], [EntityTag("a"), EntityTag("b")]),
    ],
)
def test_entity_tags_are_lists(value: str | list[str], tags: list[EntityTag]) -> None:
    """Commas may stand in tags, empty elements count for nothing, lines go together."""
    assert conditions(if_match=value).if_match == EntityTags(tuple(tags))
    assert conditions(if_none_match=value).if_none_match == EntityTags(tuple(tags))


def test_a_star_is_any_tag() -> None:
    """``If-None-Match: *`` is the create that must not overwrite."""
    assert conditions(if_none_match="*").if_none_match == EntityTags(any_tag=True)
    assert conditions(if_match=" * ").if_match == EntityTags(any_tag=True)


@pytest.mark.parametrize(
    "value",
    [
        "",
        ",",
        "a",
        '"a',
        'a"',
        '"a" "b"',
        '*, "a"',
        'w/"a"',
        '"a b"',
        '"a"b',
        "**",
        '"a"' + "," * 99 + "x",
    ],
)
def test_malformed_entity_tags_are_refused(value: str) -> None:
    """To ignore a condition that the client meant would overwrite what it wanted to keep."""
    with pytest.raises(BadRequestError, match="If-Match"):
        conditions(if_match=value)
    with pytest.raises(BadRequestError, match="If-None-Match"):
        conditions(if_none_match=value)


def test_dates_are_read() -> None:
    """Both date conditions, in whole seconds."""
    parsed = conditions(if_modified_since=DATE, if_unmodified_since=DATE)
    assert (parsed.if_modified_since, parsed.if_unmodified_since) == (SECONDS, SECONDS)


def test_malformed_dates_are_ignored() -> None:
    """Sections 13.1.3 and 13.1.4 ask for it."""
    assert conditions(if_modified_since="soon", if_unmodified_since="0") == NO_CONDITIONS


@pytest.mark.parametrize(
    ("value", "validator"),
    [('"a"', EntityTag("a")), ('W/"a"', EntityTag("a", weak=True)), (DATE, SECONDS)],
)
def test_if_range_is_one_validator(value: str, validator: EntityTag | int) -> None:
    """An entity tag or a date."""
    assert conditions(if_range=value).if_range == validator


@pytest.mark.parametrize("value", ["", "a", '"a", "b"', "*", "soon"])
def test_a_malformed_if_range_is_refused(value: str) -> None:
    """It is neither."""
    with pytest.raises(BadRequestError, match="If-Range"):
        conditions(if_range=value)


ETAGS = st.text(
    st.characters(min_codepoint=0x21, max_codepoint=0xFF).filter(lambda c: c not in '"\x7f')
)


@given(
    st.lists(ETAGS.filter(lambda text: not any(0x7F <= ord(c) < 0x80 for c in text)), min_size=1)
)
def test_every_etag_is_recognized(etags: list[str]) -> None:
    """What was sent as ETag comes back as condition."""
    value = ", ".join(map(format_etag, etags))
    assert conditions(if_match=value).if_match == EntityTags(tuple(map(EntityTag, etags)))
