"""The use case upload: a body becomes five chunks on five nodes and one row in the catalog."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace

from twisted_store.api.budget import MemoryBudget
from twisted_store.api.chunk_upload import KEPT_BYTES_MAX
from twisted_store.api.digests import BodyDigests, ExpectedDigests
from twisted_store.api.gathering import gathered
from twisted_store.api.in_flight import InFlight
from twisted_store.api.shield import shielded
from twisted_store.api.transfer import ChunkSizes, Transfer, Transfers
from twisted_store.catalog.catalog import Catalog
from twisted_store.catalog.commits import CommitInDoubtError
from twisted_store.cluster.marks import MarkDelivery
from twisted_store.core.conditions import NO_CONDITIONS, Conditions
from twisted_store.core.cutting import Cutter, SizedCutter, UnsizedCutter
from twisted_store.core.ids import ObjectId, Placement
from twisted_store.core.manifest import ETAG_PLACEHOLDER, Manifest
from twisted_store.core.scheme import AUTO, Scheme, SchemeChoice
from twisted_store.core.striping import DATA_CHUNKS, UNIT_BYTES, UNSIZED_UNIT_BYTES
from twisted_store.core.versions import Version
from twisted_store.errors import IncompleteBodyError, TooLargeError

QUEUED_BYTES_MAX = 3 * UNIT_BYTES // 4
"""What waits for one node: its queue, and a frame that is not full."""

UPLOAD_BYTES_MIN = 256 * 1024
"""What an upload holds besides its body."""


@dataclass(frozen=True, slots=True)
class FileToStore:
    """
    What a client says of a file before its body.

    ``size_bytes`` and ``scheme`` are None when it does not say.
    """

    name: str
    size_bytes: int | None
    content_type: str
    headers: tuple[tuple[str, str], ...]
    conditions: Conditions
    digests: ExpectedDigests
    scheme: SchemeChoice | None = None


@dataclass(frozen=True, slots=True)
class Stored:
    """An upload that is acknowledged; ``replaced`` tells whether the name existed."""

    manifest: Manifest
    placement: Placement
    replaced: bool


class Uploads:
    """Takes files; each is visible wholly, from its commit on, or never was (P1, P3, P4)."""

    def __init__(
        self,
        catalog: Catalog,
        transfers: Transfers,
        marks: MarkDelivery,
        in_flight: InFlight,
        budget: MemoryBudget,
        wall: Callable[[], float],
        object_bytes_max: int | None,
    ) -> None:
        self._catalog = catalog
        self._transfers = transfers
        self._marks = marks
        self._in_flight = in_flight
        self._budget = budget
        self._wall = wall
        self._object_bytes_max = object_bytes_max

    async def put(self, file: FileToStore, body: AsyncIterator[bytes]) -> Stored:
        """
        Store ``body`` under the file's name.

        Nothing is read from ``body`` unless the conditions hold, memory is there and nodes are. Any
        failure before the commit leaves the name as it was; the commit itself runs to its end.
        """
        self._check_size(file.size_bytes or 0)
        await self._check_conditions(file)
        choice = self._transfers.choice_for(file.name, file.scheme)
        scheme = self._transfers.scheme_for(choice)
        async with self._budget.reserve(memory_bytes(file.size_bytes, scheme)):
            object_id = self._in_flight.begin()
            try:
                draft = self._draft(file, object_id, scheme)
                transfer, manifest = await self._transfer(file, draft, body)
            except BaseException:
                self._in_flight.end(object_id)
                raise
            return await shielded(self._commit(file, transfer, manifest, choice == AUTO))

    async def _check_conditions(self, file: FileToStore) -> None:
        if file.conditions == NO_CONDITIONS:
            return
        entry = await self._catalog.get(file.name)
        if entry is None:
            file.conditions.check_write(None)
        else:
            manifest = entry.manifest
            file.conditions.check_write(manifest.etag, manifest.modified_seconds)

    async def _transfer(
        self, file: FileToStore, draft: Manifest, body: AsyncIterator[bytes]
    ) -> tuple[Transfer, Manifest]:
        transfer = self._begin(file, draft)
        try:
            size_bytes, etag = await self._send(file, draft, transfer, body)
            manifest = replace(draft, size_bytes=size_bytes, etag=etag, created_us=self._now_us())
            await transfer.finish(manifest.encoded)
        except BaseException:
            self._abandon(transfer)
            raise
        return transfer, manifest

    def _draft(self, file: FileToStore, object_id: ObjectId, scheme: Scheme) -> Manifest:
        return Manifest(
            object_id=object_id,
            name=file.name,
            size_bytes=file.size_bytes or 0,
            unit_bytes=UNSIZED_UNIT_BYTES if file.size_bytes is None else UNIT_BYTES,
            scheme=scheme,
            etag=ETAG_PLACEHOLDER,
            created_us=self._now_us(),
            content_type=file.content_type,
            headers=file.headers,
        )

    def _begin(self, file: FileToStore, draft: Manifest) -> Transfer:
        if file.size_bytes is None:
            return self._transfers.begin(draft.object_id, draft.scheme, None)
        manifest_bytes = len(draft.encoded)
        sizes = [ChunkSizes(chunk_bytes, manifest_bytes) for chunk_bytes in draft.chunk_sizes]
        return self._transfers.begin(draft.object_id, draft.scheme, sizes)

    async def _send(
        self,
        file: FileToStore,
        draft: Manifest,
        transfer: Transfer,
        body: AsyncIterator[bytes],
    ) -> tuple[int, str]:
        code = self._transfers.code(draft.scheme)
        cutter: Cutter = UnsizedCutter(draft.unit_bytes, code)
        if file.size_bytes is not None:
            cutter = SizedCutter(draft.striping, code)
        digests = BodyDigests(file.digests)
        size_bytes = 0
        async for piece in gathered(body):
            size_bytes += len(piece)
            self._check_size(size_bytes)
            digests.update(piece)
            await transfer.send(cutter.feed(piece))
        if file.size_bytes is not None and size_bytes != file.size_bytes:
            raise IncompleteBodyError(f"The body ended after {size_bytes} bytes.")
        await transfer.send(cutter.end())
        return size_bytes, digests.verified_etag()

    async def _commit(
        self, file: FileToStore, transfer: Transfer, manifest: Manifest, auto: bool
    ) -> Stored:
        try:
            committed = await self._catalog.commit(
                manifest, transfer.placement, file.conditions, transfer.reasons, auto
            )
        except CommitInDoubtError:
            raise  # The chunks may be an object's: they stay, and the upload stays in flight.
        except Exception:
            self._abandon(transfer)
            self._in_flight.end(manifest.object_id)
            raise
        self._in_flight.end(manifest.object_id)
        transfer.end(manifest.chunk_sizes)
        version = Version(manifest.object_id, transfer.placement)
        self._marks.committed(committed.sequence, version)
        return Stored(manifest, transfer.placement, committed.replaced)

    def _abandon(self, transfer: Transfer) -> None:
        transfer.discard(self._in_flight.incarnation)
        transfer.end([])

    def _check_size(self, size_bytes: int) -> None:
        if self._object_bytes_max is not None and size_bytes > self._object_bytes_max:
            raise TooLargeError(
                f"Files of more than {self._object_bytes_max} bytes are not taken here "
                "(--object-size-max)."
            )

    def _now_us(self) -> int:
        return int(self._wall() * 1_000_000)


def memory_bytes(size_bytes: int | None, scheme: Scheme) -> int:
    """
    What to reserve for an upload.

    Of each chunk some bytes are kept at first, of each parity chunk besides what is summed up;
    copies of a chunk are the same bytes until they are queued.
    """
    sums = 0 if scheme is Scheme.COPIES else scheme.width - DATA_CHUNKS
    kept_bytes = (DATA_CHUNKS + 2 * sums) * KEPT_BYTES_MAX
    most = UPLOAD_BYTES_MIN + kept_bytes + scheme.width * QUEUED_BYTES_MAX
    if size_bytes is None:
        return most
    return min(most, UPLOAD_BYTES_MIN + int(2 * size_bytes * scheme.overhead))
