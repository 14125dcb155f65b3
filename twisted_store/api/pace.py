"""A client that sends slowly must not keep others waiting for its memory."""

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from twisted_store.api.budget import MemoryBudget
from twisted_store.errors import SlowClientError
from twisted_store.web.request import StreamingRequest

PACE_SECONDS = 60
"""Over so long the pace of a sender is measured."""

PACE_BYTES_MIN = 16 * 1024 * PACE_SECONDS
"""What it must send in that time while others wait."""


class Pace:
    """Breaks off the body of a sender that is too slow while others wait for ``budget``."""

    def __init__(self, request: StreamingRequest, budget: MemoryBudget, clock: IReactorTime):
        self._request = request
        self._budget = budget
        self._clock = clock
        self._measured_bytes = 0
        self._call: IDelayedCall | None = None

    @contextmanager
    def kept(self, body: AsyncIterator[bytes]) -> Iterator[AsyncIterator[bytes]]:
        """Gives ``body``, to be read while the context lasts; until then its sender had to wait."""
        try:
            yield self._measured(body)
        finally:
            if self._call is not None:
                self._call.cancel()
                self._call = None

    async def _measured(self, body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        self._measure_later()
        async for piece in body:
            yield piece

    def _measure_later(self) -> None:
        self._call = self._clock.callLater(PACE_SECONDS, self._measure)

    def _measure(self) -> None:
        self._call = None
        body = self._request.body
        if body is None:
            return
        sent_bytes = body.received_bytes - self._measured_bytes
        self._measured_bytes = body.received_bytes
        if self._budget.contended and self._request.stalled and sent_bytes < PACE_BYTES_MIN:
            self._request.break_body(
                SlowClientError(
                    f"{sent_bytes} bytes in {PACE_SECONDS} s are too few while others wait."
                )
            )
        else:
            self._measure_later()
