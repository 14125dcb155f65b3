"""The index: what is written is found again; a file that is not what was written is told."""

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest

from tests.storage.bench import chunk_id
from twisted_store.core.ids import ChunkId, object_id
from twisted_store.core.needles import NeedleRow
from twisted_store.core.volume import RECORD_HEAD_BYTES, NeedleState
from twisted_store.database import Database, open_sqlite
from twisted_store.storage.directory import ChunkState, HeldChunk, order
from twisted_store.storage.disk import OsDisk
from twisted_store.storage.index import Index, Place, key_of
from twisted_store.storage.index_file import IndexDamagedError
from twisted_store.storage.index_seal import break_seal, is_sealed, seal

PLACE = Place(3, 64, 9)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the index is."""
    return tmp_path / "index.sqlite"


@pytest.fixture
def index(path: Path) -> Iterator[Index]:
    """An empty one."""
    index = Index(open_sqlite, path)
    yield index
    index.close()


def row(sequence: int = 1, state: NeedleState = NeedleState.PROVISIONAL) -> NeedleRow:
    """A needle of 100 bytes in volume 3."""
    return NeedleRow(3, 64, 100, state, 0, sequence, 0, 0)


def put(index: Index, chunk: ChunkId, new: NeedleRow | None) -> None:
    """Replace what is there."""
    index.put(chunk.packed, index.get(chunk.packed), new)


def reloaded(index: Index, path: Path) -> Index:
    """The same file, opened by the next process."""
    index.close()
    again = Index(open_sqlite, path)
    again.verify()
    return again


def test_a_row_is_found_before_and_after_it_is_written(index: Index, path: Path) -> None:
    """All of it; without being written it is gone with the process."""
    full = NeedleRow(2**40, 2**41, 2**30, NeedleState.DEAD, 2**42, 2**43, 2**44, 2**45)
    put(index, chunk_id(1), full)
    assert index.get(chunk_id(1).packed) == full
    index.write(PLACE)
    put(index, chunk_id(2), row())
    assert index.get(chunk_id(1).packed) == full
    assert (index.unwritten, index.rows) == (1, 2)
    again = reloaded(index, path)
    assert again.get(chunk_id(1).packed) == full
    assert again.get(chunk_id(2).packed) is None
    assert (again.place, again.rows, again.unwritten) == (PLACE, 1, 0)
    again.close()


def test_a_row_that_goes_is_gone_from_the_file_too(index: Index, path: Path) -> None:
    """Also one that was never written."""
    put(index, chunk_id(1), row())
    index.write(PLACE)
    put(index, chunk_id(1), None)
    put(index, chunk_id(2), row())
    put(index, chunk_id(2), None)
    assert index.get(chunk_id(1).packed) is None
    index.write(PLACE)
    again = reloaded(index, path)
    assert again.get(chunk_id(1).packed) is None
    assert (again.rows, again.page(None, 9)) == (0, [])
    again.close()


def test_live_bytes_follow_the_rows(index: Index, path: Path) -> None:
    """And outlive the process, as the compaction under way does."""
    needle_bytes = RECORD_HEAD_BYTES + 100
    put(index, chunk_id(1), row())
    put(index, chunk_id(2), row()._replace(mark_volume=4))
    assert index.live_bytes == {3: 2 * needle_bytes, 4: 17}
    put(index, chunk_id(1), row(state=NeedleState.DEAD))
    index.compacting = 2
    index.write(PLACE)
    again = reloaded(index, path)
    assert again.live_bytes == {3: needle_bytes, 4: 17}
    assert again.compacting == 2
    again.close()


def test_a_write_without_a_change_is_none(path: Path) -> None:
    """The place and the compaction are changes, too."""
    statements: list[str] = []

    def opened(path: Path, read_only: bool) -> Database:
        database = sqlite3.connect(path, isolation_level=None)
        database.set_trace_callback(statements.append)
        return database

    index = Index(opened, path)
    statements.clear()
    index.write(PLACE)
    assert statements.count("COMMIT") == 1
    index.write(PLACE)
    assert statements.count("COMMIT") == 1
    index.compacting = 1
    index.write(PLACE)
    assert statements.count("COMMIT") == 2
    index.close()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE needle SET state = 4 WHERE offset = 66",
        "UPDATE needle SET offset = 67 WHERE offset = 66",
        "DELETE FROM needle WHERE offset = 66",
        "INSERT INTO needle SELECT X'00', 1, 2, 3, 1, 0, 1, 0, 0",
        f"INSERT INTO needle SELECT X'00{chunk_id(9).packed.hex()}', 1, 2, 3, 1, 0, 1, 0, 0",
        "UPDATE needle SET offset = 133 - offset",
        "UPDATE needle SET state = 77 WHERE offset = 66",
        "UPDATE needle SET volume = 'x' WHERE offset = 66",
        "UPDATE place SET rows = rows + 1",
        "UPDATE place SET sum = sum + 1",
        "UPDATE live SET bytes = bytes + 1",
        "DELETE FROM live",
        "INSERT INTO live VALUES (9, 1)",
        "DROP TABLE needle",
        "DELETE FROM place",
        "INSERT INTO place SELECT * FROM place",
        "UPDATE place SET sum = 'x'",
        "PRAGMA user_version = 7",
    ],
)
def test_a_file_that_is_not_what_was_written_is_told(
    index: Index, path: Path, statement: str
) -> None:
    """Whatever is missing, added or changed."""
    for number in range(4):
        put(index, chunk_id(number), row()._replace(offset=64 + number))
    index.write(PLACE)
    index.close()
    database = open_sqlite(path, False)
    database.execute(statement)
    database.close()
    with pytest.raises(IndexDamagedError):
        Index(open_sqlite, path).verify()


@pytest.mark.parametrize("raw", [b"garbage" * 1000, b"SQLite format 3\0" + bytes(5000)])
def test_garbage_is_no_index(path: Path, raw: bytes) -> None:
    """From its first byte on."""
    path.write_bytes(raw)
    with pytest.raises(IndexDamagedError):
        Index(open_sqlite, path)


def test_an_older_file_is_sound(index: Index, path: Path, tmp_path: Path) -> None:
    """It tells its own place."""
    put(index, chunk_id(1), row())
    index.write(PLACE)
    index.close()
    old = path.read_bytes()
    again = Index(open_sqlite, path)
    put(again, chunk_id(2), row())
    again.write(Place(3, 128, 10))
    again.close()
    path.write_bytes(old)
    older = Index(open_sqlite, path)
    older.verify()
    assert (older.place, older.rows) == (PLACE, 1)
    older.close()


CHUNKS = [ChunkId(object_id(1, 2, Random(seed).getrandbits(48)), seed % 3) for seed in range(40)]


@pytest.mark.parametrize("seed", range(8))
def test_pages_are_in_the_order_of_chunk_files(index: Index, seed: int) -> None:
    """Of what is written and what is in memory, of what is gone and what was replaced."""
    random = Random(seed)
    known: dict[ChunkId, NeedleRow] = {}
    for sequence in range(120):
        chunk = random.choice(CHUNKS)
        if random.random() < 0.3:
            known.pop(chunk, None)
            put(index, chunk, None)
        else:
            known[chunk] = row(sequence)
            put(index, chunk, row(sequence))
        if random.random() < 0.05:
            index.write(PLACE)
    for limit in (1, 3, 100):
        found: list[tuple[bytes, NeedleRow]] = []
        while page := index.page(found[-1][0] if found else None, limit):
            assert len(page) <= limit
            found += page
        wanted = sorted(known, key=lambda each: key_of(each.packed))
        assert [packed for packed, _ in found] == [each.packed for each in wanted]
        assert dict(found) == {chunk.packed: row for chunk, row in known.items()}


def test_the_order_is_that_of_chunk_files() -> None:
    """Both are listed together."""
    by_key = sorted(CHUNKS, key=lambda each: key_of(each.packed))
    held = [HeldChunk(each, ChunkState.CONFIRMED, 1) for each in CHUNKS]
    assert by_key == [each.chunk_id for each in sorted(held, key=order)]


def test_what_is_not_settled_is_found_by_its_state(index: Index) -> None:
    """At start, when all is in the file."""
    for number, state in enumerate(NeedleState):
        put(index, chunk_id(number), row(state=state))
    index.write(PLACE)
    assert list(index.in_state(NeedleState.PROVISIONAL)) == [chunk_id(0).packed]
    assert list(index.in_state(NeedleState.QUARANTINED)) == [chunk_id(2).packed]


def test_what_touches_a_volume_is_found(index: Index) -> None:
    """By its needle or by its last mark, page by page."""
    put(index, chunk_id(1), row())
    put(index, chunk_id(2), row()._replace(volume=4))
    put(index, chunk_id(3), row()._replace(volume=4, mark_volume=3))
    index.write(PLACE)
    wanted = [chunk_id(1).packed, chunk_id(3).packed]
    assert index.touching(3, None, 9) == wanted
    assert index.touching(3, None, 1) == wanted[:1]
    assert index.touching(3, wanted[0], 9) == wanted[1:]


def test_recent_rows_are_found_by_the_batch(index: Index) -> None:
    """Those that a failed sync may have cost."""
    put(index, chunk_id(1), row(5))
    put(index, chunk_id(2), row(6))
    put(index, chunk_id(3), row(7))
    put(index, chunk_id(3), None)
    assert index.recent_since(5) == [chunk_id(2).packed]


@pytest.mark.parametrize(
    ("change", "fits"),
    [
        (lambda path: None, True),
        (lambda path: path.write_bytes(path.read_bytes() + b"x"), False),
        (lambda path: path.write_bytes(b"y" + path.read_bytes()[1:]), False),
        (lambda path: path.unlink(), False),
        (lambda path: break_seal(OsDisk(), str(path)), False),
        (lambda path: Path(f"{path}.seal").write_bytes(b""), False),
    ],
)
def test_a_seal_fits_the_file_that_was_sealed(
    tmp_path: Path, change: Callable[[Path], object], fits: bool
) -> None:
    """And no other one."""
    path = tmp_path / "file"
    path.write_bytes(b"content" * 300_000)
    seal(OsDisk(), str(path))
    change(path)
    assert is_sealed(OsDisk(), str(path)) is fits


def test_nothing_is_sealed_that_is_not_there(tmp_path: Path) -> None:
    """Nor does a seal without a file count."""
    path = str(tmp_path / "file")
    seal(OsDisk(), path)
    assert [*tmp_path.iterdir()] == []
    assert not is_sealed(OsDisk(), path)
    break_seal(OsDisk(), path)
