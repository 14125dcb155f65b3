"""Objects whose moves failed: each is tried again, later each time, and stops no other."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

from twisted_store.core.ids import ObjectId
from twisted_store.core.moves import Cause

RETRY_SECONDS_FIRST = 5.0
RETRY_SECONDS_MAX = 600.0
"""The delay doubles with every failure, up to the bound."""

KEPT_MAX = 10_000
"""Failures beyond it are not remembered: their objects are tried again at once."""


@dataclass(frozen=True, slots=True)
class Setback:
    """What went wrong with an object, how many times in a row, and when it is tried again."""

    name: str
    cause: Cause
    reason: str
    times: int
    retry_seconds: float


class Setbacks:
    """By object; times are those of ``monotonic``, in seconds."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._by_id: dict[ObjectId, Setback] = {}

    def __len__(self) -> int:
        return len(self._by_id)

    def add(self, object_id: ObjectId, name: str, cause: Cause, reason: str) -> None:
        """A move of the object failed."""
        before = self._by_id.pop(object_id, None)
        if before is None and len(self._by_id) >= KEPT_MAX:
            return
        times = 1 if before is None else before.times + 1
        delay_seconds = min(RETRY_SECONDS_FIRST * 2 ** min(times - 1, 20), RETRY_SECONDS_MAX)
        retry_seconds = self._monotonic() + delay_seconds
        self._by_id[object_id] = Setback(name, cause, reason, times, retry_seconds)

    def clear(self, object_id: ObjectId) -> None:
        """The object was moved, or is gone."""
        self._by_id.pop(object_id, None)

    def waits(self, object_id: ObjectId) -> bool:
        """Whether it is too early to try again."""
        setback = self._by_id.get(object_id)
        return setback is not None and self._monotonic() < setback.retry_seconds

    def forget_old(self) -> None:
        """Forget those that nobody tried again for long: their objects need it no more."""
        latest = self._monotonic() - RETRY_SECONDS_MAX
        for object_id in [key for key, each in self._by_id.items() if each.retry_seconds < latest]:
            del self._by_id[object_id]

    def of(self, causes: Collection[Cause]) -> list[Setback]:
        """Those of these causes; ``retry_seconds`` from now, 0 for those that are due."""
        now_seconds = self._monotonic()
        return [
            replace(each, retry_seconds=max(each.retry_seconds - now_seconds, 0.0))
            for each in self._by_id.values()
            if each.cause in causes
        ]
