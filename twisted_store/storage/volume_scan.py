"""Reads a volume from end to end, past what is damaged."""

from collections.abc import Iterator
from dataclasses import dataclass

from twisted_store.core.volume import (
    BATCH_HEAD_BYTES,
    BATCH_MAGIC,
    BatchHead,
    decode_batch_head,
    verify_payload,
)
from twisted_store.errors import CorruptionError
from twisted_store.storage.disk import DiskFile

SEARCH_BYTES = 1024 * 1024
"""So much is looked through at once for the next batch behind damage."""


@dataclass(frozen=True, slots=True)
class FoundBatch:
    """
    A batch that begins at ``offset``.

    One that is damaged has others behind it, so it was not torn while it was written.
    """

    offset: int
    sequence: int
    checksum: int
    payload: bytes
    damaged: bool

    @property
    def payload_offset(self) -> int:
        """Where the payload begins in the volume."""
        return self.offset + BATCH_HEAD_BYTES

    @property
    def end(self) -> int:
        """Where the next batch begins."""
        return self.payload_offset + len(self.payload)


@dataclass(frozen=True, slots=True)
class Gap:
    """Bytes between batches that are none, although others follow."""

    offset: int
    end: int


class VolumeScan:
    """
    The batches of a volume from ``start`` on, in order of their sequence numbers.

    Only those are sound that were written to the volume with that ``seed``.

    What has no sound batch behind it is a torn tail and left out: ``end`` is where it begins, once
    all has been read. Blocking.
    """

    def __init__(self, file: DiskFile, start: int, seed: int, after_sequence: int = 0) -> None:
        self._file = file
        self._seed = seed
        self._size_bytes = file.size_bytes()
        self._sequence = after_sequence
        self.end = start

    def __iter__(self) -> Iterator[FoundBatch | Gap]:
        while self.end < self._size_bytes:
            head = self._head_at(self.end, self._sequence)
            found = None if head is None else self._batch(self.end, head)
            if found is None or (
                found.damaged and self._next_sound(found.end, found.sequence) is None
            ):
                behind = self._next_sound(_after(self.end, head), self._sequence)
                if behind is None:
                    return
                found_gap = Gap(self.end, behind.offset)
                self.end = behind.offset
                yield found_gap
            else:
                self._sequence, self.end = found.sequence, found.end
                yield found

    def heads(self) -> Iterator[BatchHead]:
        """The heads alone of the same batches; what follows a head is not looked at."""
        while self.end < self._size_bytes:
            head = self._head_at(self.end, self._sequence)
            if head is None:
                behind = self._next_sound(self.end + 1, self._sequence)
                if behind is None:
                    return
                self.end = behind.offset
                continue
            if _after(self.end, head) > self._size_bytes:
                return
            self._sequence, self.end = head.sequence, _after(self.end, head)
            yield head

    def _batch(self, offset: int, head: BatchHead) -> FoundBatch | None:
        """The batch with that head, whose payload may be damaged but is all there."""
        payload = self._file.read_at(offset + BATCH_HEAD_BYTES, head.payload_bytes)
        if len(payload) < head.payload_bytes:
            return None
        try:
            verify_payload(head, payload, self._seed)
        except CorruptionError:
            return FoundBatch(offset, *head[1:], payload, damaged=True)
        return FoundBatch(offset, *head[1:], payload, damaged=False)

    def _head_at(self, offset: int, after_sequence: int) -> BatchHead | None:
        """A head that may follow a batch of that sequence number."""
        try:
            head = decode_batch_head(self._file.read_at(offset, BATCH_HEAD_BYTES), self._seed)
        except CorruptionError:
            return None
        return head if head.sequence > after_sequence else None

    def _next_sound(self, start: int, after_sequence: int) -> FoundBatch | None:
        """The next batch from ``start`` on that is not damaged, and not within another one."""
        while start < self._size_bytes:
            window = self._file.read_at(start, SEARCH_BYTES)
            behind = len(window) - len(BATCH_MAGIC) + 1
            position = window.find(BATCH_MAGIC)
            while 0 <= position < behind:
                head = self._head_at(start + position, after_sequence)
                batch = None if head is None else self._batch(start + position, head)
                if batch is not None and not batch.damaged:
                    return batch
                after = _after(start + position, head) - start
                position = window.find(BATCH_MAGIC, after) if after < behind else after
            start += max(position, behind, 1)
        return None


def _after(offset: int, head: BatchHead | None) -> int:
    """
    Where to go on behind what begins at ``offset``.

    The length in a sound head is right. Nothing is looked for within it: chunks hold what clients
    sent, and that may look like a batch.
    """
    return offset + 1 if head is None else offset + BATCH_HEAD_BYTES + head.payload_bytes
