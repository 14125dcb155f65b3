"""Work that runs to its end although the one who waits for it goes away."""

from collections.abc import Coroutine
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from twisted_store.errors import StoreError

T = TypeVar("T")

log = Logger()


def shielded(work: Coroutine[Any, Any, T]) -> "Deferred[T]":
    """Fires with the result of ``work``; cancelling it leaves ``work`` alone."""
    waiting: Deferred[T] = Deferred()

    def succeeded(result: T) -> None:
        if not waiting.called:
            waiting.callback(result)

    def failed(failure: Failure) -> None:
        if not waiting.called:
            waiting.errback(failure)
        elif failure.check(StoreError):
            log.info("nobody waited any more to hear: {reason}", reason=failure.value)
        else:
            log.failure("nobody waited any more for what failed", failure)

    Deferred.fromCoroutine(work).addCallbacks(succeeded, failed)
    return waiting
