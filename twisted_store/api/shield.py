"""Work that runs to its end although the one who waits for it goes away."""

from collections.abc import Coroutine
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

T = TypeVar("T")

log = Logger()


def shielded(work: Coroutine[Any, Any, T]) -> "Deferred[T]":
    """Fires with the result of ``work``; cancelling it leaves ``work`` alone."""
    waiting: Deferred[T] = Deferred()

    def succeeded(result: T) -> None:
        if not waiting.called:
            waiting.callback(result)

    def failed(failure: Failure) -> None:
        if waiting.called:
            log.failure("Nobody waited for this any more", failure)
        else:
            waiting.errback(failure)

    Deferred.fromCoroutine(work).addCallbacks(succeeded, failed)
    return waiting
