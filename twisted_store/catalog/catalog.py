"""The catalog as the api sees it: asynchronous, durable, decided one commit after another."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from random import Random

from twisted.internet.interfaces import IReactorTime

from twisted_store.catalog import queries
from twisted_store.catalog.batches import Batches, Outcomes, Work, outcomes
from twisted_store.catalog.commits import BATCH_MAX, Commits, RunBlocking
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
from twisted_store.catalog.rows import MoveRow, ObjectRow
from twisted_store.catalog.writer import Writer
from twisted_store.core.conditions import NO_CONDITIONS, Conditions
from twisted_store.core.durability import Durability
from twisted_store.core.ids import ClusterId, NodeId, ObjectId, Placement
from twisted_store.core.manifest import Manifest
from twisted_store.core.moves import Group, MovableObject
from twisted_store.core.reasons import NO_REASONS, Reasons
from twisted_store.core.versions import DeadVersion
from twisted_store.database import Database, DatabaseOpener, open_reader
from twisted_store.errors import StartupError, StoppingError

READS_WAITING_MAX = 4096
READERS_MAX = 2


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
        self._run_blocking = run_blocking
        self._writes = Commits(writer, durability, run_blocking, clock, fatal)
        self._reads = Batches(
            self._read_batch,
            clock,
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
        return self._writes.counters.sequence

    @property
    def synced_sequence(self) -> int:
        """The last commit that survives a power loss: nodes are told of none beyond it."""
        return self._writes.synced_sequence

    @property
    def totals(self) -> Totals:
        """Of all current objects."""
        counters = self._writes.counters
        return Totals(counters.objects, counters.size_bytes)

    async def commit(
        self,
        manifest: Manifest,
        placement: Placement,
        conditions: Conditions = NO_CONDITIONS,
        reasons: Reasons = NO_REASONS,
        auto: bool = True,
    ) -> Committed:
        """
        Make this the object of its name, or raise `PreconditionFailedError`.

        The scheme of an ``auto`` one follows the number of nodes later.
        """
        row = ObjectRow.pack(manifest, placement, reasons, auto)
        return await self._writes.submit(lambda transaction: transaction.store(row, conditions))

    async def move(
        self, manifest: Manifest, old: Placement, new: Placement, reasons: Reasons | None = None
    ) -> int | None:
        """
        Give the object another placement and this manifest; the sequence of this commit.

        None if its placement is not ``old`` any more, or if a chunk goes to a node that has still
        to be told that this chunk is dead. What only the old placement had is to be declared dead.
        Without ``reasons`` it keeps those that it has.
        """
        row = MoveRow.pack(manifest, old, new, reasons)
        return await self._writes.submit(lambda transaction: transaction.move(row))

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

    async def groups(self) -> tuple[Group, ...]:
        """The placements of current objects, and how many and how large these are."""
        return await self._reads.submit(queries.groups)

    async def movable(
        self, placement_id: int, after_sequence: int, limit: int
    ) -> tuple[MovableObject, ...]:
        """Objects of one placement in order of their commits, beginning after one of these."""
        return await self._reads.submit(
            lambda database: queries.movable(database, placement_id, after_sequence, limit)
        )

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
        last = self.synced_sequence
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

    async def forget_node(self, node_id: NodeId) -> None:
        """Remove a node; what placements say of it counts as gone."""
        await self._writes.submit(lambda transaction: transaction.forget_node(node_id))

    def settings(self) -> dict[str, int | None]:
        """What operators asked for, by name; blocks, for use before the first call."""
        return queries.settings(self._readers[0])

    async def save_setting(self, name: str, value: int | None) -> None:
        """Keep what an operator asked for."""
        await self._writes.submit(lambda transaction: transaction.save_setting(name, value))

    async def close(self) -> None:
        """Take no more calls, finish those that wait, and close the files."""
        self._reads.refuse(StoppingError("The catalog is closed."))
        await self._reads.drained()
        await self._writes.stop()
        if not self._writes.failed:
            await self._run_blocking(self._close_files)

    def _close_files(self) -> None:
        for reader in self._readers:
            reader.close()
        self._writer.close()

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


def _read(database: Database, works: Sequence[Work[Database]]) -> Outcomes:
    # One snapshot for the whole batch: it began after all its callers asked.
    database.execute("BEGIN")
    try:
        return outcomes(works, database)
    finally:
        if database.in_transaction:
            database.execute("ROLLBACK")
