"""The use case download: an object is opened, to be read from whichever chunks are there."""

from twisted_store.api.lanes import Lanes, LaneSources
from twisted_store.api.object_reader import ObjectReader
from twisted_store.catalog.catalog import Catalog
from twisted_store.catalog.entries import Entry
from twisted_store.core.galois import Combine
from twisted_store.core.manifest import Manifest
from twisted_store.core.striping import DATA_CHUNKS
from twisted_store.errors import ChunkNotFoundError, NodeFailedError, ObjectNotFoundError
from twisted_store.node_client.answer_body import READ_AHEAD_BYTES

DOWNLOAD_BYTES_MIN = 256 * 1024
"""What a download holds besides its bytes."""


def memory_bytes(manifest: Manifest, size_bytes: int) -> int:
    """
    What to reserve for a download of ``size_bytes`` of an object.

    At the worst a stripe is put together from 5 chunks, of which more is read ahead, while what was
    read before is sent: of each chunk a unit and as much ahead as is left of the range.
    """
    most_bytes = min(size_bytes, manifest.chunk_bytes(0))
    unit_bytes = min(manifest.unit_bytes, most_bytes)
    ahead_bytes = min(READ_AHEAD_BYTES, most_bytes)
    return DOWNLOAD_BYTES_MIN + DATA_CHUNKS * (unit_bytes + ahead_bytes) + unit_bytes


class Downloads:
    """Opens objects for reading."""

    def __init__(self, catalog: Catalog, sources: LaneSources, combine: Combine) -> None:
        self._catalog = catalog
        self._sources = sources
        self._combine = combine

    async def open(self, entry: Entry, first: int, end: int) -> "Download":
        """
        The object's bytes from ``first`` up to, not including, ``end``.

        Returns when the first block of each chunk that is needed has come and is right, so that
        what fails at all mostly fails here, before the first byte is sent: with `NodeFailedError`,
        or `ChunkNotFoundError` where some chunk is gone.
        """
        reader = await self.reader(entry, first, end)
        if reader.degraded:
            self._sources.metrics.degraded_reads.inc()
        return Download(self, entry, reader, first, end)

    async def reader(self, entry: Entry, first: int, end: int) -> ObjectReader:
        """The same, from where ``entry`` says that the chunks are."""
        lanes = Lanes(self._sources, entry.manifest, entry.placement)
        reader = ObjectReader(entry.manifest, lanes, self._combine, first, end)
        try:
            await reader.open()
        except BaseException:
            reader.close()
            raise
        return reader

    async def moved(self, entry: Entry) -> Entry | None:
        """Where the chunks of this version are by now; None if that has not changed."""
        object_id = entry.manifest.object_id
        now = (await self._catalog.find([object_id])).get(object_id)
        return None if now is None or now.sequence == entry.sequence else now

    async def current(self, name: str) -> Entry:
        """The row of that name; raises `ObjectNotFoundError`."""
        entry = await self._catalog.get(name)
        if entry is None:
            raise ObjectNotFoundError(f"There is no file {name!r}.")
        return entry


class Download:
    """The bytes of an object on their way out; chunks that have moved meanwhile are followed."""

    def __init__(
        self, downloads: Downloads, entry: Entry, reader: ObjectReader, first: int, end: int
    ) -> None:
        self._downloads = downloads
        self._entry = entry
        self._reader = reader
        self._position = first
        self._end = end

    @property
    def degraded(self) -> tuple[int, ...]:
        """The data chunks that are not read from their own place."""
        return self._reader.degraded

    async def read(self) -> list[memoryview]:
        """What comes next; empty at the end."""
        while True:
            try:
                parts = await self._reader.read()
            except ChunkNotFoundError as missing:
                await self._follow(missing)
            else:
                self._position += sum(len(part) for part in parts)
                return parts

    def close(self) -> None:
        """Hang up on nodes that still send."""
        self._reader.close()

    async def _follow(self, missing: ChunkNotFoundError) -> None:
        moved = await self._downloads.moved(self._entry)
        if moved is None:
            raise NodeFailedError(missing.message) from missing
        self._reader.close()
        self._entry = moved
        try:
            self._reader = await self._downloads.reader(moved, self._position, self._end)
        except ChunkNotFoundError as again:
            raise NodeFailedError(again.message) from again
