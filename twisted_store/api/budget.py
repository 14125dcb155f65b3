"""Memory that requests reserve before their first byte, in order of arrival."""

from collections import deque
from dataclasses import dataclass

from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.interfaces import IReactorTime

from twisted_store.errors import OverloadedError

WAITING_MAX = 1024
"""Requests that may wait for memory; more are refused at once."""

WAIT_SECONDS = 30
"""How long a request waits for memory before it is refused."""


class MemoryBudget:
    """
    A number of bytes that requests share.

    A request waits behind those that came before it, also when it would fit itself, so that none
    starves. Raises `OverloadedError` when too many wait or a wait takes too long.
    """

    def __init__(self, name: str, limit_bytes: int, clock: IReactorTime) -> None:
        self._name = name
        self._limit_bytes = limit_bytes
        self._clock = clock
        self._free_bytes = limit_bytes
        self._waiting: deque[tuple[int, Deferred[None]]] = deque()

    @property
    def contended(self) -> bool:
        """Whether somebody waits."""
        return bool(self._waiting)

    @property
    def reserved_bytes(self) -> int:
        """What is taken."""
        return self._limit_bytes - self._free_bytes

    def reserve(self, size_bytes: int) -> "Reservation":
        """Hold ``size_bytes``, or the whole budget if that is less, while the context lasts."""
        return Reservation(self, min(size_bytes, self._limit_bytes))

    def give_back(self, size_bytes: int) -> None:
        """Others may have what was taken."""
        self._free_bytes += size_bytes
        self._serve()

    async def take(self, size_bytes: int) -> None:
        """Returns when ``size_bytes`` are the caller's; `give_back` ends that."""
        if not self._waiting and size_bytes <= self._free_bytes:
            self._free_bytes -= size_bytes
            return
        if len(self._waiting) >= WAITING_MAX:
            raise self._overloaded()
        turn: Deferred[None] = Deferred()
        entry = (size_bytes, turn)
        self._waiting.append(entry)
        try:
            await turn.addTimeout(WAIT_SECONDS, self._clock)
        except BaseException as error:
            if entry in self._waiting:
                self._waiting.remove(entry)
            self._serve()
            if isinstance(error, TimeoutError):
                raise self._overloaded() from None
            raise

    def _serve(self) -> None:
        while self._waiting and self._waiting[0][0] <= self._free_bytes:
            size_bytes, turn = self._waiting.popleft()
            self._free_bytes -= size_bytes
            turn.callback(None)

    def _overloaded(self) -> OverloadedError:
        return OverloadedError(
            f"The memory for {self._name} ({self._limit_bytes} bytes) is taken by other requests.",
            retry_after_seconds=5,
        )


@dataclass(frozen=True, slots=True)
class Reservation:
    """An asynchronous context in which bytes of a budget are held."""

    budget: MemoryBudget
    size_bytes: int

    async def __aenter__(self) -> None:
        await self.budget.take(self.size_bytes)

    async def __aexit__(self, *_: object) -> None:
        self.budget.give_back(self.size_bytes)
