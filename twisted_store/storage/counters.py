"""What the chunk store counts."""

from dataclasses import dataclass


@dataclass(slots=True)
class StoreCounters:
    """Since the start."""

    chunks_written: int = 0
    bytes_written: int = 0
    chunks_opened: int = 0
    bytes_read: int = 0
    chunks_reclaimed: int = 0
    chunks_quarantined: int = 0
    bytes_compacted: int = 0
