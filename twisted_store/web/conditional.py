"""Conditional requests: the header syntax of RFC 9110 sections 8.8.3 and 13.1."""

import re

from twisted.web.http_headers import Headers

from twisted_store.core.conditions import NO_CONDITIONS, Conditions, EntityTag, EntityTags
from twisted_store.errors import BadRequestError
from twisted_store.web.dates import parse_date

_FIELDS = (
    b"If-Match",
    b"If-None-Match",
    b"If-Modified-Since",
    b"If-Unmodified-Since",
    b"If-Range",
)

_ENTITY_TAG = re.compile(r'(W/)?"([\x21\x23-\x7e\x80-\xff]*)"')
_ENTITY_TAGS = re.compile(rf"{_ENTITY_TAG.pattern}(?:[ \t]*+,[ \t]*+(?:{_ENTITY_TAG.pattern})?)*+")


def parse_conditions(headers: Headers) -> Conditions:
    """
    The preconditions among the headers of a request.

    Raises BadRequestError for a malformed entity tag; a malformed date is as good as absent, as
    sections 13.1.3 and 13.1.4 say.
    """
    if not any(map(headers.hasHeader, _FIELDS)):
        return NO_CONDITIONS
    return Conditions(
        if_match=_entity_tags(headers, "If-Match"),
        if_none_match=_entity_tags(headers, "If-None-Match"),
        if_modified_since=_date(headers, "If-Modified-Since"),
        if_unmodified_since=_date(headers, "If-Unmodified-Since"),
        if_range=_if_range(headers),
    )


def format_etag(etag: str) -> str:
    """The strong entity tag for the ETag of a manifest, as ``ETag`` and ``If-Match`` have it."""
    return f'"{etag}"'


def _entity_tags(headers: Headers, name: str) -> EntityTags | None:
    value = _value(headers, name)
    if value is None:
        return None
    if value == "*":
        return EntityTags(any_tag=True)
    if _ENTITY_TAGS.fullmatch(value) is None:
        raise BadRequestError(f'{name} is neither * nor a list of entity tags like "abc".')
    return EntityTags(tuple(_entity_tag(match) for match in _ENTITY_TAG.finditer(value)))


def _entity_tag(match: re.Match[str]) -> EntityTag:
    return EntityTag(opaque=match[2], weak=match[1] is not None)


def _if_range(headers: Headers) -> EntityTag | int | None:
    value = _value(headers, "If-Range")
    if value is None:
        return None
    match = _ENTITY_TAG.fullmatch(value)
    validator = _entity_tag(match) if match is not None else parse_date(value)
    if validator is None:
        raise BadRequestError("If-Range is neither an entity tag nor a date.")
    return validator


def _date(headers: Headers, name: str) -> int | None:
    value = _value(headers, name)
    return None if value is None else parse_date(value)


def _value(headers: Headers, name: str) -> str | None:
    lines = headers.getRawHeaders(name.encode("ascii"))
    return None if lines is None else b", ".join(lines).decode("latin-1").strip(" \t,")
