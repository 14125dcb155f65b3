"""Versions of objects, known by where their chunks are."""

from dataclasses import dataclass

from twisted_store.core.ids import ObjectId, Placement


@dataclass(frozen=True, slots=True)
class Version:
    """One version of an object, known by where its chunks are."""

    object_id: ObjectId
    placement: Placement


@dataclass(frozen=True, slots=True)
class DeadVersion:
    """
    A version whose chunks nodes must be told are dead, by the commit ``sequence``.

    ``successor`` is the version that overwrote it, None after a delete.
    """

    sequence: int
    version: Version
    successor: Version | None
