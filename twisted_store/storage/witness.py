"""Who is told how the reading of volumes goes."""

from collections.abc import Callable
from typing import NamedTuple, Protocol

from twisted.logger import Logger

from twisted_store.core.ids import ChunkId
from twisted_store.core.sizes import format_size

LOG_SECONDS = 5.0
"""Long reading says so often how far it is."""


class Damage(NamedTuple):
    """What in a volume, at ``offset``, is not what was written; of which chunk if that is known."""

    volume: int
    offset: int
    chunk_id: ChunkId | None
    what: str


class Witness(Protocol):
    """Is told what is read, and what is damaged."""

    def has_read(self, done_bytes: int, all_bytes: int) -> None:
        """So much of all is read."""

    def found(self, damage: Damage) -> None:
        """Something is damaged."""


class LogWitness:
    """Logs damage, and every `LOG_SECONDS` how far it is."""

    _log = Logger()

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._began_seconds = self._logged_seconds = monotonic()

    def has_read(self, done_bytes: int, all_bytes: int) -> None:
        """So much of all is read."""
        now = self._monotonic()
        if now >= self._logged_seconds + LOG_SECONDS:
            self._logged_seconds = now
            left_seconds = (
                (now - self._began_seconds) * (all_bytes - done_bytes) / max(done_bytes, 1)
            )
            self._log.info(
                "{done} of {all} in volumes are read, {seconds:.0f} s left",
                done=format_size(done_bytes),
                all=format_size(all_bytes),
                seconds=left_seconds,
            )

    def found(self, damage: Damage) -> None:
        """Something is damaged."""
        self._log.warn(
            "volume {volume} is damaged at byte {offset}: {what}",
            volume=damage.volume,
            offset=damage.offset,
            what=damage.what,
        )
