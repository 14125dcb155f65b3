"""Listings against a sorted list of names."""

import sqlite3
from collections.abc import Iterator

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.catalog.objects import PLACEMENT, manifest_of
from twisted_store.catalog.entries import Page
from twisted_store.catalog.listing import LIST_MAX, list_page
from twisted_store.catalog.rows import ObjectRow
from twisted_store.catalog.schema import migrate
from twisted_store.catalog.transaction import Counters, Transaction
from twisted_store.core.conditions import NO_CONDITIONS
from twisted_store.core.reasons import NO_REASONS
from twisted_store.database import Database

# Few letters, so that names share prefixes; UTF-8 orders the last two unlike UTF-16 does.
LETTERS = "a/\x00.\x7f\u00e9\uffff\U0001f600"
texts = st.text(st.sampled_from(LETTERS), max_size=5)


def catalog_of(names: set[str]) -> sqlite3.Connection:
    """A database that holds objects of these names."""
    database = sqlite3.connect(":memory:", isolation_level=None)
    migrate(database)
    database.execute("INSERT INTO meta VALUES (1, 'c', 1, 0, 0, 0, 0)")
    transaction = Transaction(database, Counters(0, 0, 0))
    for number, name in enumerate(names):
        row = ObjectRow.pack(manifest_of(name, number), PLACEMENT, NO_REASONS, auto=True)
        transaction.store(row, NO_CONDITIONS)
    return database


def expected_lines(names: set[str], prefix: str, delimiter: str, after: str) -> list[str]:
    """The lines of a listing, by the definition: fold, then sort, then cut."""
    lines = set()
    for name in names:
        if name.startswith(prefix):
            head, cut, _ = name[len(prefix) :].partition(delimiter) if delimiter else (name, "", "")
            lines.add(prefix + head + cut if cut else name)
    return sorted((line for line in lines if line.encode() > after.encode()), key=str.encode)


class Ticks:
    """Counts the steps of SQLite's machine."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> int:
        """Take one step, and go on."""
        self.count += 1
        return 0


def lines_of(page: Page) -> list[str]:
    """Files and prefixes of a page in one order."""
    return sorted([*(file.name for file in page.files), *page.prefixes], key=str.encode)


def pages(
    database: Database, prefix: str, delimiter: str, after: str, limit: int
) -> Iterator[Page]:
    """All pages, one after the other."""
    page = list_page(database, prefix, delimiter, after, limit)
    yield page
    while page.next is not None:
        assert page.next.encode() > after.encode()  # else there would be no end
        after = page.next
        page = list_page(database, prefix, delimiter, after, limit)
        yield page


@given(
    st.sets(st.text(st.sampled_from(LETTERS), min_size=1, max_size=6), max_size=30),
    texts,
    st.sampled_from(["", "/", "a", "\u00e9", "//", "/."]),
    texts,
    st.integers(1, 5),
)
@example({"a/b", "a/c", "a0"}, "", "/", "a/b", 1)
@example({"a/", "a//", "a"}, "a/", "/", "", 1)
def test_pages_give_everything_exactly_once(
    names: set[str], prefix: str, delimiter: str, after: str, limit: int
) -> None:
    """To the last page, in order, no page longer than asked for and none empty but the only one."""
    database = catalog_of(names)
    found = []
    for page in pages(database, prefix, delimiter, after, limit):
        lines = lines_of(page)
        assert len(lines) <= limit
        assert lines or page.next is None
        found += lines
    assert found == expected_lines(names, prefix, delimiter, after)
    database.close()


def test_a_file_is_listed_with_what_a_listing_tells() -> None:
    """Size, ETag and time are those of its manifest."""
    database = catalog_of({"a"})
    [file] = list_page(database, "", "", "", 10).files
    manifest = manifest_of("a", 0)
    assert (file.name, file.size_bytes) == ("a", manifest.size_bytes)
    assert (file.etag, file.created_us) == (manifest.etag, manifest.created_us)
    database.close()


@pytest.mark.parametrize("limit", [LIST_MAX, LIST_MAX + 1, 10**9])
def test_a_page_has_a_limit_of_its_own(limit: int) -> None:
    """However much is asked for, one call does a bounded amount of work."""
    database = catalog_of({f"{number:04}" for number in range(LIST_MAX + 1)})
    page = list_page(database, "", "", "", limit)
    assert len(page.files) == LIST_MAX
    assert page.next == f"{LIST_MAX - 1:04}"
    database.close()


def test_a_common_prefix_costs_a_seek_and_no_walk() -> None:
    """The number of names behind a prefix does not matter."""
    steps = {}
    for count in (10, 1000):
        database = catalog_of({f"{letter}/{number}" for letter in "abc" for number in range(count)})
        ticks = Ticks()
        database.set_progress_handler(ticks, 1)
        assert list_page(database, "", "/", "", 10).prefixes == ("a/", "b/", "c/")
        steps[count] = ticks.count
        database.close()
    assert steps[1000] == steps[10]
