"""The values that the catalog answers with."""

from dataclasses import dataclass

from twisted_store.core.ids import NodeId, Placement
from twisted_store.core.manifest import Manifest
from twisted_store.core.reasons import Reasons


@dataclass(frozen=True, slots=True)
class Entry:
    """
    An object as it is now; ``sequence`` is that of the commit that made it so.

    The scheme of an ``auto`` one follows the number of nodes.
    """

    manifest: Manifest
    placement: Placement
    sequence: int
    auto: bool = True


@dataclass(frozen=True, slots=True)
class Explained:
    """An object, and why its chunks are where they are, as far as that is known."""

    entry: Entry
    reasons: Reasons


@dataclass(frozen=True, slots=True)
class Committed:
    """What a commit did; ``replaced`` tells whether there was an object of that name."""

    sequence: int
    etag: str
    replaced: bool


@dataclass(frozen=True, slots=True)
class Deleted:
    """What a delete did: its own place in the order of commits, and what it took away."""

    sequence: int
    entry: Entry


@dataclass(frozen=True, slots=True)
class ListedObject:
    """One line of a listing."""

    name: str
    size_bytes: int
    etag: str
    created_us: int


@dataclass(frozen=True, slots=True)
class Page:
    """
    Part of a listing, files and prefixes each in byte order of UTF-8.

    ``next`` is to be given as ``after`` for the page that follows, None at the end.
    """

    files: tuple[ListedObject, ...]
    prefixes: tuple[str, ...]
    next: str | None


@dataclass(frozen=True, slots=True)
class KnownNode:
    """
    A node that has registered; times are microseconds since 1970.

    ``zone_named`` tells that an operator named its zone. What a ``lost`` one holds has to be
    compared with the catalog when it comes back; one that is ``draining`` takes no chunks.
    """

    node_id: NodeId
    url: str
    zone: str
    capacity_bytes: int
    first_seen_us: int
    last_seen_us: int
    zone_named: bool = False
    lost: bool = False
    draining: bool = False


@dataclass(frozen=True, slots=True)
class Totals:
    """How many objects there are and how many bytes they have."""

    objects: int
    size_bytes: int
