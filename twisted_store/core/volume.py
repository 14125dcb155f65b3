"""
The form of a volume: an append-only file of batches of records. Big endian; see docs/formats.md.

A superblock, which is there twice, says which volume it is, and has its *salt*: random bytes. Each
batch, what was written at once, has a head with its sequence number, which grows through all
volumes of a node, and the checksum of its payload: its records end to end. The checksums of head
and payload start from the *seed*, the checksum of the salt: no batch is sound in another volume. A
*needle* record is a whole chunk and the state in which it begins; a *mark* record moves chunks on
in their life. What a later record says of a chunk counts.
"""

import struct
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from twisted_store.core.checksums import Buffer, crc32c
from twisted_store.core.ids import PACKED_BYTES
from twisted_store.errors import ChecksumError, CorruptionError, FormatError

VERSION = 1

# Magic, version, number of the volume, salt, zeros; then the CRC32C of all these.
_SUPERBLOCK = struct.Struct(">8sIQ16s24x")
_SUPERBLOCK_MAGIC = b"\x89tsvolum"

# Magic, bytes of the payload, sequence number, CRC32C of the payload; then the CRC32C of all these.
# Both start from the seed.
_BATCH = struct.Struct(">4sIQI")
BATCH_MAGIC = b"\xf5tsb"

# Kind, state, zeros, bytes of the payload; then a CRC32C.
_RECORD = struct.Struct(">BBHI")

_CHECKSUM = struct.Struct(">I")

SALT_BYTES = 16
"""Random bytes of a volume."""

_COPY_BYTES = _SUPERBLOCK.size + _CHECKSUM.size

SUPERBLOCK_BYTES = 2 * _COPY_BYTES
"""Both copies of the superblock: where the first batch begins."""

BATCH_HEAD_BYTES = _BATCH.size + _CHECKSUM.size

RECORD_HEAD_BYTES = _RECORD.size + _CHECKSUM.size

BATCH_BYTES_MAX = 64 * 1024 * 1024
"""Largest payload of a batch."""


class RecordKind(IntEnum):
    """What a record is."""

    NEEDLE = 1
    MARK = 2


class NeedleState(IntEnum):
    """The life of a needle; one that is gone is not to be found any more."""

    PROVISIONAL = 1
    CONFIRMED = 2
    QUARANTINED = 3
    DEAD = 4
    GONE = 5


class BatchHead(NamedTuple):
    """What goes before a batch's payload."""

    payload_bytes: int
    sequence: int
    payload_checksum: int


@dataclass(frozen=True, slots=True)
class Record:
    """A record of a batch; ``offset`` is where its payload begins in that of the batch."""

    kind: RecordKind
    state: NeedleState
    offset: int
    payload: memoryview

    @property
    def chunk_ids(self) -> Iterator[bytes]:
        """The packed ids of the chunks that a mark names."""
        for start in range(0, len(self.payload), PACKED_BYTES):
            yield bytes(self.payload[start : start + PACKED_BYTES])


def encode_superblock(number: int, salt: bytes) -> bytes:
    """The first `SUPERBLOCK_BYTES` bytes of a volume; ``salt`` has `SALT_BYTES`."""
    fields = _SUPERBLOCK.pack(_SUPERBLOCK_MAGIC, VERSION, number, salt)
    return 2 * (fields + _CHECKSUM.pack(crc32c(fields)))


def decode_superblock(raw: bytes, number: int) -> int:
    """
    The seed of that volume, which begins with ``raw``.

    One copy that is sound will do; raises `CorruptionError` when none is.
    """
    if len(raw) != SUPERBLOCK_BYTES:
        raise FormatError(f"Volume {number} does not begin as a volume.")
    with suppress(CorruptionError):
        return _decode_copy(raw[:_COPY_BYTES], number)
    return _decode_copy(raw[_COPY_BYTES:], number)


def _decode_copy(raw: bytes, number: int) -> int:
    if not raw.startswith(_SUPERBLOCK_MAGIC):
        raise FormatError(f"Volume {number} does not begin as a volume.")
    if raw[_SUPERBLOCK.size :] != _CHECKSUM.pack(crc32c(raw[: _SUPERBLOCK.size])):
        raise ChecksumError(f"The superblock of volume {number} is damaged.")
    _, version, found, salt = _SUPERBLOCK.unpack_from(raw)
    if (version, found) != (VERSION, number):
        raise FormatError(f"Volume {number} says it is volume {found} of version {version}.")
    return crc32c(salt)


def encode_batch(sequence: int, records: Sequence[Buffer], seed: int) -> bytes:
    """A batch of the volume with that seed; ``records`` are the pieces of its payload."""
    payload = b"".join(records)
    fields = _BATCH.pack(BATCH_MAGIC, len(payload), sequence, crc32c(payload, seed))
    return b"".join((fields, _CHECKSUM.pack(crc32c(fields, seed)), payload))


def decode_batch_head(raw: Buffer, seed: int) -> BatchHead:
    """
    The head that ``raw`` begins with.

    Raises `FormatError` when it begins with none of the volume with that seed.
    """
    if len(raw) < BATCH_HEAD_BYTES:
        raise FormatError("The volume ends within the head of a batch.")
    magic, payload_bytes, sequence, payload_checksum = _BATCH.unpack_from(raw)
    if magic != BATCH_MAGIC or payload_bytes > BATCH_BYTES_MAX:
        raise FormatError("There is no head of a batch here.")
    if _CHECKSUM.unpack_from(raw, _BATCH.size)[0] != crc32c(raw[: _BATCH.size], seed):
        raise FormatError("The head of a batch is damaged.")
    return BatchHead(payload_bytes, sequence, payload_checksum)


def verify_payload(head: BatchHead, payload: Buffer, seed: int) -> None:
    """Raise `ChecksumError` unless ``payload`` is what the head announces."""
    if len(payload) != head.payload_bytes or crc32c(payload, seed) != head.payload_checksum:
        raise ChecksumError(f"Batch {head.sequence} is damaged.")


def needle_head(state: NeedleState, content_bytes: int) -> bytes:
    """What goes before a whole chunk in a batch."""
    fields = _RECORD.pack(RecordKind.NEEDLE, state, 0, content_bytes)
    return fields + _CHECKSUM.pack(crc32c(fields))


def encode_mark(state: NeedleState, chunk_ids: Sequence[bytes]) -> bytes:
    """A record that moves chunks on to ``state``; ids are packed."""
    payload = b"".join(chunk_ids)
    fields = _RECORD.pack(RecordKind.MARK, state, 0, len(payload))
    return b"".join((fields, _CHECKSUM.pack(crc32c(payload, crc32c(fields))), payload))


def decode_records(payload: Buffer) -> Iterator[Record]:
    """
    The records of a batch; raises where they do not go on.

    What a needle holds is not verified, what a mark names is.
    """
    view = memoryview(payload)
    position = 0
    while position < len(view):
        if len(view) - position < RECORD_HEAD_BYTES:
            raise FormatError("A batch ends within the head of a record.")
        kind, state, zeros, size_bytes = _RECORD.unpack_from(view, position)
        (checksum,) = _CHECKSUM.unpack_from(view, position + _RECORD.size)
        computed = crc32c(view[position : position + _RECORD.size])
        start = position + RECORD_HEAD_BYTES
        content = view[start : start + size_bytes]
        if kind == RecordKind.MARK:
            computed = crc32c(content, computed)
        if checksum != computed:
            raise ChecksumError("A record of a batch is damaged.")
        if zeros or len(content) != size_bytes or not _is_sound(kind, state, size_bytes):
            raise FormatError(f"A record of kind {kind}, state {state}, {size_bytes} bytes.")
        yield Record(RecordKind(kind), NeedleState(state), start, content)
        position = start + size_bytes


def _is_sound(kind: int, state: int, size_bytes: int) -> bool:
    if not NeedleState.PROVISIONAL <= state <= NeedleState.GONE:
        return False
    if kind == RecordKind.MARK:
        return size_bytes % PACKED_BYTES == 0
    return kind == RecordKind.NEEDLE and size_bytes > 0
