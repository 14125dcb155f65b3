"""The store's own engines, started on what a power loss left, and what they find there."""

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, TypeVar

import pytest
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from tests.catalog.seams import PromptClock
from tests.powerloss.histories import restore
from tests.powerloss.notes import VERSION_HEADER, Version
from twisted_store.catalog.catalog import Catalog, open_catalog
from twisted_store.catalog.entries import Entry
from twisted_store.core.checksums import BLOCK_BYTES
from twisted_store.core.durability import NONE
from twisted_store.core.ids import ChunkId, NodeId
from twisted_store.core.manifest import Manifest
from twisted_store.core.versions import Version as CatalogVersion
from twisted_store.database import open_in_memory, open_sqlite
from twisted_store.errors import CorruptionError, StartupError
from twisted_store.simulation.power_loss import Image, disk_of
from twisted_store.simulation.setting import DISK_BYTES
from twisted_store.storage.directory import ALIVE, ChunkState
from twisted_store.storage.identity import NodeIdentity
from twisted_store.storage.limits import StoreLimits
from twisted_store.storage.store import ChunkStore

CHUNKS_MAX = 100_000

T = TypeVar("T")


@dataclass(frozen=True)
class FoundNode:
    """
    A node: why it does not start, or who it is and what it holds.

    ``incarnation`` is the highest that it has seen. ``whole`` are the chunks that are alive and
    read back right, with the numbers of their versions; of ``confirmed`` ones it asks nobody.
    """

    problem: str = ""
    node_id: NodeId = NodeId("")
    incarnation: int = 0
    whole: Mapping[ChunkId, int] = field(default_factory=dict)
    confirmed: frozenset[ChunkId] = frozenset()


@dataclass(frozen=True)
class FoundCatalog:
    """
    The catalog: why it does not start, or its rows, and the versions that are to die.

    ``incarnation`` is the one that begins with this start.
    """

    problem: str = ""
    incarnation: int = 0
    rows: Mapping[str, Entry] = field(default_factory=dict)
    dying: tuple[CatalogVersion, ...] = ()


def find_node(image: Image, versions: Mapping[int, Version]) -> FoundNode:
    """Start a node's engine."""
    disk, clock = disk_of(image, DISK_BYTES), Clock()
    try:
        identity = NodeIdentity(disk, "/data", Random(0), run_inline, clock.seconds)
        store = ChunkStore(
            disk,
            "/data",
            run_inline,
            open_in_memory,
            clock,
            clock.seconds,
            Random(0),
            StoreLimits(),
        )
    except StartupError as error:
        return FoundNode(problem=error.message)
    page = now(store.list(None, CHUNKS_MAX))
    alive = {held.chunk_id: held.state for held in page.chunks if held.state in ALIVE}
    held = {chunk_id: now(_version_held(store, chunk_id, versions)) for chunk_id in alive}
    return FoundNode(
        node_id=identity.node_id,
        incarnation=identity.seen.incarnation,
        whole={chunk_id: version for chunk_id, version in held.items() if version is not None},
        confirmed=frozenset(each for each in alive if alive[each] is ChunkState.CONFIRMED),
    )


def find_catalog(
    image: Image, root: Path, scratch: Path, versions: Mapping[int, Version]
) -> FoundCatalog:
    """Start the catalog's engine on a copy in ``scratch``."""
    restore(image, root, scratch)
    folder = scratch / "api"
    folder.mkdir(exist_ok=True)
    try:
        catalog = open_catalog(
            open_sqlite,
            folder / "catalog.sqlite",
            NONE,
            random=Random(0),
            run_blocking=run_inline,
            clock=PromptClock(),
            fatal=pytest.fail,
        )
        found = _rows_of(catalog, versions)
        now(catalog.close())
    except (StartupError, sqlite3.DatabaseError) as error:
        return FoundCatalog(problem=str(error))
    return found


def version_of(manifest: Manifest) -> int:
    """The number of the version that it was made for."""
    return int(dict(manifest.headers)[VERSION_HEADER])


def _rows_of(catalog: Catalog, versions: Mapping[int, Version]) -> FoundCatalog:
    listed = now(catalog.list("", "", "", 1000)).files
    rows = {file.name: now(catalog.get(file.name)) for file in listed}
    dying = now(catalog.dead_work(0, CHUNKS_MAX))
    sizes = sum(entry.manifest.size_bytes for entry in rows.values())
    problem = ""
    if (catalog.totals.objects, catalog.totals.size_bytes) != (len(rows), sizes):
        problem = f"counts {catalog.totals}, holds {len(rows)} objects of {sizes} bytes"
    for name, entry in rows.items():
        if versions[version_of(entry.manifest)].etag != entry.manifest.etag:
            problem = f"the ETag of {name} is wrong"
    return FoundCatalog(problem, catalog.incarnation, rows, tuple(dead.version for dead in dying))


async def _version_held(
    store: ChunkStore, chunk_id: ChunkId, versions: Mapping[int, Version]
) -> int | None:
    """The version that the chunk is of, if it can be read and holds what it should."""
    try:
        reader = await store.open(chunk_id)
        blocks = range(0, reader.chunk_bytes, BLOCK_BYTES)
        content = b"".join([(await reader.read(start // BLOCK_BYTES, 1))[0] for start in blocks])
    except CorruptionError:
        return None
    number = version_of(Manifest.decode(reader.manifest_bytes))
    reader.close()
    return number if content == versions[number].chunks[chunk_id.index] else None


def run_inline(call: Any, /) -> "Deferred[Any]":
    """Run at once."""
    return maybeDeferred(call)


def now(call: Any) -> Any:
    """What a coroutine that has nothing to wait for answers or raises."""
    results: list[Any] = []
    Deferred.fromCoroutine(call).addBoth(results.append)
    [result] = results
    if isinstance(result, Failure):
        result.raiseException()
    return result
