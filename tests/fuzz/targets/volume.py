"""Volumes, scanned past damage as at a start without an index."""

import struct
from itertools import pairwise

from tests.fuzz.target import Target
from twisted_store.core.checksums import crc32c
from twisted_store.core.ids import ChunkId, object_id
from twisted_store.core.volume import (
    BATCH_HEAD_BYTES,
    BATCH_MAGIC,
    SUPERBLOCK_BYTES,
    NeedleState,
    RecordKind,
    decode_records,
    decode_superblock,
    encode_batch,
    encode_mark,
    encode_superblock,
    needle_head,
)
from twisted_store.core.whole_chunk import encode_whole
from twisted_store.errors import CorruptionError
from twisted_store.simulation.disk import MemoryFile
from twisted_store.storage.volume_scan import FoundBatch, Gap, VolumeScan

NUMBER = 3
SALT = bytes(range(16))
SEED = crc32c(SALT)

_BATCH = struct.Struct(">4sIQI")
_CHECKSUM = struct.Struct(">I")


def needle(number: int, chunk_bytes: int) -> bytes:
    """The record of a chunk."""
    chunk_id = ChunkId(object_id(1, 2, number), 0)
    content = encode_whole(chunk_id, [bytes(chunk_bytes)], b"{}")
    return needle_head(NeedleState.PROVISIONAL, len(content)) + content


def mark(number: int) -> bytes:
    """A record that confirms a chunk."""
    return encode_mark(NeedleState.CONFIRMED, [ChunkId(object_id(1, 2, number), 0).packed])


BATCHES = (
    encode_batch(5, [needle(1, 10)], SEED),
    encode_batch(6, [needle(2, 2000), needle(3, 1), mark(1)], SEED),
    encode_batch(9, [mark(2), mark(3)], SEED),
)

SUPERBLOCK = encode_superblock(NUMBER, SALT)

SOUND = SUPERBLOCK + b"".join(BATCHES)


def take(raw: bytes) -> str:
    """
    Scan all of a volume: what is found are the bytes that stand there, in order, without overlaps.

    Batches that are not changed, from the first on, are all found.
    """
    seed = decode_superblock(raw[:SUPERBLOCK_BYTES], NUMBER)
    assert seed == SEED
    scan = VolumeScan(MemoryFile(bytearray(raw)), SUPERBLOCK_BYTES, seed)
    found = [*scan]
    places = [(SUPERBLOCK_BYTES, SUPERBLOCK_BYTES), *((each.offset, each.end) for each in found)]
    assert all(before[1] == after[0] < after[1] for before, after in pairwise(places))
    assert places[-1][1] == scan.end <= len(raw)
    batches = [each for each in found if isinstance(each, FoundBatch)]
    assert all(before.sequence < after.sequence for before, after in pairwise(batches))
    assert not found or isinstance(found[-1], FoundBatch) and not found[-1].damaged
    _verify_unchanged(raw, batches)
    kinds = "".join(_kind(raw, each) for each in found)
    return f"{kinds[:20]}, tail {scan.end < len(raw)}"


def _kind(raw: bytes, found: FoundBatch | Gap) -> str:
    if isinstance(found, Gap):
        return "g"
    assert raw[found.payload_offset : found.end] == found.payload
    if found.damaged:
        return "d" + _records(found.payload)
    assert encode_batch(found.sequence, [found.payload], SEED) == raw[found.offset : found.end]
    return "b" + _records(found.payload)


def _records(payload: bytes) -> str:
    """How many records there are, at most 3, and whether they end as they should."""
    count = position = 0
    try:
        for record in decode_records(payload):
            assert record.offset > position or not count
            assert payload[record.offset :].startswith(record.payload)
            if record.kind is RecordKind.MARK:
                assert all([*record.chunk_ids])
            position, count = record.offset, count + 1
    except CorruptionError:
        return f"{min(count, 3)}!"
    return f"{min(count, 3)}"


def _verify_unchanged(raw: bytes, found: list[FoundBatch]) -> None:
    end = SUPERBLOCK_BYTES
    for batch, sequence in zip(BATCHES, (5, 6, 9), strict=True):
        if raw[end : end + len(batch)] != batch:
            return
        assert any((each.offset, each.sequence) == (end, sequence) for each in found)
        end += len(batch)


def repair(raw: bytes) -> bytes:
    """The superblock, and the checksums of all batches that are all there."""
    fixed = bytearray(SUPERBLOCK + raw[SUPERBLOCK_BYTES:])
    position = fixed.find(BATCH_MAGIC, SUPERBLOCK_BYTES)
    while position >= 0:
        head = bytes(fixed[position : position + BATCH_HEAD_BYTES])
        if len(head) == BATCH_HEAD_BYTES:
            magic, payload_bytes, sequence, checksum = _BATCH.unpack_from(head)
            start = position + BATCH_HEAD_BYTES
            payload = bytes(fixed[start : start + payload_bytes])
            if len(payload) == payload_bytes and sequence % 4:
                checksum = crc32c(payload, SEED)
            fields = _BATCH.pack(magic, payload_bytes, sequence, checksum)
            fixed[position:start] = fields + _CHECKSUM.pack(crc32c(fields, SEED))
        position = fixed.find(BATCH_MAGIC, position + 1)
    return bytes(fixed)


TARGET = Target(
    samples=[
        SOUND,
        SUPERBLOCK,
        SUPERBLOCK + encode_batch(1, [needle(4, 300)], SEED) + b"torn",
        SUPERBLOCK + b"gap" + encode_batch(2, [mark(4)], SEED),
    ],
    take=take,
    errors=(CorruptionError,),
    repair=repair,
)
