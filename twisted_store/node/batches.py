"""A batch comes in: many small chunks and marks, each with a result of its own."""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from twisted_store.core.batch import (
    BATCH_BYTES_MAX,
    CONFIRM,
    DEAD,
    DISCARD,
    ERROR,
    GET,
    OK,
    PUT,
    Record,
    decode_operations,
    pack_ids,
    result_head,
    unpack_ids,
)
from twisted_store.core.checksums import Buffer
from twisted_store.core.durability import Durability
from twisted_store.core.ids import ChunkId
from twisted_store.core.manifest import Manifest
from twisted_store.core.peer import Marks
from twisted_store.core.whole_chunk import WholeChunk, decode_whole
from twisted_store.errors import (
    BadRequestError,
    CorruptionError,
    NodeFailedError,
    StoreError,
    TooLargeError,
)
from twisted_store.node.health import NodeHealth
from twisted_store.node.marking import Marking
from twisted_store.storage.store import ChunkStore
from twisted_store.storage.whole import Outcomes


@dataclass(frozen=True, slots=True)
class Caller:
    """Whose marks and discards a batch has: numbers of the catalog, None when it does not say."""

    incarnation: int | None
    sequence: int | None


@dataclass(frozen=True, slots=True)
class Batches:
    """Does what batches ask for, all of a kind in one call of the store."""

    store: ChunkStore
    health: NodeHealth
    marking: Marking

    async def perform(self, body: Buffer, durability: Durability, caller: Caller) -> list[Buffer]:
        """
        The results, end to end; what fails of an operation is told in its own.

        Raises `BadRequestError`, and does nothing, when the body is no batch or ``caller`` does not
        say what its operations need.
        """
        try:
            batch = _Batch(decode_operations(body))
        except CorruptionError as error:
            raise BadRequestError(error.message) from error
        _check(batch, caller)
        await self._put(batch, durability)
        await self._get(batch)
        await self._mark(batch, caller, durability)
        await self._discard(batch, caller)
        return batch.results()

    async def _put(self, batch: "_Batch", durability: Durability) -> None:
        puts = list(_whole_chunks(batch))
        if not puts:
            return
        outcomes = await self._stored([chunk for _, chunk in puts], durability)
        for (position, _), outcome in zip(puts, outcomes, strict=True):
            if outcome is None:
                batch.succeeded(position)
            else:
                batch.failed(position, outcome)

    async def _stored(self, chunks: Sequence[WholeChunk], durability: Durability) -> Outcomes:
        try:
            self.health.check_writable()
        except NodeFailedError as error:
            return [error] * len(chunks)
        outcomes = await self.store.put_whole(chunks, durability)
        for outcome in outcomes:
            if isinstance(outcome, NodeFailedError):
                self.health.disk_failed(outcome)
        return outcomes

    async def _get(self, batch: "_Batch") -> None:
        asked = [
            (position, chunk_id)
            for position, chunk_ids in batch.named(GET)
            for chunk_id in chunk_ids
        ]
        if not asked:
            return
        found = await self.store.read_whole([chunk_id for _, chunk_id in asked], BATCH_BYTES_MAX)
        for (position, chunk_id), content in zip(asked, found, strict=True):
            if isinstance(content, StoreError):
                batch.failed(position, content)
            elif len(content) > batch.room_bytes:
                batch.failed(position, TooLargeError(f"Chunk {chunk_id} is too large for a batch."))
            else:
                batch.succeeded(position, content)

    async def _mark(self, batch: "_Batch", caller: Caller, durability: Durability) -> None:
        confirm, dead = list(batch.named(CONFIRM)), list(batch.named(DEAD))
        if not (confirm or dead):
            return
        marks = Marks(caller.incarnation or 0, caller.sequence or 0, _all(confirm), _all(dead))
        try:
            missing = await self.marking.mark(marks, durability)
        except StoreError as error:
            for position, _ in (*confirm, *dead):
                batch.failed(position, error)
            return
        for named, absent in ((confirm, {*missing.confirm}), (dead, {*missing.dead})):
            for position, chunk_ids in named:
                batch.missing(position, [each for each in chunk_ids if each in absent])

    async def _discard(self, batch: "_Batch", caller: Caller) -> None:
        for position, chunk_ids in batch.named(DISCARD):
            try:
                for chunk_id in chunk_ids:
                    await self.marking.discard(chunk_id, caller.incarnation or 0)
            except StoreError as error:
                batch.failed(position, error)
            else:
                batch.succeeded(position)


class _Batch:
    """Operations by their kind, and what comes of each."""

    def __init__(self, operations: list[Record]) -> None:
        self.room_bytes = BATCH_BYTES_MAX
        self._results: list[list[Buffer]] = [[] for _ in operations]
        self._by_kind: dict[int, list[tuple[int, Record]]] = defaultdict(list)
        for position, operation in enumerate(operations):
            self._by_kind[operation.kind].append((position, operation))

    def has(self, *kinds: int) -> bool:
        """Whether there are operations of one of these kinds."""
        return any(kind in self._by_kind for kind in kinds)

    def of(self, kind: int) -> list[tuple[int, Record]]:
        """The operations of that kind, and where each is."""
        return self._by_kind.get(kind, [])

    def named(self, kind: int) -> Iterator[tuple[int, list[ChunkId]]]:
        """The chunks that operations of that kind name; damaged ones are answered."""
        for position, operation in self.of(kind):
            try:
                chunk_ids = unpack_ids(operation.sound_payload())
            except CorruptionError as error:
                # A result for each, as if they could be read: which they are cannot be told.
                for _ in range(operation.ids if kind == GET else 1):
                    self.failed(position, BadRequestError(error.message))
            else:
                yield position, chunk_ids

    def succeeded(self, position: int, payload: Buffer = b"", ids: int = 0) -> None:
        """What was asked for was done, and this is it."""
        self._add(position, result_head(OK, ids, payload), payload)

    def missing(self, position: int, chunk_ids: list[ChunkId]) -> None:
        """The rest was done; these are not here for it."""
        self.succeeded(position, pack_ids(chunk_ids), len(chunk_ids))

    def failed(self, position: int, error: StoreError) -> None:
        """It was not done."""
        answer = {"error": error.code, "message": error.message}
        payload = json.dumps(answer).encode()
        self._add(position, result_head(ERROR, 0, payload), payload)

    def results(self) -> list[Buffer]:
        """All of them, in the order of the operations."""
        return [buffer for result in self._results for buffer in result]

    def _add(self, position: int, head: bytes, payload: Buffer) -> None:
        self.room_bytes -= len(head) + len(payload)
        self._results[position] += (head, payload)


def _whole_chunks(batch: _Batch) -> Iterator[tuple[int, WholeChunk]]:
    """The chunks that are to be stored; those that are not sound are answered."""
    for position, operation in batch.of(PUT):
        try:
            chunk = decode_whole(operation.sound_payload())
            if not Manifest.names(chunk.manifest, chunk.chunk_id.object_id):
                raise BadRequestError(f"The manifest is not that of chunk {chunk.chunk_id}.")
        except CorruptionError as error:
            # Damaged on its way to us: what is stored here is well.
            batch.failed(position, BadRequestError(error.message))
        except BadRequestError as error:
            batch.failed(position, error)
        else:
            yield position, chunk


def _check(batch: _Batch, caller: Caller) -> None:
    if batch.has(CONFIRM, DEAD, DISCARD) and caller.incarnation is None:
        raise BadRequestError("Say which api marks or discards chunks: X-Incarnation.")
    if batch.has(CONFIRM, DEAD) and caller.sequence is None:
        raise BadRequestError("Say up to which commit chunks are marked: X-Commit-Sequence.")


def _all(named: Iterable[tuple[int, list[ChunkId]]]) -> list[ChunkId]:
    return [chunk_id for _, chunk_ids in named for chunk_id in chunk_ids]
