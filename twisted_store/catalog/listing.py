"""Listings: names in byte order, those behind a delimiter folded into their common prefix."""

from collections.abc import Iterator
from itertools import islice

from twisted_store.catalog.entries import ListedObject, Page
from twisted_store.database import Database

LIST_MAX = 1000
"""Files and prefixes on one page."""

_FROM = """
    SELECT name, size_bytes, etag, created_us FROM objects
    WHERE name >= ? AND name < ? ORDER BY name
"""
_ABOVE_ALL_NAMES = b"\xff"  # a byte that UTF-8 does not use


def list_page(database: Database, prefix: str, delimiter: str, after: str, limit: int) -> Page:
    """
    The files and common prefixes greater than ``after``, at most ``limit`` of them together.

    A common prefix is cut behind the first ``delimiter`` that follows ``prefix``; an empty
    delimiter cuts nothing. Prefixes stand in one order with the files, so what a prefix not
    greater than ``after`` stands for is left out too. The work is one seek for each prefix.
    """
    limit = max(1, min(limit, LIST_MAX))
    lines = _lines(database, prefix.encode(), delimiter.encode(), after.encode())
    found = list(islice(lines, limit + 1))
    shown = found[:limit]
    return Page(
        tuple(line for line in shown if isinstance(line, ListedObject)),
        tuple(line for line in shown if isinstance(line, str)),
        _position(shown[-1]) if len(found) > limit else None,
    )


def _lines(
    database: Database, prefix: bytes, delimiter: bytes, after: bytes
) -> Iterator[ListedObject | str]:
    common = _common_prefix(after, prefix, delimiter)
    start = max(prefix, after + b"\0") if common is None else _successor(common)
    end = _successor(prefix)
    while True:
        common = None
        for name, size_bytes, etag, created_us in database.execute(_FROM, (start, end)):
            common = _common_prefix(name, prefix, delimiter)
            if common is not None:
                break
            yield ListedObject(name.decode(), size_bytes, etag, created_us)
        if common is None:
            return
        yield common.decode()
        start = _successor(common)


def _common_prefix(name: bytes, prefix: bytes, delimiter: bytes) -> bytes | None:
    if not delimiter or not name.startswith(prefix):
        return None
    position = name.find(delimiter, len(prefix))
    return None if position < 0 else name[: position + len(delimiter)]


def _successor(prefix: bytes) -> bytes:
    """The first bytes in order behind all names that begin with ``prefix``."""
    if not prefix:
        return _ABOVE_ALL_NAMES
    return prefix[:-1] + bytes([prefix[-1] + 1])


def _position(line: ListedObject | str) -> str:
    return line if isinstance(line, str) else line.name
