"""What clients may rely on at any moment of a history, whatever the power loss leaves."""

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from tests.powerloss.notes import Answered, Asked, Killed, PowerLost, Read
from twisted_store.core.durability import Durability, DurabilityMode
from twisted_store.simulation.recording import Event
from twisted_store.storage.files import START_SYNC_SECONDS

PASS_SECONDS = 0.1
"""What a pass of syncs takes, at most, once it has begun."""


@dataclass(slots=True)
class Operation:
    """
    A client's call on a name, from one position in the history to another.

    ``version`` is what it stored or saw, None for no file. ``done`` is None while nobody knows.
    """

    version: int | None
    asked: float
    answered: float = math.inf
    answered_seconds: float = math.inf
    done: bool | None = None


@dataclass(frozen=True, slots=True)
class Allowed:
    """
    What may be seen of a name: any of ``versions``, None among them for no file.

    Those that are ``readable`` have all their chunks, the others may have lost some.
    """

    versions: frozenset[int | None]
    readable: frozenset[int | None]


class Knowledge:
    """What the clients know."""

    def __init__(self, durability: Durability) -> None:
        self._durability = durability
        self._operations: dict[str, list[Operation]] = defaultdict(list)
        self._requests: dict[int, Operation] = {}
        self._position = 0

    def learn(self, event: Event) -> None:
        """Go on by an event."""
        self._position += 1
        match event.effect:
            case Asked():
                asked = Operation(event.effect.version, self._position)
                self._requests[event.effect.request] = asked
                self._operations[event.effect.name].append(asked)
            case Answered():
                self._answer(self._requests[event.effect.request], event, event.effect.done)
            case Read():
                read = Operation(event.effect.version, self._position)
                self._answer(read, event, done=True)
                self._operations[event.effect.name].append(read)
            case Killed():
                for each in self._end(event):
                    # What was not synced yet is, a while after the start.
                    each.answered_seconds = event.at_seconds
            case PowerLost():
                for each in self._end(event):
                    each.done = each.done and None

    @property
    def names(self) -> Iterable[str]:
        """All that was ever asked for."""
        return tuple(self._operations)

    def horizon_seconds(self, now_seconds: float) -> float:
        """What was acknowledged until then survives a power loss now."""
        match self._durability.mode:
            case DurabilityMode.STRICT:
                return now_seconds
            case DurabilityMode.RELAXED:
                window = max(self._durability.window_seconds, START_SYNC_SECONDS)
                return now_seconds - window - PASS_SECONDS
            case DurabilityMode.NONE:
                return -math.inf

    def allowed(self, name: str, horizon_seconds: float) -> Allowed:
        """What may be seen when all survives that was acknowledged up to ``horizon_seconds``."""
        operations = self._operations[name]
        certain = [each for each in operations if _certain(each, horizon_seconds)]
        ends: dict[int | None, float] = {None: -math.inf}
        for each in operations:
            if each.done is not False:
                ends[each.version] = max(ends.get(each.version, -math.inf), each.answered)
        versions = {
            version
            for version, end in ends.items()
            if not any(each.version != version and each.asked > end for each in certain)
        }
        if self._durability.mode is DurabilityMode.STRICT:  # its commits come after its chunks
            return Allowed(frozenset(versions), frozenset(versions))
        return Allowed(frozenset(versions), frozenset(each.version for each in certain))

    def _answer(self, operation: Operation, event: Event, done: bool) -> None:
        operation.answered, operation.answered_seconds = self._position, event.at_seconds
        operation.done = done

    def _end(self, event: Event) -> list[Operation]:
        """The clients' calls end; those that a power loss may take."""
        horizon = self.horizon_seconds(event.at_seconds)
        operations = [each for some in self._operations.values() for each in some]
        for each in operations:
            each.answered = min(each.answered, self._position)
        return [each for each in operations if not _certain(each, horizon)]


def _certain(operation: Operation, horizon_seconds: float) -> bool:
    return operation.done is True and operation.answered_seconds <= horizon_seconds
