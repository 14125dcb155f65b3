"""A batch of needles and marks while it is thought out, and the steps that it is made of."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, Self, TypeVar

from twisted_store.core import needles
from twisted_store.core.checksums import Buffer
from twisted_store.core.needles import NeedleRow
from twisted_store.core.volume import RECORD_HEAD_BYTES, NeedleState, encode_mark, needle_head
from twisted_store.storage.index import Index

T = TypeVar("T")

_PENDING = -1
"""The volume of what is in a draft."""


class BatchDraft:
    """What the steps of a batch come to: its records, and the rows as they will be."""

    def __init__(self, index: Index, sequence: int) -> None:
        self.records: list[Buffer] = []
        self.payload_bytes = 0
        self.rows: dict[bytes, NeedleRow] = {}
        self._index = index
        self._sequence = sequence
        self._before: dict[bytes, NeedleRow | None] = {}

    @classmethod
    def empty(cls, index: Index, sequence: int) -> Self:
        """A batch without records, for an index that must name one that is there."""
        draft = cls(index, sequence)
        draft.records.append(b"")
        return draft

    def get(self, packed: bytes) -> NeedleRow | None:
        """The row of a chunk after the steps so far."""
        return self.rows.get(packed) or self.before(packed)

    def look_up(self, packed_ids: Sequence[bytes]) -> None:
        """Ask the index for many chunks at once, before each is asked for."""
        unknown = [packed for packed in packed_ids if packed not in self._before]
        self._before.update(self._index.get_all(unknown))

    def before(self, packed: bytes) -> NeedleRow | None:
        """The row of a chunk before all steps; the index is asked once."""
        if packed not in self._before:
            self._before[packed] = self._index.get(packed)
        return self._before[packed]

    def put(self, packed: bytes, content: Buffer, state: NeedleState) -> None:
        """Write a needle."""
        size_bytes = len(content)
        offset = self.payload_bytes + RECORD_HEAD_BYTES
        self.rows[packed] = needles.put(
            self.get(packed), _PENDING, offset, size_bytes, state, self._sequence
        )
        self._add(needle_head(state, size_bytes), content)

    def move(self, packed: bytes, content: Buffer, state: NeedleState) -> None:
        """Write a needle once more, and let go of the one that is there."""
        row = self.get(packed)
        assert row is not None, "only what is there is moved"
        self.rows[packed] = row._replace(
            volume=_PENDING,
            offset=self.payload_bytes + RECORD_HEAD_BYTES,
            size_bytes=len(content),
            state=state,
            mark_volume=0,
            sequence=self._sequence,
        )
        self._add(needle_head(state, len(content)), content)

    def bury(self, packed: bytes) -> None:
        """Let go of a needle, and only keep that it is gone."""
        self.mark([packed], NeedleState.GONE)
        self.rows[packed] = self.rows[packed]._replace(volume=0, offset=0, size_bytes=0)

    def mark(self, packed_ids: Sequence[bytes], state: NeedleState) -> None:
        """Move chunks on; each must have a row."""
        if not packed_ids:
            return
        for packed in packed_ids:
            row = self.get(packed)
            assert row is not None, "only what is there is marked"
            self.rows[packed] = row.marked(state, _PENDING, self._sequence)
        self._add(encode_mark(state, packed_ids))

    def placed(self, volume: int, payload_offset: int) -> Iterable[tuple[bytes, NeedleRow]]:
        """The rows, once it is known where the payload is."""
        for packed, drafted in self.rows.items():
            row = drafted
            if row.volume == _PENDING:
                row = row._replace(volume=volume, offset=payload_offset + row.offset)
            if row.mark_volume == _PENDING:
                row = row._replace(mark_volume=volume)
            yield packed, row

    def _add(self, *pieces: Buffer) -> None:
        self.records += pieces
        self.payload_bytes += sum(map(len, pieces))


@dataclass(frozen=True, slots=True)
class Step(Generic[T]):
    """
    Something to be done to needles, by means of a draft; a `StoreError` that it raises is its own.

    With ``sync`` it is done once what it has written, and all before, survives a power loss.
    """

    apply: Callable[[BatchDraft], T]
    sync: bool = False
