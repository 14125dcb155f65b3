"""
The seal of the index: its length and checksum, written when the process ends in order.

With it the next start need not look at every row. It is gone before the index changes; should a
power loss bring it back, it does not fit.
"""

import json
from contextlib import closing, suppress

from twisted_store.core.checksums import crc32c
from twisted_store.storage.disk import Disk

LOG_SUFFIX = "-wal"
"""What SQLite adds to the name of a database for its log."""

_SUFFIX = ".seal"

_PIECE_BYTES = 1024 * 1024


def seal(disk: Disk, path: str) -> None:
    """Seal a file that nobody changes any more; nothing happens when it is not there."""
    found = _sum(disk, path)
    if found is not None:
        with closing(disk.create(path + _SUFFIX)) as file:
            file.write_at(0, [found])


def is_sealed(disk: Disk, path: str) -> bool:
    """
    Whether the file is what it was when it was sealed.

    It is not if it has a log, even one of an earlier file that a power loss brought back.
    """
    if disk.size_bytes(path + LOG_SUFFIX) is not None:
        return False
    try:
        with closing(disk.open(path + _SUFFIX)) as file:
            sealed = file.read_at(0, file.size_bytes())
    except FileNotFoundError:
        return False
    return sealed == _sum(disk, path)


def break_seal(disk: Disk, path: str) -> None:
    """The file may change from now on."""
    with suppress(FileNotFoundError):
        disk.remove(path + _SUFFIX)


def _sum(disk: Disk, path: str) -> bytes | None:
    value = position = 0
    try:
        with closing(disk.open(path)) as file:
            while piece := file.read_at(position, _PIECE_BYTES):
                value = crc32c(piece, value)
                position += len(piece)
    except FileNotFoundError:
        return None
    return json.dumps({"bytes": position, "crc32c": value}).encode()
