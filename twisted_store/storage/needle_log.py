"""
The needles of a node as one log: steps that were asked for at the same time become one batch.

Blocking; threads wait for each other. A batch is written, synced if one of its steps wants that,
and only then known: a step whose batch fails has changed nothing. After a failed write or sync the
volume is sealed, and what was acknowledged without a sync goes once more into the next one.
"""

from collections.abc import Sequence
from functools import partial
from threading import Lock
from typing import Any, TypeVar, cast

from twisted.logger import Logger
from twisted.python.failure import Failure

from twisted_store.core.ids import ChunkId
from twisted_store.core.needles import NeedleRow
from twisted_store.core.volume import (
    BATCH_HEAD_BYTES,
)
from twisted_store.core.whole_chunk import decode_whole
from twisted_store.errors import CorruptionError, StoreError
from twisted_store.storage.batch_draft import BatchDraft, Step
from twisted_store.storage.calls import FULL, attempt
from twisted_store.storage.index import Index, Place
from twisted_store.storage.index_seal import seal
from twisted_store.storage.volumes import OpenVolumes, Unsynced, Volumes

T = TypeVar("T")

BATCH_BYTES = 16 * 1024 * 1024
"""A batch whose payload is as large takes no more steps; none may be larger than can be read."""

_SYNC = Step(lambda _: None, sync=True)


class NeedleLog:
    """Writes to ``volumes`` and keeps ``index`` in step."""

    _log = Logger()

    def __init__(self, volumes: Volumes, index: Index) -> None:
        self.volumes = volumes
        self.index = index
        self._disk_problem = ""
        self._index_problem = ""
        self._place = index.place
        self._sequence = index.place.sequence
        self._synced_sequence = index.place.sequence
        self._lock = Lock()
        self._in_doubt: Unsynced | None = None

    def perform(self, steps: Sequence[Step[Any]]) -> list[Any]:
        """
        What each step gives or raises; `OSError` when the batch fails.

        What is too much for one becomes several; those behind one that fails fail, too.
        """
        with self._lock:
            results = self._perform(steps)
            while len(results) < len(steps):
                more = attempt(partial(self._perform, steps[len(results) :]))
                results += [more] * len(steps) if isinstance(more, Failure) else more
            return results[: len(steps)]

    def _perform(self, steps: Sequence[Step[Any]]) -> list[Any]:
        """Perform the first of the steps, at least one of them: as many as a batch takes."""
        self._cut()
        draft = self._draft() if self._in_doubt is None else self._save(self._in_doubt)
        results = []
        for step in steps:
            results.append(_attempt(step, draft))
            if draft.payload_bytes >= BATCH_BYTES:
                break
        done = steps[: len(results)]
        self._append(draft, sync=self._in_doubt is not None or any(step.sync for step in done))
        return results

    def _draft(self) -> BatchDraft:
        return BatchDraft(self.index, self._sequence + 1)

    @property
    def problem(self) -> str:
        """What is wrong with the disk, as far as it was tried; empty when it is well."""
        return self._disk_problem or self._index_problem

    @property
    def sequence(self) -> int:
        """The number of the last batch."""
        return self._sequence

    def run(self, step: Step[T]) -> T:
        """Perform one step."""
        [result] = self.perform([step])
        if isinstance(result, Failure):
            result.raiseException()
        return cast(T, result)

    def write_index(self) -> None:
        """Let the index file tell all."""
        with self._lock:
            self._write_index()

    def begin_compaction(self, number: int) -> None:
        """Seal that volume, and let the index file tell all that is in it."""
        with self._lock:
            if self.volumes.active == number:
                self._perform([_SYNC])
                self.volumes.seal()
            self._write_index()
            self.index.compacting = number

    def remove_volume(self, number: int) -> None:
        """Nothing in this volume is needed any more; that it was compacted survives a crash."""
        with self._lock:
            if self._place.volume == number:
                self._append(BatchDraft.empty(self.index, self._sequence + 1), sync=True)
            self._write_index()
            self.volumes.remove(number)

    def forget(self, number: int, packed_ids: Sequence[bytes]) -> None:
        """These chunks had their needle, or their last mark, in a volume that is gone."""
        with self._lock:
            for packed in packed_ids:
                row = self.index.get(packed)
                if row is not None and row.volume in (0, number):
                    self.index.put(packed, row, None)

    def end_compaction(self) -> None:
        """No row needs the volume any more."""
        with self._lock:
            del self.index.live_bytes[self.index.compacting]
            self.index.compacting = 0

    def close(self) -> None:
        """Sync, and let go of all files."""
        with self._lock:
            try:
                self._write_index()
            finally:
                self.volumes.seal()
                self.index.close()
            seal(self.volumes.disk, self.volumes.index_path)

    def _write_index(self) -> None:
        self._perform([_SYNC])
        try:
            self.index.write(self._place)
        except OSError as error:
            self._index_problem = f"The index of small chunks cannot be written: {error}."
            raise
        self._index_problem = ""

    def _cut(self) -> None:
        try:
            self.volumes.cut()
        except OSError as error:
            self._disk_problem = f"A volume cannot be cut where a write failed: {error}."
            raise

    def _append(self, draft: BatchDraft, *, sync: bool) -> None:
        """Write a draft, if it holds anything, and sync."""
        # A batch that fails uses its number up: it may stand there, and another one must go before.
        self._sequence += bool(draft.records)
        sequence = self._sequence
        try:
            place = self._write(sequence, draft) if draft.records else self._place
            if sync:
                self.volumes.sync()
        except OSError as error:
            if error.errno not in FULL:
                self._disk_problem = f"A volume cannot be written: {error}."
            self._in_doubt = self._in_doubt or self.volumes.unsynced
            self.volumes.give_up()
            raise
        self.volumes.keep()
        if draft.records:
            self._know(draft, place)
        if sync:
            self._disk_problem, self._in_doubt = "", None
            self._synced_sequence = sequence

    def _write(self, sequence: int, draft: BatchDraft) -> Place:
        offset = self.volumes.make_room(draft.payload_bytes) - BATCH_HEAD_BYTES
        head = self.volumes.append(sequence, draft.records)
        assert self.volumes.active is not None
        return Place(self.volumes.active, offset, sequence, head.payload_checksum)

    def _know(self, draft: BatchDraft, place: Place) -> None:
        for packed, row in draft.placed(place.volume, place.offset + BATCH_HEAD_BYTES):
            self.index.put(packed, draft.before(packed), row)
        self._place = place

    def _save(self, doubt: Unsynced) -> BatchDraft:
        """Write once more what was known but not synced when a volume was given up."""
        draft = self._draft()
        with self.volumes.opened() as volumes:
            for packed in self.index.recent_since(self._synced_sequence):
                self._save_one(packed, draft, doubt, volumes)
                if draft.payload_bytes >= BATCH_BYTES:
                    self._append(draft, sync=False)
                    draft = self._draft()
        return draft

    def _save_one(
        self, packed: bytes, draft: BatchDraft, doubt: Unsynced, volumes: OpenVolumes
    ) -> None:
        row = self.index.get(packed)
        assert row is not None
        if (row.volume, row.offset) < (doubt.volume, doubt.offset):
            draft.mark([packed], row.state)
            return
        try:
            # As a new one: the copy in the volume that was given up stays.
            draft.put(packed, read_needle(packed, row, volumes), row.state)
        except (CorruptionError, OSError) as error:
            told = {"chunk_id": str(ChunkId.unpack(packed)), "error": str(error)}
            self._log.error("chunk {chunk_id} is lost, it could not be synced: {error}", **told)
            self.index.put(packed, row, None)


def read_needle(packed: bytes, row: NeedleRow, volumes: OpenVolumes) -> bytes:
    """The content of a needle; raises `CorruptionError` when it is not what was written."""
    content = volumes.read(row)
    decode_whole(content, ChunkId.unpack(packed))
    return content


def _attempt(step: Step[T], draft: BatchDraft) -> T | Failure:
    try:
        return step.apply(draft)
    except StoreError:
        return Failure()
