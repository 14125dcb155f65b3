"""Reasons and placements are counted, so that what no object has is known, and reasons go."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from twisted.python.failure import Failure

from tests.catalog.objects import (
    OTHER_PLACEMENT,
    PLACEMENT,
    if_absent,
    manifest_of,
    objects_by_placement,
)
from tests.catalog.seams import HeldCalls, WatchedOpener, now, opened, start
from twisted_store.catalog.catalog import Catalog
from twisted_store.catalog.entries import Entry, Explained
from twisted_store.catalog.rows import pack_object_id, pack_placement
from twisted_store.catalog.schema import MIGRATIONS, migrate
from twisted_store.catalog.writer import NotWrittenError
from twisted_store.core.ids import NodeId
from twisted_store.core.reasons import NO_REASONS, Reason, Reasons
from twisted_store.errors import PreconditionFailedError

REASONS = Reasons((Reason(NodeId("1" * 16), 0.25, "among the least filled"),))
OTHERS = REASONS.changed(["It rained."])


@pytest.fixture
def catalog(path: Path) -> Iterator[Catalog]:
    """Open a new catalog and close it behind the test."""
    catalog = opened(path)
    yield catalog
    now(catalog.close())


def decisions(path: Path) -> dict[str, int]:
    """How many objects have the reasons that the file holds."""
    with closing(sqlite3.connect(path)) as database:
        return dict(database.execute("SELECT reasons, objects FROM decisions").fetchall())


def test_a_batch_counts_its_rows_once(path: Path) -> None:
    """However many objects have them."""
    opener, held = WatchedOpener(), HeldCalls()
    catalog = opened(path, opener=opener, run_blocking=held)
    opener.forget()
    for number, name in enumerate("abcd"):
        start(catalog.commit(manifest_of(name, number), PLACEMENT, reasons=REASONS))
    held.run_all()
    counted = [sql.split()[1] for sql in opener.written if sql.lstrip().startswith("UPDATE")]
    assert counted == ["placements", "decisions", "meta"] * 2  # the first went alone
    assert decisions(path) == {REASONS.encoded: 4}
    start(catalog.close())
    held.run_all()


def test_reasons_stand_there_once_and_go_with_their_last_object(
    path: Path, catalog: Catalog
) -> None:
    """By overwrite or delete, with the same reasons, others or none."""
    for number, name in enumerate("abc"):
        now(catalog.commit(manifest_of(name, number), PLACEMENT, reasons=REASONS))
    now(catalog.commit(manifest_of("a", 4), OTHER_PLACEMENT, reasons=REASONS))
    assert decisions(path) == {REASONS.encoded: 3}
    now(catalog.commit(manifest_of("a", 5), PLACEMENT, reasons=OTHERS))
    now(catalog.commit(manifest_of("b", 6), PLACEMENT))
    assert decisions(path) == {REASONS.encoded: 1, OTHERS.encoded: 1}
    now(catalog.delete("c"))
    assert decisions(path) == {OTHERS.encoded: 1}
    now(catalog.delete("a"))
    now(catalog.delete("b"))
    assert decisions(path) == {}


def test_a_move_hands_its_reasons_on(path: Path, catalog: Catalog) -> None:
    """They are counted once, kept or replaced, and go with the last object that has them."""
    first, second = (*PLACEMENT[:4], OTHER_PLACEMENT[0]), (*PLACEMENT[:4], OTHER_PLACEMENT[1])
    for number, name in enumerate("ab"):
        now(catalog.commit(manifest_of(name, number), PLACEMENT, reasons=REASONS))
    now(catalog.move(manifest_of("a", 0), PLACEMENT, first))
    assert decisions(path) == {REASONS.encoded: 2}
    now(catalog.move(manifest_of("a", 0), first, second, REASONS))
    assert decisions(path) == {REASONS.encoded: 2}
    now(catalog.move(manifest_of("b", 1), PLACEMENT, first, OTHERS))
    assert decisions(path) == {REASONS.encoded: 1, OTHERS.encoded: 1}
    assert now(catalog.move(manifest_of("b", 1), PLACEMENT, second, REASONS)) is None
    assert decisions(path) == {REASONS.encoded: 1, OTHERS.encoded: 1}
    now(catalog.delete("a"))
    now(catalog.delete("b"))
    assert decisions(path) == {}


def test_what_is_refused_counts_nowhere(path: Path, catalog: Catalog) -> None:
    """It decides before it writes."""
    now(catalog.commit(manifest_of("a", 1), PLACEMENT, reasons=REASONS))
    with pytest.raises(PreconditionFailedError):
        now(catalog.commit(manifest_of("a", 2), OTHER_PLACEMENT, if_absent(), OTHERS))
    assert decisions(path) == {REASONS.encoded: 1}


def test_what_is_rolled_back_counts_nowhere(
    path: Path, expected_failures: Callable[..., list[Failure]]
) -> None:
    """And may be committed afterwards as if nothing had been."""
    opener = WatchedOpener()
    catalog = opened(path, opener=opener)
    now(catalog.commit(manifest_of("a", 1), PLACEMENT, reasons=REASONS))
    opener.failing.add("UPDATE meta")
    for again in (manifest_of("a", 2), manifest_of("b", 3)):
        with pytest.raises(NotWrittenError):
            now(catalog.commit(again, OTHER_PLACEMENT, reasons=OTHERS))
    opener.failing.clear()
    assert decisions(path) == {REASONS.encoded: 1}
    assert now(objects_by_placement(catalog)) == {PLACEMENT: 1}
    now(catalog.commit(manifest_of("a", 2), OTHER_PLACEMENT, reasons=OTHERS))
    assert decisions(path) == {OTHERS.encoded: 1}
    assert now(objects_by_placement(catalog)) == {OTHER_PLACEMENT: 1}
    assert len(expected_failures(NotWrittenError)) == 2
    now(catalog.close())


def test_a_file_of_version_1_lives_on(path: Path) -> None:
    """What it holds is found, without reasons, and is counted down as it goes."""
    manifests = [manifest_of(name, number) for number, name in enumerate("abc", 1)]
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        migrate(database, MIGRATIONS[:1])
        database.execute("INSERT INTO meta VALUES (1, ?, 1, 3, 3, 3, 300)", ("c" * 16,))
        for placement_id, placement in ((1, PLACEMENT), (2, OTHER_PLACEMENT)):
            row = (placement_id, pack_placement(placement))
            database.execute("INSERT INTO placements VALUES (?, ?)", row)
        for sequence, manifest in enumerate(manifests, 1):
            ids = (manifest.name.encode(), pack_object_id(manifest.object_id))
            listed = (manifest.size_bytes, manifest.etag, manifest.created_us)
            columns = (sequence, *ids, *listed, 2 if sequence == 3 else 1, manifest.encoded)
            database.execute("INSERT INTO objects VALUES (?, ?, ?, ?, ?, ?, ?, ?)", columns)
    catalog = opened(path)
    first = Entry(manifests[0], PLACEMENT, 1)
    assert now(catalog.explain("a")) == Explained(first, NO_REASONS)
    assert now(objects_by_placement(catalog)) == {PLACEMENT: 2, OTHER_PLACEMENT: 1}
    now(catalog.commit(manifest_of("a", 4), OTHER_PLACEMENT, reasons=REASONS))
    now(catalog.delete("b"))
    assert now(objects_by_placement(catalog)) == {OTHER_PLACEMENT: 2}
    assert decisions(path) == {REASONS.encoded: 1}
    now(catalog.close())
