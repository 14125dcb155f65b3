"""The catalog as the api sees it: asynchronous, durable, decided one commit after another."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from random import Random
from typing import Protocol, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from twisted_store.catalog import queries
from twisted_store.catalog.batches import Batches, Outcomes, Work, outcomes
from twisted_store.catalog.database import Database, DatabaseOpener, open_reader
from twisted_store.catalog.entries import (
    Committed,
    Deleted,
    Entry,
    Explained,
    KnownNode,
    Page,
    Totals,
)
from twisted_store.catalog.listing import list_page
from twisted_store.catalog.rows import ObjectRow
from twisted_store.catalog.transaction import Transaction
from twisted_store.catalog.writer import NotWrittenError, Writer
from twisted_store.core.conditions import NO_CONDITIONS, Conditions
from twisted_store.core.durability import Durability, DurabilityMode
from twisted_store.core.ids import ClusterId, ObjectId, Placement
from twisted_store.core.manifest import Manifest
from twisted_store.core.reasons import NO_REASONS, Reasons
from twisted_store.core.versions import DeadVersion
from twisted_store.errors import StartupError, StoppingError, StoreError, UnavailableError

WRITES_WAITING_MAX = 1024
READS_WAITING_MAX = 4096
BATCH_MAX = 256
READERS_MAX = 2

log = Logger()
T = TypeVar("T")


class RunBlocking(Protocol):
    """What runs blocking calls outside the reactor's thread."""

    def __call__(self, work: Callable[[], T], /) -> Deferred[T]:
        """The result of ``work``, in the reactor's thread."""


class CommitInDoubtError(UnavailableError):
    """COMMIT failed: whether it happened is known after the next start. Undo nothing."""


class Catalog:
    """
    Objects, placements and nodes in one SQLite file; made by `open_catalog`.

    What is committed is seen by every call made from then on. Of what a caller asked to be
    written nothing happened if it gets an error, unless that is a `CommitInDoubtError` or its own
    cancellation, which does not stop a write.
    """

    def __init__(
        self,
        writer: Writer,
        readers: Iterable[Database],
        durability: Durability,
        run_blocking: RunBlocking,
        clock: IReactorTime,
        fatal: Callable[[str], None],
    ) -> None:
        self._writer = writer
        self._readers = [*readers]
        self._durability = durability
        self._run_blocking = run_blocking
        self._clock = clock
        self._fatal = fatal
        self._counters = writer.counters
        self._synced_sequence = writer.counters.sequence
        self._sync_call: IDelayedCall | None = None
        self._failed = False
        self._writes = Batches(
            self._write_batch, running_max=1, waiting_max=WRITES_WAITING_MAX, batch_max=BATCH_MAX
        )
        self._reads = Batches(
            self._read_batch,
            running_max=len(self._readers),
            waiting_max=READS_WAITING_MAX,
            batch_max=BATCH_MAX,
        )

    @property
    def cluster_id(self) -> ClusterId:
        """Drawn when the catalog was made."""
        return self._writer.cluster_id

    @property
    def incarnation(self) -> int:
        """How many times this catalog was opened."""
        return self._writer.incarnation

    @property
    def sequence(self) -> int:
        """The number of the last commit or delete."""
        return self._counters.sequence

    @property
    def synced_sequence(self) -> int:
        """The last commit that survives a power loss: nodes are told of none beyond it."""
        return self._synced_sequence

    @property
    def totals(self) -> Totals:
        """Of all current objects."""
        return Totals(self._counters.objects, self._counters.size_bytes)

    async def commit(
        self,
        manifest: Manifest,
        placement: Placement,
        conditions: Conditions = NO_CONDITIONS,
        reasons: Reasons = NO_REASONS,
    ) -> Committed:
        """Make this the object of its name, or raise `PreconditionFailedError`."""
        row = ObjectRow.pack(manifest, placement, reasons)
        return await self._writes.submit(lambda transaction: transaction.store(row, conditions))

    async def delete(self, name: str, conditions: Conditions = NO_CONDITIONS) -> Deleted:
        """Raise `ObjectNotFoundError` or `PreconditionFailedError` where there is nothing to do."""
        raw = name.encode()
        return await self._writes.submit(lambda transaction: transaction.delete(raw, conditions))

    async def get(self, name: str) -> Entry | None:
        """The object of this name."""
        raw = name.encode()
        return await self._reads.submit(lambda database: queries.get(database, raw))

    async def explain(self, name: str) -> Explained | None:
        """The object of this name with the reasons for its placement."""
        raw = name.encode()
        return await self._reads.submit(lambda database: queries.explain(database, raw))

    async def placements(self) -> tuple[tuple[Placement, int], ...]:
        """The placements of current objects, and how many objects have each."""
        return await self._reads.submit(queries.placements)

    async def list(self, prefix: str, delimiter: str, after: str, limit: int) -> Page:
        """See `list_page`; a page has at most `LIST_MAX` lines."""
        return await self._reads.submit(
            lambda database: list_page(database, prefix, delimiter, after, limit)
        )

    async def find(self, object_ids: Iterable[ObjectId]) -> dict[ObjectId, Entry]:
        """Those of the versions that are current; the others were replaced or never committed."""
        wanted = tuple(object_ids)
        return await self._reads.submit(lambda database: queries.find(database, wanted))

    async def dying(self, object_ids: Iterable[ObjectId]) -> frozenset[ObjectId]:
        """Those of the versions whose nodes have still to be told of their end."""
        wanted = tuple(object_ids)
        return await self._reads.submit(lambda database: queries.dying(database, wanted))

    async def dead_work(self, after_sequence: int, limit: int) -> tuple[DeadVersion, ...]:
        """What nodes have to be told, of commits that are synced, in their order."""
        last = self._synced_sequence
        return await self._reads.submit(
            lambda database: queries.dead_work(database, after_sequence, last, limit)
        )

    async def dead_done(self, sequences: Iterable[int]) -> None:
        """Forget dead versions that all their nodes know of."""
        delivered = tuple(sequences)
        await self._writes.submit(lambda transaction: transaction.dead_done(delivered))

    def known_nodes(self) -> tuple[KnownNode, ...]:
        """All nodes that ever registered; blocks, for use before the first call."""
        return queries.nodes(self._readers[0])

    async def save_node(self, node: KnownNode) -> None:
        """Add or change a node; when it was first seen stays."""
        await self._writes.submit(lambda transaction: transaction.save_node(node))

    async def close(self) -> None:
        """Take no more calls, finish those that wait, and close the files."""
        for queue in (self._reads, self._writes):
            queue.refuse(StoppingError("The catalog is closed."))
            await queue.drained()
        self._cancel_sync()
        if not self._failed:
            await self._run_blocking(self._close_files)

    def _close_files(self) -> None:
        for reader in self._readers:
            reader.close()
        self._writer.close()

    async def _write_batch(self, works: Sequence[Work[Transaction]]) -> Outcomes:
        sync = _nothing in works
        try:
            written = await self._run_blocking(partial(self._writer.write, works, sync))
        except NotWrittenError:
            log.failure("{count} changes to the catalog were rolled back", count=len(works))
            raise
        except Exception as error:  # nobody cancels a batch
            raise self._give_up(error) from error
        self._counters = written.counters
        if sync or self._durability.mode is not DurabilityMode.RELAXED:
            self._synced_sequence = written.counters.sequence
        else:
            self._plan_sync()
        return written.outcomes

    def _plan_sync(self) -> None:
        if self._sync_call is None:
            self._sync_call = self._clock.callLater(self._durability.window_seconds, self._sync)

    def _sync(self) -> None:
        self._sync_call = None
        self._writes.submit(_nothing, urgent=True).addErrback(self._sync_failed)

    def _sync_failed(self, failure: Failure) -> None:
        # The batch has logged why; after any other error the process ends.
        if failure.check(NotWrittenError):
            self._plan_sync()

    def _cancel_sync(self) -> None:
        if self._sync_call is not None:
            self._sync_call.cancel()
            self._sync_call = None

    def _give_up(self, error: Exception) -> StoreError:
        log.failure("the catalog failed")
        doubt = CommitInDoubtError(
            f"The catalog failed, and what it was writing is in doubt: {error}."
        )
        self._failed = True
        self._cancel_sync()
        self._writes.abandon(UnavailableError("The catalog has failed."))
        self._fatal(doubt.message)
        return doubt

    async def _read_batch(self, works: Sequence[Work[Database]]) -> Outcomes:
        reader = self._readers.pop()
        try:
            return await self._run_blocking(partial(_read, reader, works))
        finally:
            self._readers.append(reader)


def open_catalog(
    opener: DatabaseOpener,
    path: Path,
    durability: Durability,
    *,
    random: Random,
    run_blocking: RunBlocking,
    clock: IReactorTime,
    fatal: Callable[[str], None],
) -> Catalog:
    """
    Open the catalog at ``path``, made if it is missing; blocks, and begins a new incarnation.

    ``fatal`` is called with a message when the outcome of a commit is in doubt: the process must
    end then. Raises `StartupError`.
    """
    try:
        writer = Writer.open(opener, path, durability.mode, random)
        readers = [open_reader(opener, path) for _ in range(READERS_MAX)]
    except StartupError as error:
        raise StartupError(f"{path}: {error.message}") from error
    except Exception as error:
        raise StartupError(f"{path}: the catalog cannot be opened: {error}.") from error
    return Catalog(writer, readers, durability, run_blocking, clock, fatal)


def _nothing(_: Transaction) -> None:
    """The work of a batch that only syncs."""


def _read(database: Database, works: Sequence[Work[Database]]) -> Outcomes:
    # One snapshot for the whole batch: it began after all its callers asked.
    database.execute("BEGIN")
    try:
        return outcomes(works, database)
    finally:
        if database.in_transaction:
            database.execute("ROLLBACK")
