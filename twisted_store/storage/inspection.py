"""Looks into the volumes of a node that is stopped, by copies of its index; changes nothing."""

from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from twisted_store.core.ids import ChunkId
from twisted_store.core.needles import NeedleRow
from twisted_store.core.volume import SUPERBLOCK_BYTES, NeedleState
from twisted_store.database import DatabaseOpener
from twisted_store.errors import CorruptionError
from twisted_store.storage.disk import Disk
from twisted_store.storage.index import Index
from twisted_store.storage.index_file import IndexDamagedError
from twisted_store.storage.needle_log import read_needle
from twisted_store.storage.recovery import Replay, compare
from twisted_store.storage.volume_scan import VolumeScan
from twisted_store.storage.volumes import INDEX_NAME, OpenVolumes, Volumes
from twisted_store.storage.witness import Damage, Witness

PAGE_ROWS = 1000
"""Rows of an index that are looked at at once."""

_COPY_BYTES = 1024 * 1024


def index_of_volumes(
    volumes: Volumes, open_database: DatabaseOpener, folder: Path, witness: Witness
) -> Index:
    """An index in ``folder`` that is made of the volumes alone, each needle of them verified."""
    index = Index(open_database, folder / f"anew-{INDEX_NAME}")
    replay = Replay(volumes, index, witness, verify_needles=True)
    replay.run()
    index.write(replay.place)
    return index


def index_of_file(
    disk: Disk, volumes: Volumes, open_database: DatabaseOpener, folder: Path, witness: Witness
) -> Index:
    """
    A copy, in ``folder``, of the index file, which tells all that is in the volumes.

    Raises `IndexDamagedError` when a start would make it anew.
    """
    for suffix in ("", "-wal"):
        _copy(disk, f"{volumes.path}/{INDEX_NAME}{suffix}", folder / f"{INDEX_NAME}{suffix}")
    if not (folder / INDEX_NAME).exists():
        raise IndexDamagedError("there is none")
    index = Index(open_database, folder / INDEX_NAME)
    try:
        index.verify()
        compare(volumes, index)
        replay = Replay(volumes, index, witness)
        replay.run()
        index.write(replay.place)
    except BaseException:
        index.close()
        raise
    return index


@dataclass(frozen=True, slots=True)
class VolumeSummary:
    """What there is to say of a volume; needles by the name of their state."""

    number: int
    size_bytes: int
    needles: dict[str, int]
    live_bytes: int
    batches: int
    first_sequence: int
    last_sequence: int

    @property
    def garbage(self) -> float:
        """The part of it that is not needed."""
        return 1 - self.live_bytes / max(self.size_bytes, 1)


def summaries(volumes: Volumes, index: Index) -> list[VolumeSummary]:
    """Of each volume, by an index that tells all."""
    needles: dict[int, Counter[str]] = {number: Counter() for number in volumes.sizes}
    for _, row in rows(index):
        if row.volume in needles:
            needles[row.volume][row.state.name.lower()] += 1
    return [_summary(volumes, index, number, needles[number]) for number in needles]


def _summary(volumes: Volumes, index: Index, number: int, needles: Counter[str]) -> VolumeSummary:
    sequences = _sequences(volumes, number)
    return VolumeSummary(
        number=number,
        size_bytes=volumes.sizes[number],
        needles={state.name.lower(): needles[state.name.lower()] for state in NeedleState},
        live_bytes=index.live_bytes[number],
        batches=len(sequences),
        first_sequence=sequences[0] if sequences else 0,
        last_sequence=sequences[-1] if sequences else 0,
    )


def _sequences(volumes: Volumes, number: int) -> list[int]:
    """Of its batches; without a sound superblock none can be told."""
    try:
        seed = volumes.seed(number)
    except CorruptionError:
        return []
    with closing(volumes.open(number)) as file:
        return [head.sequence for head in VolumeScan(file, SUPERBLOCK_BYTES, seed).heads()]


def rows(index: Index) -> Iterator[tuple[bytes, NeedleRow]]:
    """All rows by packed id."""
    after = None
    while page := index.page(after, PAGE_ROWS):
        yield from page
        after = page[-1][0]


def differences(
    index: Index, anew: Index, volumes: OpenVolumes, damaged: Collection[ChunkId]
) -> Iterator[Damage]:
    """
    Where an index does not tell what one says that was made anew of the volumes.

    What is ``damaged`` in the volumes, or gone, is left out.
    """
    for packed, row in rows(index):
        chunk_id = ChunkId.unpack(packed)
        other = anew.get(packed)
        if chunk_id not in damaged and _told(row) not in (None, _told(other)):
            what = _contradiction(packed, row, other, volumes)
            yield Damage(row.volume, row.offset, chunk_id, what)
    for packed, row in rows(anew):
        chunk_id = ChunkId.unpack(packed)
        if chunk_id not in damaged and _told(row) is not None and _told(index.get(packed)) is None:
            what = f"the index does not know this needle, which is {row.state.name.lower()}"
            yield Damage(row.volume, row.offset, chunk_id, what)


def _told(row: NeedleRow | None) -> tuple[int, int, int, NeedleState] | None:
    """What two indexes of the same volumes must agree on."""
    if row is None or row.state is NeedleState.GONE:
        return None
    return row.volume, row.offset, row.size_bytes, row.state


def _contradiction(
    packed: bytes, row: NeedleRow, other: NeedleRow | None, volumes: OpenVolumes
) -> str:
    state = row.state.name.lower()
    if other is not None:
        return (
            f"the index says that it is {state}, the volumes say {other.state.name.lower()}, "
            f"at byte {other.offset} of volume {other.volume}"
        )
    try:
        read_needle(packed, row, volumes)
    except (CorruptionError, FileNotFoundError):
        return f"the index says that a needle is here, {state}: there is none"
    return f"only the index knows this needle, {state}: what says so in the volume is damaged"


def _copy(disk: Disk, source: str, target: Path) -> None:
    try:
        file = disk.open(source)
    except FileNotFoundError:
        return
    with closing(file), target.open("wb") as copy:
        position = 0
        while piece := file.read_at(position, _COPY_BYTES):
            copy.write(piece)
            position += len(piece)
