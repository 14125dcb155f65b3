"""
Whether a node may take new chunks, and whether those it holds are lost: what was last heard of it.

All times are seconds of an `ObservedTime`, so that an observer that stood still blames nobody.
"""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from enum import Enum

from twisted_store.core.ids import NodeId

DISK_CALL_SECONDS_MAX = 10.0
"""A disk call that is unfinished for longer makes a node suspect."""

TICKS_PER_TICK_MAX = 2
"""One tick moves observed time by so many tick intervals at most."""

FAILURES_FREE = 3
"""So many times in a row a node that failed is trusted again as soon as it answers a probe."""

HOLD_SECONDS_FIRST = 15.0
HOLD_SECONDS_MAX = 240.0
"""After more failures it is held back for so long, twice as long each time, up to the bound."""

CALM_SECONDS = 600.0
"""After so long without a failure the next one is the first."""

TOGETHER_SECONDS = 60.0
"""Nodes that fail within so long fail together."""

SILENT_PART_MAX = 0.2
"""When a larger part of the nodes falls silent it is rather a network that failed."""


class Membership(Enum):
    """The verdicts: only an `UP` node takes new chunks; those of a `LOST` one are made anew."""

    UP = "up"
    SUSPECT = "suspect"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class Verdict:
    """A membership and, unless it is `Membership.UP`, the reason for it."""

    membership: Membership
    reason: str = ""


@dataclass(frozen=True, slots=True)
class NodeHealth:
    """
    What was last heard of a node; a new record is that of a node nobody has heard of or tried.

    ``doubt`` is why the node must pass a probe before it is trusted, and empty once it has passed;
    ``doubted_seconds`` is when it arose. A ``slow`` one is trusted, but has kept a reader waiting
    since its last probe. The disk figures are those of the last heartbeat. One that has failed too
    often, ``failed_times``, last at ``failed_seconds``, is not trusted before
    ``held_until_seconds``.
    """

    heard_seconds: float | None = None
    doubt: str = "not probed yet"
    doubted_seconds: float = 0.0
    oldest_disk_call_seconds: float = 0.0
    read_only: bool = False
    slow: bool = False
    failed_times: int = 0
    failed_seconds: float = 0.0
    held_until_seconds: float = 0.0

    def heard(
        self,
        now_seconds: float,
        suspect_after_seconds: float,
        oldest_disk_call_seconds: float,
        read_only: bool,
    ) -> "NodeHealth":
        """After a heartbeat; one that ends a silence leaves a doubt."""
        silence = self._silence(now_seconds, suspect_after_seconds)
        doubted = self
        if silence:
            doubted = self.failed(f"{silence} before its last heartbeat", now_seconds)
        return replace(
            doubted,
            heard_seconds=now_seconds,
            oldest_disk_call_seconds=oldest_disk_call_seconds,
            read_only=read_only,
        )

    def failed(self, reason: str, now_seconds: float) -> "NodeHealth":
        """After a failure on the data path, which makes the node suspect at once."""
        # A message is a sentence, a reason becomes a part of one.
        doubted = replace(self, doubt=reason.removesuffix("."))
        if self.doubt:
            return doubted
        calm = now_seconds - self.failed_seconds > CALM_SECONDS
        return replace(
            doubted,
            doubted_seconds=now_seconds,
            failed_times=1 if calm else self.failed_times + 1,
            failed_seconds=now_seconds,
        )

    def stalled(self) -> "NodeHealth":
        """After it has kept a reader waiting, who asked others."""
        return replace(self, slow=True)

    def probed(self, now_seconds: float, many_fail: bool = False) -> "NodeHealth":
        """
        After a successful probe; it is no heartbeat, so a silent node stays suspect.

        A node is not held back for what it does not do alone: when ``many_fail``, it is rather the
        network.
        """
        held_until_seconds = self.held_until_seconds
        excess = self.failed_times - FAILURES_FREE
        if self.doubt and excess > 0 and not many_fail:
            # In floats 2.0 ** 1024 overflows, and a node can fail more often than that.
            doublings = min(excess - 1, 10)
            hold_seconds = min(HOLD_SECONDS_FIRST * 2**doublings, HOLD_SECONDS_MAX)
            held_until_seconds = now_seconds + hold_seconds
        return replace(self, doubt="", slow=False, held_until_seconds=held_until_seconds)

    def prompt(self, now_seconds: float, suspect_after_seconds: float) -> bool:
        """Whether an answer can be expected soon; a disk that takes no writes can be read."""
        silence = self._silence(now_seconds, suspect_after_seconds)
        return not (self.heard_seconds is None or silence or self.doubt or self.slow)

    def objection(self, now_seconds: float, suspect_after_seconds: float) -> str:
        """Why the node is not up; empty if it is."""
        if self.heard_seconds is None:
            return "no heartbeat yet"
        if silence := self._silence(now_seconds, suspect_after_seconds):
            return silence
        if self.doubt:
            return self.doubt
        if now_seconds < self.held_until_seconds:
            left_seconds = self.held_until_seconds - now_seconds
            return f"failed {self.failed_times} times, held back for {left_seconds:.0f} s more"
        if self.oldest_disk_call_seconds > DISK_CALL_SECONDS_MAX:
            return f"a disk call takes {self.oldest_disk_call_seconds:.0f} s already"
        return "read only" if self.read_only else ""

    def absent_seconds(self, now_seconds: float) -> float:
        """For how long nothing could be had of the node; of one that is well, a few seconds."""
        silent_seconds = now_seconds - (self.heard_seconds or 0.0)
        doubted_seconds = now_seconds - self.doubted_seconds if self.doubt else 0.0
        return max(silent_seconds, doubted_seconds, self.oldest_disk_call_seconds)

    def _silence(self, now_seconds: float, suspect_after_seconds: float) -> str:
        if self.heard_seconds is None:
            return ""
        silent_seconds = now_seconds - self.heard_seconds
        return (
            f"silent for {silent_seconds:.0f} s" if silent_seconds > suspect_after_seconds else ""
        )


def verdict(
    health: NodeHealth, now_seconds: float, suspect_after_seconds: float, lost: bool = False
) -> Verdict:
    """
    The verdict, by what was last heard of the node.

    One that was ``lost`` stays so while there is an objection to it, and until what it holds was
    compared with the catalog it is suspect.
    """
    objection = health.objection(now_seconds, suspect_after_seconds)
    if lost:
        merging = "what it holds is being compared with the catalog"
        return Verdict(Membership.LOST if objection else Membership.SUSPECT, objection or merging)
    return Verdict(Membership.SUSPECT if objection else Membership.UP, objection)


def many_fail(nodes: Collection[NodeHealth], now_seconds: float) -> bool:
    """Whether more of the nodes have failed within the last minute than nodes do by themselves."""
    failing = [
        node
        for node in nodes
        if node.failed_times and now_seconds - node.failed_seconds < TOGETHER_SECONDS
    ]
    return len(failing) > max(1, SILENT_PART_MAX * len(nodes))


@dataclass(frozen=True, slots=True)
class Presence:
    """
    A node as the decision on losses sees it.

    ``zone_named`` tells that an operator gave the zone its name.
    """

    node_id: NodeId
    zone: str
    zone_named: bool
    absent_seconds: float


@dataclass(frozen=True, slots=True)
class Losses:
    """Which nodes are lost from now on; or, in ``doubt``, why nobody can be and repair stops."""

    node_ids: frozenset[NodeId] = frozenset()
    doubt: str = ""


def judge_losses(
    nodes: Sequence[Presence],
    suspect_after_seconds: float,
    lost_after_seconds: float,
    losses_planned: int,
) -> Losses:
    """
    Decide on ``nodes``, all that are not lost yet.

    When more of them are silent than the scheme can lose and than a fifth of all, or all of a zone
    that an operator named, the observer may be the one that is cut off: then none is lost.
    """
    silent = [node for node in nodes if node.absent_seconds > suspect_after_seconds]
    if len(silent) > max(losses_planned, SILENT_PART_MAX * len(nodes)):
        return Losses(doubt=f"{len(silent)} of {len(nodes)} nodes are silent at once")
    zones: defaultdict[str, list[Presence]] = defaultdict(list)
    for node in nodes:
        if node.zone_named:
            zones[node.zone].append(node)
    for zone, members in zones.items():
        if len(members) > 1 and all(member in silent for member in members):
            return Losses(doubt=f"all {len(members)} nodes of zone {zone} are silent at once")
    return Losses(
        frozenset(node.node_id for node in silent if node.absent_seconds > lost_after_seconds)
    )


class ObservedTime:
    """
    Time as an observer has lived through it, moved by its own regular ticks.

    A tick adds what has passed since the one before, but no more than twice the interval: while the
    observer was suspended or overloaded it could not have heard anybody.
    """

    def __init__(self, tick_seconds: float, now_seconds: float) -> None:
        self._step_seconds_max = TICKS_PER_TICK_MAX * tick_seconds
        self._ticked_seconds = now_seconds
        self.seconds = 0.0

    def tick(self, now_seconds: float) -> float:
        """Advance to ``now_seconds`` of a monotonic clock; the observed time, as ``seconds`` is."""
        passed_seconds = now_seconds - self._ticked_seconds
        self._ticked_seconds = now_seconds
        self.seconds += min(max(passed_seconds, 0.0), self._step_seconds_max)
        return self.seconds
