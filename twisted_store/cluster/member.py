"""One node as the api knows it."""

from dataclasses import dataclass, field

from twisted_store.core.membership import NodeHealth, Verdict
from twisted_store.core.peer import Peer


@dataclass(slots=True)
class Traffic:
    """
    What a node was given since its last report, and what is on its way to it.

    Changed in place, unlike the rest of a `Member`: it changes with every chunk.
    """

    stored_bytes: int = 0
    assigned_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Member:
    """
    One node as the api knows it.

    ``instance`` is that of its running process, empty until it was heard of in this life of the
    api. ``reported_bytes`` is what it said it uses; all records of a node share its ``traffic``.
    ``zone_named`` tells that an operator named its zone. What a ``lost`` one holds counts as gone
    until it was compared with the catalog, as it is while ``merging``; a ``draining`` one takes
    nothing and gives away what it has.
    """

    peer: Peer
    zone: str
    capacity_bytes: int
    instance: str = ""
    version: str = ""
    reported_bytes: int = 0
    traffic: Traffic = field(default_factory=Traffic)
    quarantined_chunks: int = 0
    zone_named: bool = False
    lost: bool = False
    merging: bool = False
    draining: bool = False
    health: NodeHealth = NodeHealth()

    @property
    def used_bytes(self) -> int:
        """What counts as used when a chunk is placed."""
        return self.reported_bytes + self.traffic.stored_bytes + self.traffic.assigned_bytes

    @property
    def durable(self) -> tuple[object, ...]:
        """What is worth a write when it changes."""
        return self.peer.url, self.zone, self.zone_named, self.lost, self.draining


@dataclass(frozen=True, slots=True)
class MemberStatus:
    """A member and the verdict on it; ``silent_seconds`` is None before its first heartbeat."""

    member: Member
    verdict: Verdict
    silent_seconds: float | None
