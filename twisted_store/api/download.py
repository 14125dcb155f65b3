"""The use case download: runs of bytes from the nodes, glued in order."""

from collections.abc import Callable, Iterator

from twisted_store.catalog.catalog import Catalog
from twisted_store.catalog.entries import Entry
from twisted_store.cluster.members import Members
from twisted_store.core.ids import ChunkId, NodeId
from twisted_store.core.striping import DATA_CHUNKS, Run, Striping
from twisted_store.errors import (
    NodeFailedError,
    ObjectNotFoundError,
)
from twisted_store.node_client.chunk_source import ChunkSource
from twisted_store.node_client.client import NodeClient
from twisted_store.node_client.fanout import all_of

DOWNLOAD_BYTES_MAX = 8 * 1024 * 1024
"""What one download holds at most: what is read ahead from five nodes, and what is being sent."""

DOWNLOAD_BYTES_MIN = 256 * 1024
"""What a download holds besides its bytes."""


def memory_bytes(size_bytes: int) -> int:
    """What to reserve for a download of that many bytes."""
    return min(DOWNLOAD_BYTES_MAX, DOWNLOAD_BYTES_MIN + 2 * size_bytes)


class ObjectReader:
    """The bytes of a range of an object, verified, in order; ``report`` is told who breaks off."""

    def __init__(
        self,
        runs: Iterator[Run],
        sources: dict[int, ChunkSource],
        report: Callable[[NodeId, NodeFailedError], None],
    ) -> None:
        self._runs = runs
        self._sources = sources
        self._report = report
        self._index = 0
        self._left_bytes = 0

    async def read(self) -> list[memoryview]:
        """What comes next; empty at the end."""
        if not self._left_bytes:
            run = next(self._runs, None)
            if run is None:
                return []
            self._index, self._left_bytes = run.index, run.size_bytes
        source = self._sources[self._index]
        try:
            parts = await source.read(self._left_bytes)
        except NodeFailedError as failure:
            self._report(source.node_id, failure)
            raise
        self._left_bytes -= sum(len(part) for part in parts)
        return parts

    def close(self) -> None:
        """Hang up on nodes that still send."""
        for source in self._sources.values():
            source.close()


class Downloads:
    """Opens objects for reading."""

    def __init__(self, catalog: Catalog, members: Members, client: NodeClient) -> None:
        self._catalog = catalog
        self._members = members
        self._client = client

    async def open(self, entry: Entry, first: int, end: int) -> ObjectReader:
        """
        The object's bytes from ``first`` up to, not including, ``end``.

        Returns when the first block of each chunk that is needed has come and is right, so that
        what fails at all mostly fails here, with `NodeFailedError`, before the first byte is sent.
        """
        manifest = entry.manifest
        striping = Striping(manifest.size_bytes, manifest.unit_bytes)
        spans = {
            index: span
            for index in range(DATA_CHUNKS)
            if (span := (striping.before(first, index), striping.before(end, index)))[0] < span[1]
        }
        sources: dict[int, ChunkSource] = {}
        reader = ObjectReader(striping.runs(first, end), sources, self._members.failed)
        try:
            await all_of(
                self._open_chunk(entry, index, span, sources) for index, span in spans.items()
            )
        except BaseException:
            reader.close()
            raise
        return reader

    async def current(self, name: str) -> Entry:
        """The row of that name; raises `ObjectNotFoundError`."""
        entry = await self._catalog.get(name)
        if entry is None:
            raise ObjectNotFoundError(f"There is no file {name!r}.")
        return entry

    async def _open_chunk(
        self, entry: Entry, index: int, span: tuple[int, int], sources: dict[int, ChunkSource]
    ) -> None:
        node_id = entry.placement[index]
        if node_id is None:
            raise NodeFailedError(f"Chunk {index} is on no node.")
        chunk_id = ChunkId(entry.manifest.object_id, index)
        try:
            source = await self._client.get(self._members.peer(node_id), chunk_id, *span)
            sources[index] = source
            await source.ready()
        except NodeFailedError as failure:
            self._members.failed(node_id, failure)
            raise
