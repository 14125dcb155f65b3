"""Identifiers of objects, chunks, nodes and clusters, and the placement that ties them together."""

import re
from typing import NamedTuple, NewType, Self

from twisted_store.errors import BadRequestError, FormatError

ObjectId = NewType("ObjectId", str)
"""32 hex digits: incarnation (32 bits), sequence (48 bits), salt (48 bits)."""

NodeId = NewType("NodeId", str)
"""16 hex digits, drawn when a node's data directory is made."""

ClusterId = NewType("ClusterId", str)
"""16 hex digits, drawn when a catalog is made."""

Placement = tuple[NodeId | None, ...]
"""For each chunk index the node that holds it, or None for a hole. Never changed in place."""

OBJECT_ID_BITS = 128
SALT_BITS = 48
NODE_ID_BITS = 64

PACKED_BYTES = 17
"""Length of a packed chunk id."""

CHUNK_INDEX_MAX = 99
"""Two digits, as in the names of files."""

_OBJECT_ID = re.compile(r"[0-9a-f]{32}")
_NODE_ID = re.compile(r"[0-9a-f]{16}")
_CHUNK_INDEX = re.compile(r"0|[1-9][0-9]?")
_INDEX_BYTES = tuple(bytes([index]) for index in range(256))


def object_id(incarnation: int, sequence: int, salt: int) -> ObjectId:
    """The id of the ``sequence``-th upload of the api's ``incarnation``-th life."""
    return ObjectId(f"{incarnation:08x}{sequence:012x}{salt:012x}")


def incarnation_of(object_id: ObjectId) -> int:
    """The life of the api in which the object's upload began."""
    return int(object_id[:8], 16)


def parse_object_id(text: str) -> ObjectId:
    """Raise `BadRequestError` unless ``text`` has the form of an object id."""
    if _OBJECT_ID.fullmatch(text) is None:
        raise BadRequestError(f"{text!r} is not an object id: 32 hex digits are.")
    return ObjectId(text)


def parse_node_id(text: str) -> NodeId:
    """Raise `BadRequestError` unless ``text`` has the form of a node id."""
    if _NODE_ID.fullmatch(text) is None:
        raise BadRequestError(f"{text!r} is not a node id: 16 hex digits are.")
    return NodeId(text)


def hex_id(random_bits: int) -> str:
    """The 16 hex digits of a new node or cluster id."""
    return f"{random_bits:016x}"


class ChunkId(NamedTuple):
    """One chunk of one object version; written ``OBJECT_ID-INDEX``."""

    # A tuple, since sets and dicts of these are all over the place: no other hash is as cheap.
    object_id: ObjectId
    index: int  # type: ignore[assignment]

    def __str__(self) -> str:
        return f"{self.object_id}-{self.index}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raise `BadRequestError` unless ``text`` is ``OBJECT_ID-INDEX``."""
        head, _, index = text.partition("-")
        return cls(parse_object_id(head), parse_chunk_index(index))

    @property
    def packed(self) -> bytes:
        """`PACKED_BYTES` bytes: the object id and the index."""
        return bytes.fromhex(self.object_id) + _INDEX_BYTES[self.index]

    @classmethod
    def unpack(cls, packed: bytes | memoryview) -> Self:
        """Raise `FormatError` unless ``packed`` has the form of a packed chunk id."""
        if len(packed) != PACKED_BYTES or packed[-1] > CHUNK_INDEX_MAX:
            raise FormatError(f"{packed.hex()} is not a packed chunk id.")
        return cls(ObjectId(packed[:-1].hex()), packed[-1])


def parse_chunk_index(text: str) -> int:
    """Raise `BadRequestError` unless ``text`` is a decimal number of at most two digits."""
    if _CHUNK_INDEX.fullmatch(text) is None:
        raise BadRequestError(f"{text!r} is not a chunk index.")
    return int(text)
