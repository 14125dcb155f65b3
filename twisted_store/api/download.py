"""The use case download: an object is opened, to be read from whichever chunks are there."""

from twisted_store.api.lanes import Lanes, LaneSources
from twisted_store.api.object_reader import ObjectReader
from twisted_store.catalog.catalog import Catalog
from twisted_store.catalog.entries import Entry
from twisted_store.core.galois import Combine
from twisted_store.core.manifest import Manifest
from twisted_store.core.striping import DATA_CHUNKS
from twisted_store.errors import ObjectNotFoundError
from twisted_store.node_client.answer_body import READ_AHEAD_BYTES

DOWNLOAD_BYTES_MIN = 256 * 1024
"""What a download holds besides its bytes."""


def memory_bytes(manifest: Manifest, size_bytes: int) -> int:
    """
    What to reserve for a download of ``size_bytes`` of an object.

    At the worst a stripe is put together from 5 chunks, of which more is read ahead, while what was
    read before is sent: of each chunk a unit and as much ahead as is left of the range.
    """
    unit_bytes = min(manifest.unit_bytes, size_bytes, manifest.chunk_bytes(0))
    ahead_bytes = min(READ_AHEAD_BYTES, size_bytes, manifest.chunk_bytes(0))
    return DOWNLOAD_BYTES_MIN + DATA_CHUNKS * (unit_bytes + ahead_bytes) + unit_bytes


class Downloads:
    """Opens objects for reading."""

    def __init__(self, catalog: Catalog, sources: LaneSources, combine: Combine) -> None:
        self._catalog = catalog
        self._sources = sources
        self._combine = combine

    async def open(self, entry: Entry, first: int, end: int) -> ObjectReader:
        """
        The object's bytes from ``first`` up to, not including, ``end``.

        Returns when the first block of each chunk that is needed has come and is right, so that
        what fails at all mostly fails here, before the first byte is sent: with `NodeFailedError`,
        or `ChunkNotFoundError` where some chunk is gone.
        """
        lanes = Lanes(self._sources, entry.manifest.object_id, entry.placement)
        reader = ObjectReader(entry.manifest, lanes, self._combine, first, end)
        try:
            await reader.open()
        except BaseException:
            reader.close()
            raise
        if reader.degraded:
            self._sources.metrics.degraded_reads.inc()
        return reader

    async def current(self, name: str) -> Entry:
        """The row of that name; raises `ObjectNotFoundError`."""
        entry = await self._catalog.get(name)
        if entry is None:
            raise ObjectNotFoundError(f"There is no file {name!r}.")
        return entry
