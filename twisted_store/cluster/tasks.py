"""Work in the background that nobody awaits, each piece under a key, ended when its owner stops."""

from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger

Key = TypeVar("Key", bound=Hashable)

log = Logger()


class Tasks(Generic[Key]):
    """What runs now, by key; what fails is logged."""

    def __init__(self) -> None:
        self._running: dict[Key, Deferred[None]] = {}
        self._stopping = False

    def __len__(self) -> int:
        return len(self._running)

    def start(self, key: Key, work: Callable[[], Awaitable[None]]) -> bool:
        """Begin with ``work`` unless there is some under that key, or all has been stopped."""
        if self._stopping or key in self._running:
            return False
        running = Deferred.fromCoroutine(self._run(key, work))
        if not running.called:
            self._running[key] = running
        return True

    async def stop(self) -> None:
        """Cancel everything; returns when it has ended. Nothing begins any more."""
        self._stopping = True
        for running in [*self._running.values()]:
            running.cancel()
            await running

    async def _run(self, key: Key, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except CancelledError:
            pass
        except Exception:
            log.failure("{key} failed", key=key)
        finally:
            self._running.pop(key, None)
