"""What the roles of a simulated cluster are started with."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from twisted_store.core.durability import STRICT, Durability
from twisted_store.core.scheme import SchemeRules
from twisted_store.database import DatabaseOpener, open_sqlite
from twisted_store.simulation.disk import MemoryDisk
from twisted_store.storage.disk import Disk, OsDisk
from twisted_store.storage.limits import NEEDLE_BYTES_MAX
from twisted_store.storage.volumes import VOLUME_BYTES_MAX

API = "api"
"""The name of the api; nodes are called node0, node1, ..."""

DISK_BYTES = 2**40
"""Room of a host's disk, of which memory is taken only as it fills."""

DEAD_GRACE_SECONDS = 60.0
"""A tenth of the daemons' default: it costs hundreds of heartbeats to wait for that one."""


def fresh_disk(role: str) -> Disk:
    """The disk of a role by its name: SQLite needs real files, all others are in memory."""
    return OsDisk() if role == API else MemoryDisk(DISK_BYTES)


@dataclass(frozen=True, slots=True)
class Setting:
    """
    What the roles are started with; ``disk`` gives each its own, once, by its name.
    ``open_database`` is the api's: what a node keeps in a database may be gone at each start.

    ``zones`` are those that an operator named, by the names of nodes; others are alone in theirs.
    """

    durability: Durability = STRICT
    rules: SchemeRules = SchemeRules()
    zones: Mapping[str, str] = field(default_factory=dict)
    lost_after_seconds: float = 1800.0
    move_rate_bytes: int | None = None
    provisional_age_seconds: float = 60.0
    dead_grace_seconds: float = DEAD_GRACE_SECONDS
    scrub_rate_bytes: int = 4 * 2**20
    compact_rate_bytes: int = 32 * 2**20
    needle_bytes_max: int = NEEDLE_BYTES_MAX
    volume_bytes_max: int = VOLUME_BYTES_MAX
    disk: Callable[[str], Disk] = fresh_disk
    open_database: DatabaseOpener = open_sqlite


DEFAULT = Setting()
"""Much as the daemons' defaults."""
