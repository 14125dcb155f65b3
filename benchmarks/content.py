"""Bytes of the files: cheap to make, different at every position, checked by their CRC32C."""

import random
import time
from collections.abc import Iterator

from crc32c import crc32c

UNIT_BYTES = 2**20
SOURCE = memoryview(random.Random(5).randbytes(2 * UNIT_BYTES))

# Primes, so that each unit of each file starts at a place of its own in the source.
FILE_STRIDE, UNIT_STRIDE = 104_729, 7_919


def pieces(number: int, size_bytes: int) -> Iterator[memoryview]:
    """The bytes of the file of this number, a unit at a time, without copying."""
    for unit, offset in enumerate(range(0, size_bytes, UNIT_BYTES)):
        start = (number * FILE_STRIDE + unit * UNIT_STRIDE) % UNIT_BYTES
        yield SOURCE[start : start + min(UNIT_BYTES, size_bytes - offset)]


def checksum(number: int, size_bytes: int) -> int:
    """CRC32C of the file of this number."""
    value = 0
    for piece in pieces(number, size_bytes):
        value = crc32c(piece, value)
    return value


def checksum_seconds_per_gib(units: int = 256) -> float:
    """CPU time that the check of what was received costs the client."""
    start = time.process_time()
    checksum(0, units * UNIT_BYTES)
    return (time.process_time() - start) * 2**30 / (units * UNIT_BYTES)
