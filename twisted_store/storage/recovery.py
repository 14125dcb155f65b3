"""Opens volumes and index at start: what the index does not tell yet is read in the volumes."""

from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path
from random import Random

from twisted.logger import Logger

from twisted_store.core import needles
from twisted_store.core.chunk_file import HEADER_BYTES, named_chunk, verify_header
from twisted_store.core.ids import ChunkId
from twisted_store.core.needles import ALIVE
from twisted_store.core.volume import (
    BATCH_HEAD_BYTES,
    SUPERBLOCK_BYTES,
    NeedleState,
    Record,
    RecordKind,
    decode_batch_head,
    decode_records,
)
from twisted_store.core.whole_chunk import decode_whole
from twisted_store.database import DatabaseOpener
from twisted_store.errors import CorruptionError
from twisted_store.storage.disk import Disk
from twisted_store.storage.index import Index, Place
from twisted_store.storage.index_file import IndexDamagedError
from twisted_store.storage.index_seal import break_seal, is_sealed
from twisted_store.storage.needle_log import NeedleLog
from twisted_store.storage.volume_scan import FoundBatch, Gap, VolumeScan
from twisted_store.storage.volumes import Volumes
from twisted_store.storage.witness import Damage, Witness

UNWRITTEN_MAX = 50_000
"""So many rows are held in memory while volumes are read."""

log = Logger()


def open_log(
    disk: Disk,
    root: str,
    open_database: DatabaseOpener,
    random: Random,
    volume_bytes_max: int,
    witness: Witness,
) -> NeedleLog:
    """
    The volumes below ``root`` with an index that tells all that is in them.

    An index that is damaged, or knows more than the volumes hold, is made anew. Volumes that are
    begun later have salts from ``random``. Blocking; raises `OSError` when the disk fails.
    """
    volumes = Volumes(disk, root, random, volume_bytes_max)
    volumes.load()
    index = _open_index(disk, open_database, volumes)
    volumes.last_number = max(volumes.last_number, index.place.volume, index.compacting)
    replay = Replay(volumes, index, witness)
    _sync(volumes, replay.numbers)
    end = replay.run()
    if end is not None and max(volumes.sizes) != index.compacting:
        volumes.resume(max(volumes.sizes), end)
    index.write(replay.place)
    return NeedleLog(volumes, index)


def _sync(volumes: Volumes, numbers: Sequence[int]) -> None:
    """Who wrote these volumes may not have come to that, and the index is to tell of them."""
    for number in numbers:
        with closing(volumes.open(number)) as file:
            file.sync()


def _open_index(disk: Disk, open_database: DatabaseOpener, volumes: Volumes) -> Index:
    path = Path(volumes.index_path)
    is_whole = is_sealed(disk, volumes.index_path)
    break_seal(disk, volumes.index_path)
    try:
        index = Index(open_database, path)
        try:
            if not is_whole:
                index.verify()
            compare(volumes, index)
        except BaseException:
            index.close()
            raise
    except IndexDamagedError as damage:
        log.warn("the index is made anew from the volumes: {damage}", damage=str(damage))
        return Index(open_database, remove_index(disk, path))
    return index


def remove_index(disk: Disk, path: Path) -> Path:
    """Remove the file of an index with all that SQLite keeps beside it; gives the path."""
    for suffix in ("", "-wal", "-shm", "-journal"):
        with suppress(FileNotFoundError):
            disk.remove(f"{path}{suffix}")
    return path


def compare(volumes: Volumes, index: Index) -> None:
    """Raise `IndexDamagedError` unless the index is one of these volumes, at some time."""
    if index.place.sequence and _is_ahead(volumes, index.place):
        raise IndexDamagedError("it knows more than the volumes hold")
    for number in index.live_bytes:
        if number not in volumes.sizes and number != index.compacting:
            raise IndexDamagedError(f"volume {number} is not there any more")


def _is_ahead(volumes: Volumes, place: Place) -> bool:
    if place.volume not in volumes.sizes:
        return True
    try:
        volumes.seed(place.volume)
    except CorruptionError:
        # No batch in it can be verified: that says nothing against the index, which finds needles.
        return volumes.sizes[place.volume] < place.offset + BATCH_HEAD_BYTES
    return _end(volumes, place) is None


def _end(volumes: Volumes, place: Place) -> int | None:
    """Where the batch ends that the index knows last; None if it is not there."""
    try:
        seed = volumes.seed(place.volume)
        with closing(volumes.open(place.volume)) as file:
            head = decode_batch_head(file.read_at(place.offset, BATCH_HEAD_BYTES), seed)
            end = place.offset + BATCH_HEAD_BYTES + head.payload_bytes
            found = Place(place.volume, place.offset, head.sequence, head.payload_checksum)
            is_there = found == place and end <= file.size_bytes()
    except (CorruptionError, FileNotFoundError):
        return None
    return end if is_there else None


class Replay:
    """
    Reads the volumes behind the place up to which the index tells all. It changes no volume.

    With ``verify_needles`` every needle is looked into, not only those of damaged batches.
    ``numbers`` are those of the volumes that it reads.
    """

    def __init__(
        self, volumes: Volumes, index: Index, witness: Witness, *, verify_needles: bool = False
    ) -> None:
        self._volumes = volumes
        self._index = index
        self._witness = witness
        self._verify_needles = verify_needles
        self.place = index.place
        self.numbers = [each for each in volumes.sizes if each >= self.place.volume]
        self._all_bytes = sum(volumes.sizes[each] for each in self.numbers)
        self._done_bytes = 0

    def run(self) -> int | None:
        """
        Let the index tell all, up to `place`; it is not always written.

        Gives where the last volume goes on; None if it has no sound superblock, or there is none.
        """
        end = None
        for number in self.numbers:
            end = self._replay(number)
            self._done_bytes += self._volumes.sizes[number]
            self._witness.has_read(self._done_bytes, self._all_bytes)
        return end

    def _replay(self, number: int) -> int | None:
        try:
            seed = self._volumes.seed(number)
        except CorruptionError as damage:
            what = f"none of its batches can be verified: {damage.message}"
            self._witness.found(Damage(number, 0, None, what))
            return None
        start = SUPERBLOCK_BYTES
        if number == self.place.volume:
            start = _end(self._volumes, self.place) or start
        with closing(self._volumes.open(number)) as file:
            scan = VolumeScan(file, start, seed, self.place.sequence)
            for found in scan:
                if isinstance(found, Gap):
                    what = f"bytes up to {found.end} are no batch"
                    self._witness.found(Damage(number, found.offset, None, what))
                else:
                    self._apply(number, found)
                self._witness.has_read(self._done_bytes + found.end, self._all_bytes)
        return scan.end

    def _apply(self, number: int, batch: FoundBatch) -> None:
        if batch.damaged:
            what = f"batch {batch.sequence} is damaged"
            self._witness.found(Damage(number, batch.offset, None, what))
        try:
            for record in decode_records(batch.payload):
                if record.kind is RecordKind.MARK:
                    self._mark(number, batch, record)
                else:
                    self._put(number, batch, record)
        except CorruptionError as damage:
            what = f"the rest of batch {batch.sequence} is lost: {damage.message}"
            self._witness.found(Damage(number, batch.offset, None, what))
        self.place = Place(number, batch.offset, batch.sequence, batch.checksum)
        if self._index.unwritten > UNWRITTEN_MAX:
            self._index.write(self.place)

    def _put(self, number: int, batch: FoundBatch, record: Record) -> None:
        state = record.state
        offset = batch.payload_offset + record.offset
        try:
            chunk_id = _named(record, batch)
        except CorruptionError as damage:
            what = f"a needle is lost: {damage.message}"
            self._witness.found(Damage(number, offset, None, what))
            return
        packed = chunk_id.packed
        old = self._index.get(packed)
        problem = _problem(record) if batch.damaged or self._verify_needles else None
        if problem is not None:
            self._witness.found(Damage(number, offset, chunk_id, problem))
            if old is not None and old.state in ALIVE:
                return
            state = NeedleState.QUARANTINED
        new = needles.put(old, number, offset, len(record.payload), state, batch.sequence)
        self._index.put(packed, old, new)

    def _mark(self, number: int, batch: FoundBatch, record: Record) -> None:
        for packed in record.chunk_ids:
            row = self._index.get(packed)
            if row is not None and row.is_reached_by(record.state):
                self._index.put(packed, row, row.marked(record.state, number, batch.sequence))


def _named(record: Record, batch: FoundBatch) -> ChunkId:
    """The chunk of a needle; raises when it cannot be told."""
    chunk_id = named_chunk(record.payload)
    if batch.damaged:
        verify_header(bytes(record.payload[:HEADER_BYTES]), chunk_id)
    return chunk_id


def _problem(record: Record) -> str | None:
    """What is wrong with a needle that should be sound, None if nothing is."""
    if record.state not in ALIVE:
        return None
    try:
        decode_whole(record.payload)
    except CorruptionError as damage:
        return damage.message
    return None
