"""Between values and what stands in the columns of the catalog."""

from dataclasses import dataclass
from typing import Any, Self

from twisted_store.catalog.entries import Entry
from twisted_store.core.ids import NodeId, ObjectId, Placement
from twisted_store.core.manifest import Manifest
from twisted_store.core.reasons import NO_REASONS, Reasons


def pack_placement(placement: Placement) -> str:
    """Node ids in order of chunk index with commas between them, nothing for a hole."""
    return ",".join(node_id or "" for node_id in placement)


def unpack_placement(nodes: str) -> Placement:
    """The inverse of `pack_placement`."""
    return tuple(NodeId(node_id) if node_id else None for node_id in nodes.split(","))


def pack_object_id(object_id: ObjectId) -> bytes:
    """16 bytes."""
    return bytes.fromhex(object_id)


def unpack_object_id(packed: bytes) -> ObjectId:
    """The inverse of `pack_object_id`."""
    return ObjectId(packed.hex())


def entry_of(row: tuple[Any, ...]) -> Entry:
    """An entry from the columns sequence, manifest, nodes."""
    sequence, manifest, nodes = row
    return Entry(Manifest.decode(manifest), unpack_placement(nodes), sequence)


@dataclass(frozen=True, slots=True)
class ObjectRow:
    """A version about to be committed, packed for its columns."""

    name: bytes
    object_id: bytes
    size_bytes: int
    etag: str
    created_us: int
    nodes: str
    manifest: bytes
    reasons: str | None

    @classmethod
    def pack(cls, manifest: Manifest, placement: Placement, reasons: Reasons) -> Self:
        """Whatever cannot be packed fails here, before it shares a transaction with others."""
        return cls(
            manifest.name.encode(),
            pack_object_id(manifest.object_id),
            manifest.size_bytes,
            manifest.etag,
            manifest.created_us,
            pack_placement(placement),
            manifest.encode(),
            reasons.encoded if reasons != NO_REASONS else None,
        )
