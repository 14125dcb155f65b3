"""
Many calls for small chunks in one: the wire format of a batch, in both directions.

A batch is operations end to end, its answer the results in their order. Each has a head of 12 bytes
(magic, kind, number of chunk ids or 0, payload bytes, CRC32C of the payload; big endian) and a
payload. What is damaged within a payload concerns that one alone; heads that do not follow one
another say nothing about any of them.
"""

import struct
from collections.abc import Sequence
from typing import NamedTuple

from twisted_store.core.checksums import Buffer, crc32c
from twisted_store.core.ids import PACKED_BYTES, ChunkId
from twisted_store.errors import ChecksumError, FormatError

MEDIA_TYPE = "application/vnd.twisted-store.batch"

BATCH_BYTES_MAX = 4 * 1024 * 1024
"""Largest body of a batch, and of its answer."""

BATCH_CHUNKS_MAX = 64
"""Small chunks that the api sends or asks for in one batch, unless an operator says otherwise."""

OPERATIONS_MAX = 128
"""Most operations of a batch, and results of its answer."""

WHOLE_CHUNK_BYTES_MAX = 129 * 1024
"""Largest whole chunk: a block, a manifest, and what goes around them."""

IDS_MAX = 65535
"""Most chunk ids of one operation."""

PUT, GET, CONFIRM, DEAD, DISCARD = range(1, 6)
"""Kinds of operations: a put brings a whole chunk, the others packed chunk ids."""

OK, ERROR = 1, 2
"""Kinds of results: what was asked for, or a JSON object with ``error`` and ``message``."""

_HEAD = struct.Struct(">BBHII")
_HEAD_BYTES = _HEAD.size
_OPERATION_MAGIC = 0xF6
_RESULT_MAGIC = 0xF7


class Record(NamedTuple):
    """An operation or a result, its payload not looked into yet: ``ids`` chunk ids, or others."""

    kind: int
    ids: int
    payload: memoryview
    checksum: int

    def sound_payload(self) -> memoryview:
        """The payload; raises `ChecksumError` when it is not what was sent."""
        if crc32c(self.payload) != self.checksum:
            raise ChecksumError("A part of a batch arrived damaged.")
        return self.payload


def operation_head(kind: int, ids: int, payload: Buffer) -> bytes:
    """What goes before the payload of an operation."""
    return _HEAD.pack(_OPERATION_MAGIC, kind, ids, len(payload), crc32c(payload))


def result_head(kind: int, ids: int, payload: Buffer) -> bytes:
    """What goes before the payload of a result."""
    return _HEAD.pack(_RESULT_MAGIC, kind, ids, len(payload), crc32c(payload))


def decode_operations(body: Buffer) -> list[Record]:
    """The operations of a batch; `FormatError` when it is none."""
    operations = _decode(body, _OPERATION_MAGIC, DISCARD)
    results = sum(each.ids if each.kind == GET else 1 for each in operations)
    if results > OPERATIONS_MAX:
        raise FormatError(f"A batch asks for {results} results, {OPERATIONS_MAX} are the most.")
    for kind, ids, payload, _ in operations:
        if len(payload) > WHOLE_CHUNK_BYTES_MAX if kind == PUT else not ids:
            raise FormatError(f"A batch has an operation {kind} of {len(payload)} bytes.")
    return operations


def decode_results(body: Buffer) -> list[Record]:
    """The results of a batch; `FormatError` when they are none."""
    return _decode(body, _RESULT_MAGIC, ERROR)


def pack_ids(chunk_ids: Sequence[ChunkId]) -> bytes:
    """Chunk ids as they stand in a payload; at most `IDS_MAX`."""
    return b"".join([chunk_id.packed for chunk_id in chunk_ids])


def unpack_ids(payload: Buffer) -> list[ChunkId]:
    """The chunk ids of a payload; `FormatError` when one is none."""
    unpack = ChunkId.unpack
    view = memoryview(payload)
    return [unpack(view[at : at + PACKED_BYTES]) for at in range(0, len(view), PACKED_BYTES)]


def _decode(body: Buffer, magic: int, kind_max: int) -> list[Record]:
    view, at, end = memoryview(body), 0, len(body)
    records: list[Record] = []
    while at < end:
        start = at + _HEAD_BYTES
        if start > end:
            raise FormatError("A batch ends within a head.")
        found, kind, ids, payload_bytes, checksum = _HEAD.unpack_from(view, at)
        at = start + payload_bytes
        if found != magic or not 0 < kind <= kind_max or (ids and ids * PACKED_BYTES != at - start):
            raise FormatError("A batch has something else where a head should be.")
        if at > end:
            raise FormatError("A batch ends within a payload.")
        if len(records) == OPERATIONS_MAX:
            raise FormatError(f"A batch has more than {OPERATIONS_MAX} operations or results.")
        records.append(Record(kind, ids, view[start:at], checksum))
    return records
