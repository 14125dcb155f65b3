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
    """An entry from the columns sequence, manifest, nodes, auto."""
    sequence, manifest, nodes, auto = row
    return Entry(Manifest.decode(manifest), unpack_placement(nodes), sequence, bool(auto))


@dataclass(frozen=True, slots=True)
class ObjectRow:
    """A version about to be committed, packed for its columns."""

    name: bytes
    object_id: bytes
    size_bytes: int
    etag: str
    created_us: int
    nodes: str
    auto: bool
    chunk_bytes: int
    manifest: bytes
    reasons: str | None

    @classmethod
    def pack(cls, manifest: Manifest, placement: Placement, reasons: Reasons, auto: bool) -> Self:
        """Whatever cannot be packed fails here, before it shares a transaction with others."""
        return cls(
            manifest.name.encode(),
            pack_object_id(manifest.object_id),
            manifest.size_bytes,
            manifest.etag,
            manifest.created_us,
            pack_placement(placement),
            auto,
            manifest.chunk_bytes(0),
            manifest.encoded,
            _encoded(reasons),
        )


@dataclass(frozen=True, slots=True)
class MoveRow:
    """
    A move about to be committed, packed.

    ``left`` are the chunks that only the old placement has, ``added`` those that only the new one
    has. Without ``reasons`` the object keeps those that it has.
    """

    object_id: bytes
    old: str
    new: str
    left: str
    added: frozenset[tuple[int, str]]
    manifest: bytes
    reasons: str | None

    @classmethod
    def pack(
        cls, manifest: Manifest, old: Placement, new: Placement, reasons: Reasons | None
    ) -> Self:
        """From where the object is to where it will be, which may be wider."""
        widened = (*old, *[None] * (len(new) - len(old)))
        pairs = [*enumerate(zip(widened, new, strict=True))]
        return cls(
            pack_object_id(manifest.object_id),
            pack_placement(old),
            pack_placement(new),
            pack_placement(tuple(was if was != now else None for _, (was, now) in pairs)),
            frozenset((index, now) for index, (was, now) in pairs if now not in (was, None)),
            manifest.encoded,
            None if reasons is None else _encoded(reasons),
        )


def _encoded(reasons: Reasons) -> str | None:
    return reasons.encoded if reasons != NO_REASONS else None
