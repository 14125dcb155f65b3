"""What a chunk store may take, and which chunks are small."""

from dataclasses import dataclass

from twisted_store.storage.volumes import VOLUME_BYTES_MAX

NEEDLE_BYTES_MAX = 256 * 1024
"""Chunks of fewer bytes are needles in volumes; others get a file each."""


@dataclass(frozen=True, slots=True)
class StoreLimits:
    """
    All in bytes; chunks of fewer than ``needle_bytes_max`` are needles.

    Without ``reserve_bytes`` a fraction of the disk stays free; without ``capacity_bytes_max`` the
    disk is the limit.
    """

    reserve_bytes: int | None = None
    capacity_bytes_max: int | None = None
    needle_bytes_max: int = NEEDLE_BYTES_MAX
    volume_bytes_max: int = VOLUME_BYTES_MAX
