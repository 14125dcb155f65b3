"""The catalog on SQLite: the contract, and what only this implementation has."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar, cast

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads
from twisted.internet.threads import deferToThreadPool
from twisted.python.failure import Failure
from twisted.python.threadpool import ThreadPool

from tests.catalog.objects import PLACEMENT, manifest_of
from tests.catalog.seams import HeldCalls, WatchedOpener, now, open_apsw, opened, result_of, start
from tests.contract.catalog_contract import CatalogContract, Opener
from twisted_store.catalog.catalog import READERS_MAX, READS_WAITING_MAX
from twisted_store.catalog.commits import BATCH_MAX, WRITES_WAITING_MAX, RunBlocking
from twisted_store.catalog.entries import KnownNode
from twisted_store.catalog.writer import NotWrittenError
from twisted_store.core.durability import NONE
from twisted_store.errors import OverloadedError, StartupError

T = TypeVar("T")


@pytest.fixture
def run_in_threads() -> Iterator[RunBlocking]:
    """Run blocking calls as the product does, in threads."""
    from twisted.internet import reactor

    pool = ThreadPool(0, 4)
    pool.start()

    def run_blocking(work: Callable[[], T], /) -> Deferred[T]:
        return deferToThreadPool(cast(IReactorFromThreads, reactor), pool, work)

    yield run_blocking
    pool.stop()


class TestInline(CatalogContract):
    """The contract, with blocking calls run inline as in a simulation."""

    @pytest.fixture
    def reopen(self, path: Path) -> Opener:
        """With the driver of the product."""
        return lambda: opened(path)


class TestInThreads(CatalogContract):
    """The contract, with blocking calls run as in production."""

    @pytest.fixture
    def reopen(self, path: Path, run_in_threads: RunBlocking) -> Opener:
        """With the driver of the product."""
        return lambda: opened(path, run_blocking=run_in_threads)


class TestOnTheOtherDriver(CatalogContract):
    """The contract, with the driver of the power loss tests."""

    @pytest.fixture
    def reopen(self, path: Path) -> Opener:
        """With apsw."""
        return lambda: opened(path, opener=open_apsw)


def test_all_that_wait_go_in_one_transaction(path: Path) -> None:
    """Group commit: while one batch is written the others gather, and share the next sync."""
    opener, held = WatchedOpener(), HeldCalls()
    catalog = opened(path, opener=opener, run_blocking=held)
    opener.forget()
    commits = [start(catalog.commit(manifest_of(str(n), n), PLACEMENT)) for n in range(33)]
    node = start(catalog.save_node(KnownNode(PLACEMENT[0], "http://a:1", "z", 1, 1, 1)))
    held.run_all()
    assert opener.count("COMMIT") == 2
    assert [result_of(commit).sequence for commit in commits] == list(range(1, 34))
    assert result_of(node) is None
    closed = start(catalog.close())
    held.run_all()
    result_of(closed)


def test_a_batch_has_a_limit(path: Path) -> None:
    """One transaction does not grow with the number of those who wait."""
    opener, held = WatchedOpener(), HeldCalls()
    catalog = opened(path, NONE, opener=opener, run_blocking=held)
    opener.forget()
    for number in range(1 + BATCH_MAX + 1):
        start(catalog.commit(manifest_of(str(number), number), PLACEMENT))
    held.run_all()
    assert opener.count("COMMIT") == 3


def test_more_writes_than_the_limit_are_refused(path: Path) -> None:
    """The queue is bounded; one more is told to come back, and changes nothing."""
    held = HeldCalls()
    catalog = opened(path, NONE, run_blocking=held)
    for number in range(1 + WRITES_WAITING_MAX):
        start(catalog.commit(manifest_of(str(number), number), PLACEMENT))
    with pytest.raises(OverloadedError) as raised:
        now(catalog.commit(manifest_of("late", 9999), PLACEMENT))
    assert raised.value.retry_after_seconds == 1
    held.run_all()
    assert catalog.totals.objects == 1 + WRITES_WAITING_MAX


def test_more_reads_than_the_limit_are_refused(path: Path) -> None:
    """The readers' queue is bounded as well."""
    held = HeldCalls()
    catalog = opened(path, NONE, run_blocking=held)
    reads = [start(catalog.get("a")) for _ in range(READERS_MAX + READS_WAITING_MAX)]
    with pytest.raises(OverloadedError):
        now(catalog.get("a"))
    held.run_all()
    assert [result_of(read) for read in reads] == [None] * len(reads)


def test_an_object_id_belongs_to_one_object(
    path: Path, expected_failures: Callable[..., list[Failure]]
) -> None:
    """Two names with the same chunks would lose them with the first delete."""
    catalog = opened(path)
    now(catalog.commit(manifest_of("a", 1), PLACEMENT))
    with pytest.raises(NotWrittenError):
        now(catalog.commit(manifest_of("b", 1), PLACEMENT))
    assert now(catalog.get("b")) is None
    assert len(expected_failures(NotWrittenError)) == 1
    now(catalog.close())


def test_reads_that_wait_share_one_snapshot(path: Path) -> None:
    """Readers are few, and what waits for one goes together."""
    opener, held = WatchedOpener(), HeldCalls()
    catalog = opened(path, opener=opener, run_blocking=held)
    opener.forget()
    reads = [start(catalog.get(str(number))) for number in range(READERS_MAX + 30)]
    assert len(held) == READERS_MAX
    held.run_all()
    assert [result_of(read) for read in reads] == [None] * len(reads)
    assert opener.read.count("BEGIN") == READERS_MAX + 1


@pytest.mark.parametrize("content", [b"garbage" * 1000, b"SQLite format 3\0" + b"\xff" * 5000])
def test_a_file_that_is_no_database_is_refused(path: Path, content: bytes) -> None:
    """The operator reads which file, and the file stays as it is."""
    path.write_bytes(content)
    with pytest.raises(StartupError, match="catalog") as raised:
        opened(path)
    assert str(path) in raised.value.message
    assert path.read_bytes() == content


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    """What the system says stands in the message."""
    with pytest.raises(StartupError, match="No such file"):
        opened(tmp_path / "missing" / "catalog.db")


def test_every_catalog_has_an_id_of_its_own(tmp_path: Path) -> None:
    """Drawn from the random source, once."""
    ids = []
    for seed in (1, 2):
        catalog = opened(tmp_path / f"{seed}.db", seed=seed)
        ids.append(catalog.cluster_id)
        now(catalog.close())
    assert ids[0] != ids[1]
    assert [len(bytes.fromhex(cluster_id)) for cluster_id in ids] == [8, 8]
