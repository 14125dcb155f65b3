"""Batches of small chunks: the operations that a node takes, the results that the api takes."""

import struct
from collections.abc import Sequence

from tests.fuzz.target import Target
from twisted_store.core.batch import (
    CONFIRM,
    DEAD,
    DISCARD,
    ERROR,
    GET,
    OK,
    OPERATIONS_MAX,
    PUT,
    Record,
    decode_operations,
    decode_results,
    operation_head,
    pack_ids,
    result_head,
    unpack_ids,
)
from twisted_store.core.checksums import crc32c
from twisted_store.core.ids import ChunkId, object_id
from twisted_store.core.whole_chunk import decode_whole, encode_whole
from twisted_store.errors import ChecksumError, CorruptionError, FormatError

_HEAD = struct.Struct(">BBHII")

CHUNKS = [ChunkId(object_id(1, 2, number), number % 5) for number in range(3)]
IDS = pack_ids(CHUNKS)
WHOLE = encode_whole(CHUNKS[0], [b"content"], b"{}")
EMPTY = encode_whole(CHUNKS[1], [], b"a manifest")


def operation(kind: int, payload: bytes, ids: int = 0) -> bytes:
    """One operation."""
    return operation_head(kind, ids, payload) + payload


def result(kind: int, payload: bytes, ids: int = 0) -> bytes:
    """One result."""
    return result_head(kind, ids, payload) + payload


def take(raw: bytes) -> str:
    """As operations, or as results; a first byte tells them apart."""
    if raw[:1] == OPERATION:
        records, head = decode_operations(raw), operation_head
    else:
        records, head = decode_results(raw), result_head
    assert len(records) <= OPERATIONS_MAX
    kinds = [
        f"{each.kind}{'' if (payload := _payload(each)) is None else payload}" for each in records
    ]
    assert raw == b"".join(_again(records, head))
    return " ".join(sorted({*kinds}))


def _again(records: Sequence[Record], head: object) -> Sequence[bytes]:
    """The same bytes, but for checksums that were wrong."""
    again = []
    for each in records:
        encoded = head(each.kind, each.ids, each.payload)  # type: ignore[operator]
        again.append(encoded[:-4] + each.checksum.to_bytes(4, "big") + bytes(each.payload))
    return again


def _payload(record: Record) -> str:
    """What kind of payload it has."""
    try:
        payload = record.sound_payload()
    except ChecksumError:
        return "damaged"
    if record.ids:
        try:
            assert pack_ids(unpack_ids(payload)) == payload
        except FormatError:
            return "x"
        return "n"
    try:
        chunk = decode_whole(payload)
    except CorruptionError as error:
        return type(error).__name__[0]
    assert encode_whole(chunk.chunk_id, [chunk.blocks], chunk.manifest) == payload
    return "c"


def repair(raw: bytes) -> bytes:
    """The checksums of all payloads that are there as a whole."""
    fixed, at = bytearray(raw), 0
    while at + _HEAD.size <= len(raw):
        magic, kind, ids, payload_bytes, _ = _HEAD.unpack_from(raw, at)
        start = at + _HEAD.size
        if start + payload_bytes > len(raw):
            break
        checksum = crc32c(raw[start : start + payload_bytes])
        _HEAD.pack_into(fixed, at, magic, kind, ids, payload_bytes, checksum)
        at = start + payload_bytes
    return bytes(fixed)


OPERATION = operation(GET, IDS, 3)[:1]

TARGET = Target(
    samples=[
        b"",
        operation(PUT, WHOLE) + operation(PUT, EMPTY),
        operation(GET, IDS, 3),
        operation(CONFIRM, IDS, 3) + operation(DEAD, IDS[:17], 1) + operation(DISCARD, IDS, 3),
        result(OK, b"") + result(OK, WHOLE) + result(OK, IDS, 3),
        result(ERROR, b'{"error": "no_space", "message": "full"}') + result(OK, b""),
    ],
    take=take,
    errors=(ChecksumError, FormatError),
    repair=repair,
)
