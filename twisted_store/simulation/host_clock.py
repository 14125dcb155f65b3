"""Time as one process lives through it: it can be suspended, and it can end."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

from twisted.internet.base import DelayedCall
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from zope.interface import implementer

from twisted_store.simulation.clock import SimulatedClock, run_inline

T = TypeVar("T")


@implementer(IReactorTime)
class HostClock:
    """
    The delayed calls of one host on the clock that all share.

    While it is paused none of them happens; afterwards those that are overdue do, in order. Once it
    is dead none ever does.
    """

    def __init__(self, clock: SimulatedClock) -> None:
        self.dead = False
        self.paused = False
        self._clock = clock
        self._held: list[DelayedCall] = []

    def seconds(self) -> float:
        """The time of all hosts."""
        return self._clock.seconds()

    def callLater(
        self, delay: float, callable: Callable[..., object], *args: object, **kw: object
    ) -> IDelayedCall:
        """As a reactor does."""
        call: Any = self._clock.callLater(delay, callable, *args, **kw)
        call.host = self
        if self.dead or self.paused:
            self._clock.calls.remove(call)
            call.canceller = _let_be
            self._held.append(call)
        return cast(IDelayedCall, call)

    def getDelayedCalls(self) -> list[IDelayedCall]:
        """Those of this host."""
        return self._own()

    def run_blocking(self, f: Callable[[], T]) -> "Deferred[T]":
        """As `SimulatedClock.run_blocking`; whoever is dead does nothing any more."""
        return Deferred() if self.dead else run_inline(self, f)

    def soon(self, f: Callable[..., object], *args: object) -> None:
        """Call ``f`` now, or once what is paused goes on; never when it is dead."""
        if self.dead or self.paused:
            self.callLater(0, f, *args)
        else:
            f(*args)

    def pause(self) -> None:
        """Hold all calls back; twice is once."""
        self.paused = True
        self._held += self._taken()

    def resume(self) -> None:
        """Let them go on."""
        self.paused = False
        held, self._held = self._held, []
        for call in held:
            call.canceller = self._clock.calls.remove
        self._clock.calls += [call for call in held if call.active()]

    def die(self) -> None:
        """Hold all calls back for ever."""
        self.dead, self.paused = True, False
        self._held += self._taken()

    def _own(self) -> list[Any]:
        return [call for call in self._clock.calls if getattr(call, "host", None) is self]

    def _taken(self) -> list[DelayedCall]:
        """The calls of this host, which the shared clock does not have any more."""
        own = self._own()
        for call in own:
            self._clock.calls.remove(call)
            call.canceller = _let_be
        return own


def _let_be(_: object) -> None:
    """Cancel a call that the clock does not have."""
