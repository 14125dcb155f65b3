"""The volumes of a node: one takes what is written, the others are read, compacted and removed."""

import re
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from random import Random
from typing import NamedTuple

from twisted_store.core.checksums import Buffer
from twisted_store.core.needles import NeedleRow
from twisted_store.core.volume import (
    BATCH_HEAD_BYTES,
    SALT_BYTES,
    SUPERBLOCK_BYTES,
    BatchHead,
    decode_batch_head,
    decode_superblock,
    encode_batch,
    encode_superblock,
)
from twisted_store.storage.disk import Disk, DiskFile

INDEX_NAME = "index.sqlite"

VOLUME_BYTES_MAX = 1024 * 1024 * 1024
"""A volume that a batch would make longer is sealed, and the batch goes to the next one."""

_NAME = re.compile(r"([0-9]{10})\.volume")


class Unsynced(NamedTuple):
    """What stands in a volume from an offset on may be lost with power."""

    volume: int
    offset: int


class _Active:
    """The volume that is written to."""

    def __init__(self, number: int, file: DiskFile, size_bytes: int, seed: int) -> None:
        self.number = number
        self.file = file
        self.seed = seed
        self.synced_bytes = size_bytes
        self.kept_bytes = size_bytes


class Volumes:
    """
    The files `volumes/NUMBER.volume` below ``root``. Blocking; one thread at a time writes.

    ``sizes`` has the bytes of each volume by its number; the next one gets one more than
    ``last_number``, so that no number is used twice, and its salt from ``random``, which who only
    looks does not need.
    """

    def __init__(
        self,
        disk: Disk,
        root: str,
        random: Random | None = None,
        volume_bytes_max: int = VOLUME_BYTES_MAX,
    ) -> None:
        self.path = f"{root}/volumes"
        self.index_path = f"{self.path}/{INDEX_NAME}"
        self._root = root
        self._random = random
        self.disk = disk
        self.full_bytes = volume_bytes_max
        self._active: _Active | None = None
        self.sizes: dict[int, int] = {}
        self.last_number = 0
        self._given_up: dict[int, int] = {}

    @property
    def active(self) -> int | None:
        """The number of the volume that is written to, if there is one."""
        return None if self._active is None else self._active.number

    @property
    def unsynced(self) -> Unsynced | None:
        """What has been appended and not synced."""
        if self._active is None:
            return None
        return Unsynced(self._active.number, self._active.synced_bytes)

    @property
    def used_bytes(self) -> int:
        """What all of them take."""
        return sum(self.sizes.values())

    def load(self) -> None:
        """See what is there; a directory that is missing is made."""
        self.disk.make_directory(self.path)
        self.disk.sync_directory(self._root)
        self.disk.sync_directory(self.path)
        self.look()

    def look(self) -> None:
        """See what is there, and change nothing; raises `FileNotFoundError` for no directory."""
        for entry in self.disk.entries(self.path):
            if name := _NAME.fullmatch(entry.name):
                self.sizes[int(name[1])] = entry.size_bytes
        self.sizes = dict(sorted(self.sizes.items()))
        self.last_number = max(self.sizes, default=0)

    def open(self, number: int) -> DiskFile:
        """A volume for reading; raises `FileNotFoundError` once it has been removed."""
        return self.disk.open(self.file_path(number))

    def seed(self, number: int) -> int:
        """
        What the checksums of a volume's batches start from.

        Raises `CorruptionError` when no copy of its superblock is sound.
        """
        with closing(self.open(number)) as file:
            return _seed(file, number)

    @contextmanager
    def opened(self) -> Iterator["OpenVolumes"]:
        """Volumes that stay open for a while."""
        volumes = OpenVolumes(self)
        try:
            yield volumes
        finally:
            volumes.close()

    def resume(self, number: int, end: int) -> None:
        """Go on writing the last volume, from ``end`` on; what stands behind it is cut off."""
        file = self.disk.reopen(self.file_path(number))
        try:
            seed = _seed(file, number)
            if file.size_bytes() != end:
                file.truncate(end)
            file.sync()
        except BaseException:
            file.close()
            raise
        self.sizes[number] = end
        self._active = _Active(number, file, end, seed)

    def make_room(self, payload_bytes: int) -> int:
        """
        Have a volume that takes a batch of so many bytes; where its payload will begin.

        A volume that is full is synced and sealed.
        """
        if self._active is not None:
            size_bytes = self.sizes[self._active.number]
            longer_bytes = size_bytes + BATCH_HEAD_BYTES + payload_bytes
            if longer_bytes > self.full_bytes and size_bytes > SUPERBLOCK_BYTES:
                self.roll()
        if self._active is None:
            self._active = self._begin()
        return self.sizes[self._active.number] + BATCH_HEAD_BYTES

    def append(self, sequence: int, records: Sequence[Buffer]) -> BatchHead:
        """Write a batch for which there is room; its head."""
        assert self._active is not None
        seed = self._active.seed
        batch = encode_batch(sequence, records, seed)
        self._active.file.write_at(self.sizes[self._active.number], [batch])
        self.sizes[self._active.number] += len(batch)
        return decode_batch_head(batch, seed)

    def keep(self) -> None:
        """What has been appended counts from now on."""
        if self._active is not None:
            self._active.kept_bytes = self.sizes[self._active.number]

    def roll(self) -> None:
        """Sync and seal the volume that is written to; the next batch begins another one."""
        self.sync()
        self.seal()

    def sync(self) -> None:
        """All that has been appended survives a power loss."""
        if self._active is not None:
            size_bytes = self.sizes[self._active.number]
            if size_bytes > self._active.synced_bytes:
                self._active.file.sync()
                self._active.synced_bytes = size_bytes

    def seal(self) -> None:
        """Write no more to this volume."""
        active, self._active = self._active, None
        if active is not None:
            active.file.close()

    def give_up(self) -> None:
        """
        Seal the volume after a write or a sync of it failed.

        What stands behind the last batch that counts must not be found later: see `cut`. What has
        not been synced is in doubt.
        """
        active = self._active
        if active is not None:
            self.sizes[active.number] = self._given_up[active.number] = active.kept_bytes
            self.seal()

    def cut(self) -> None:
        """Cut off, durably, what failed; nothing is written before that."""
        for number, size_bytes in [*self._given_up.items()]:
            with closing(self.disk.reopen(self.file_path(number))) as file:
                file.truncate(size_bytes)
                file.sync()
            del self._given_up[number]

    def remove(self, number: int) -> int:
        """Remove a sealed volume; the bytes freed, durably."""
        with suppress(FileNotFoundError):  # the sync may have failed the last time
            self.disk.remove(self.file_path(number))
        self.disk.sync_directory(self.path)
        return self.sizes.pop(number)

    def _begin(self) -> _Active:
        assert self._random is not None
        number = self.last_number + 1
        superblock = encode_superblock(number, self._random.randbytes(SALT_BYTES))
        file = self.disk.create(self.file_path(number))
        try:
            file.write_at(0, [superblock])
            file.sync()
            self.disk.sync_directory(self.path)
        except BaseException:
            file.close()
            raise
        self.sizes[number] = SUPERBLOCK_BYTES
        self.last_number = number
        return _Active(number, file, SUPERBLOCK_BYTES, decode_superblock(superblock, number))

    def file_path(self, number: int) -> str:
        """The file of a volume."""
        return f"{self.path}/{number:010}.volume"


def _seed(file: DiskFile, number: int) -> int:
    return decode_superblock(file.read_at(0, SUPERBLOCK_BYTES), number)


class OpenVolumes:
    """Each volume is opened once, however many needles are read."""

    def __init__(self, volumes: Volumes) -> None:
        self._volumes = volumes
        self._files: dict[int, DiskFile] = {}

    def read(self, row: NeedleRow) -> bytes:
        """The content of a needle; raises `FileNotFoundError` when its volume was removed."""
        file = self._files.get(row.volume)
        if file is None:
            file = self._files[row.volume] = self._volumes.open(row.volume)
        return file.read_at(row.offset, row.size_bytes)

    def close(self) -> None:
        """Close them all."""
        for file in self._files.values():
            file.close()
