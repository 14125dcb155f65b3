"""
Compaction: what is still needed of a volume is written once more, then the volume is removed.

It goes in small steps, so that others write and read meanwhile, and a start after a crash goes on
with the volume that was begun. A dead chunk of which older volumes may hold a copy leaves a mark
behind: it must stay dead for who reads all volumes anew.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

from twisted.logger import Logger

from twisted_store.core.chunk_file import HEADER_BYTES, encode_header
from twisted_store.core.garbage import volume_to_compact
from twisted_store.core.ids import ChunkId
from twisted_store.core.needles import ALIVE, NeedleRow
from twisted_store.core.volume import SUPERBLOCK_BYTES, NeedleState
from twisted_store.core.whole_chunk import decode_whole
from twisted_store.errors import CorruptionError
from twisted_store.storage.batch_draft import BatchDraft, Step
from twisted_store.storage.needle_log import NeedleLog
from twisted_store.storage.reader import reading
from twisted_store.storage.volumes import OpenVolumes

ROWS_PER_STEP = 500
"""So many rows at most are looked at in one step."""

ROW_BYTES = 256
"""What looking at a row counts for, besides the bytes that are read and written."""


class Horizon(NamedTuple):
    """How things were some time ago: what was dead then may go."""

    at_seconds: float
    sequence: int
    sizes: Mapping[int, int]
    live_bytes: Mapping[int, int]


@dataclass(slots=True)
class Work:
    """What a step did: bytes that it read and wrote, and needles that it found damaged."""

    bytes: int = 0
    damaged: list[ChunkId] = field(default_factory=list)


class Compaction:
    """
    Compacts one volume after the other. `step` blocks; the rest does not.

    A dead needle goes when it has been dead for a grace that `allow` is told.
    """

    _log = Logger()

    def __init__(self, log: NeedleLog, monotonic: Callable[[], float]) -> None:
        self._needles = log
        self._monotonic = monotonic
        self._past: deque[Horizon] = deque()
        self._horizon: Horizon | None = None
        self._after: bytes | None = None

    def allow(self, grace_seconds: float) -> None:
        """What has been dead for so long now may go."""
        now = self._monotonic()
        log = self._needles
        sizes, live_bytes = dict(log.volumes.sizes), dict(log.index.live_bytes)
        self._past.append(Horizon(now, log.sequence, sizes, live_bytes))
        while self._past and self._past[0].at_seconds < now - grace_seconds:
            self._horizon = self._past.popleft()

    def step(self, bytes_max: int, *, pressed: bool = False) -> Work:
        """
        Do a part of it, of about so many bytes; what that came to. Raises `OSError`.

        ``pressed`` says that there is little room left: less garbage is worth it then.
        """
        number = self._needles.index.compacting or self._begin(pressed)
        if not number:
            return Work()
        if number not in self._needles.volumes.sizes:
            return self._forget(number)
        packed_ids = self._needles.index.touching(number, self._after, ROWS_PER_STEP)
        if packed_ids:
            return self._rewrite(number, packed_ids, bytes_max)
        self._needles.remove_volume(number)
        self._after = None
        return Work(ROW_BYTES)

    def _begin(self, pressed: bool) -> int:
        log, horizon = self._needles, self._horizon
        if horizon is None:
            return 0
        # What has been written since counts as live: nothing is known of it that is old enough.
        live_bytes = {
            number: horizon.live_bytes.get(number, 0) + size_bytes - horizon.sizes.get(number, 0)
            for number, size_bytes in log.volumes.sizes.items()
        }
        number = self._choose(live_bytes, pressed)
        if number is None:
            return 0
        log.begin_compaction(number)
        self._after = None
        self._log.info("volume {number} is being compacted", number=number)
        return number

    def _choose(self, live_bytes: Mapping[int, int], pressed: bool) -> int | None:
        volumes = self._needles.volumes
        sizes, full_bytes = dict(volumes.sizes), volumes.full_bytes
        while True:
            number = volume_to_compact(
                sizes, live_bytes, volumes.active, full_bytes, pressed=pressed
            )
            if number is None or self._is_told(number):
                return number
            del sizes[number]

    def _is_told(self, number: int) -> bool:
        """Whether the index can tell all that is in a volume; what is not told must not go."""
        volumes = self._needles.volumes
        try:
            volumes.seed(number)
        except CorruptionError:
            return volumes.sizes[number] <= SUPERBLOCK_BYTES
        return True

    def _rewrite(self, number: int, packed_ids: Sequence[bytes], bytes_max: int) -> Work:
        work, looked_at = Work(), self._after
        contents: dict[bytes, _Content] = {}
        with self._needles.volumes.opened() as volumes:
            for packed in packed_ids:
                looked_at = packed
                row = self._needles.index.get(packed)
                if row is not None and row.volume == number and not self._is_garbage(row):
                    contents[packed] = self._read(packed, row, volumes)
                    work.bytes += 2 * row.size_bytes
                work.bytes += ROW_BYTES
                if work.bytes >= bytes_max:
                    break
        self._needles.run(Step(partial(self._move, number, packed_ids, contents)))
        self._after = looked_at
        work.damaged = [ChunkId.unpack(each) for each in contents if contents[each].damaged]
        return work

    def _move(
        self,
        number: int,
        packed_ids: Sequence[bytes],
        contents: Mapping[bytes, "_Content"],
        draft: BatchDraft,
    ) -> None:
        """Write what is still needed; its state may have changed since it was read."""
        marks: dict[NeedleState, list[bytes]] = {}
        for packed in packed_ids:
            row = draft.get(packed)
            if row is None:
                continue
            has_older = self._has_older(row, number)
            if packed in contents and row.volume == number:
                content = contents[packed]
                draft.move(packed, content.content, content.state(row.state))
            elif row.volume == number and self._is_garbage(row) and has_older:
                draft.bury(packed)
            elif row.volume != number == row.mark_volume and (row.volume or has_older):
                marks.setdefault(row.state, []).append(packed)
        for state, marked in marks.items():
            draft.mark(marked, state)

    def _forget(self, number: int) -> Work:
        """The volume is gone: so are the rows of what was not needed."""
        packed_ids = self._needles.index.touching(number, self._after, ROWS_PER_STEP)
        if not packed_ids:
            self._needles.end_compaction()
            self._log.info("volume {number} is compacted", number=number)
            return Work(ROW_BYTES)
        self._after = packed_ids[-1]
        self._needles.forget(number, packed_ids)
        return Work(ROW_BYTES * len(packed_ids))

    def _is_garbage(self, row: NeedleRow) -> bool:
        if row.state is NeedleState.GONE:
            return True
        horizon = self._horizon
        return (
            row.state is NeedleState.DEAD and horizon is not None and row.died <= horizon.sequence
        )

    def _has_older(self, row: NeedleRow, number: int) -> bool:
        """Whether volumes besides that one may hold a copy that was written before."""
        sizes = self._needles.volumes.sizes
        return any(each <= row.older for each in sizes if each != number)

    def _read(self, packed: bytes, row: NeedleRow, volumes: OpenVolumes) -> "_Content":
        chunk_id = ChunkId.unpack(packed)
        content = b""
        try:
            content = reading(chunk_id, partial(volumes.read, row))
            decode_whole(content, chunk_id)
        except CorruptionError as damage:
            self._log.warn(
                "chunk {chunk_id} is damaged and set aside: {problem}",
                chunk_id=chunk_id,
                problem=damage.message,
            )
            return _Content(_named(chunk_id, content), damaged=row.state in ALIVE)
        if row.state is NeedleState.QUARANTINED:
            content = _named(chunk_id, content)
        return _Content(content, damaged=False)


def _named(chunk_id: ChunkId, content: bytes) -> bytes:
    """What is damaged, or missing, says which chunk it is: who reads all volumes anew asks it."""
    return encode_header(chunk_id) + content[HEADER_BYTES:]


@dataclass(frozen=True, slots=True)
class _Content:
    """What a needle holds, and whether that was found to be damaged just now."""

    content: bytes
    damaged: bool

    def state(self, state: NeedleState) -> NeedleState:
        return NeedleState.QUARANTINED if self.damaged and state in ALIVE else state
