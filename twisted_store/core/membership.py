"""
Whether a node may take new chunks: the verdict on what was last heard of it.

All times are seconds of an `ObservedTime`, so that an observer that stood still blames nobody.
"""

from dataclasses import dataclass, replace
from enum import Enum

DISK_CALL_SECONDS_MAX = 10.0
"""A disk call that is unfinished for longer makes a node suspect."""

TICKS_PER_TICK_MAX = 2
"""One tick moves observed time by so many tick intervals at most."""


class Membership(Enum):
    """The verdicts: only an `UP` node takes new chunks."""

    UP = "up"
    SUSPECT = "suspect"


@dataclass(frozen=True, slots=True)
class Verdict:
    """A membership and, unless it is `Membership.UP`, the reason for it."""

    membership: Membership
    reason: str = ""


@dataclass(frozen=True, slots=True)
class NodeHealth:
    """
    What was last heard of a node; a new record is that of a node nobody has heard of or tried.

    ``doubt`` is why the node must pass a probe before it is trusted, and empty once it has passed.
    A ``slow`` one is trusted, but has kept a reader waiting since its last probe. The disk figures
    are those of the last heartbeat.
    """

    heard_seconds: float | None = None
    doubt: str = "not probed yet"
    oldest_disk_call_seconds: float = 0.0
    read_only: bool = False
    slow: bool = False

    def heard(
        self,
        now_seconds: float,
        suspect_after_seconds: float,
        oldest_disk_call_seconds: float,
        read_only: bool,
    ) -> "NodeHealth":
        """After a heartbeat; one that ends a silence leaves a doubt."""
        silence = self._silence(now_seconds, suspect_after_seconds)
        return NodeHealth(
            heard_seconds=now_seconds,
            doubt=f"{silence} before its last heartbeat" if silence else self.doubt,
            oldest_disk_call_seconds=oldest_disk_call_seconds,
            read_only=read_only,
            slow=self.slow,
        )

    def failed(self, reason: str) -> "NodeHealth":
        """After a failure on the data path, which makes the node suspect at once."""
        # A message is a sentence, a reason becomes a part of one.
        return replace(self, doubt=reason.removesuffix("."))

    def stalled(self) -> "NodeHealth":
        """After it has kept a reader waiting, who asked others."""
        return replace(self, slow=True)

    def probed(self) -> "NodeHealth":
        """After a successful probe; it is no heartbeat, so a silent node stays suspect."""
        return replace(self, doubt="", slow=False)

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
        if self.oldest_disk_call_seconds > DISK_CALL_SECONDS_MAX:
            return f"a disk call takes {self.oldest_disk_call_seconds:.0f} s already"
        return "read only" if self.read_only else ""

    def _silence(self, now_seconds: float, suspect_after_seconds: float) -> str:
        if self.heard_seconds is None:
            return ""
        silent_seconds = now_seconds - self.heard_seconds
        return (
            f"silent for {silent_seconds:.0f} s" if silent_seconds > suspect_after_seconds else ""
        )


def verdict(health: NodeHealth, now_seconds: float, suspect_after_seconds: float) -> Verdict:
    """Up, or suspect and why, by what was last heard of the node."""
    objection = health.objection(now_seconds, suspect_after_seconds)
    return Verdict(Membership.SUSPECT if objection else Membership.UP, objection)


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
