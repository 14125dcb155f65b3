"""Disk calls as Deferreds: timed, their errors in our terms, many in one thread hop."""

import errno
from collections.abc import Callable, Sequence
from functools import partial
from itertools import count
from typing import Any, Generic, Protocol, TypeVar

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from twisted_store.errors import NodeFailedError, NoSpaceError, StoreError

T = TypeVar("T")
Item = TypeVar("Item")
Result = TypeVar("Result")

FULL = {errno.ENOSPC, errno.EDQUOT}


class RunBlocking(Protocol):
    """Runs a call in a thread."""

    def __call__(self, call: Callable[[], T], /) -> Deferred[T]:
        """What the call returns or raises."""


def disk_error(error: OSError) -> StoreError:
    """What an error of the disk means to who asked."""
    if error.errno in FULL:
        return NoSpaceError(f"The disk is full: {error}.")
    return NodeFailedError(f"The disk failed: {error}.")


def attempt(call: Callable[[], T]) -> T | Failure:
    """What ``call`` returns, or its failure, the disk's in our terms."""
    try:
        return call()
    except OSError as error:
        translated = disk_error(error)
        translated.__cause__ = error
        return Failure(translated)
    except Exception:
        return Failure()


def uninterrupted(running: Deferred[T]) -> Deferred[T]:
    """What ``running`` gives; who cancels this stops waiting, and ``running`` goes on."""
    waiter: Deferred[T] = Deferred()
    running.chainDeferred(waiter)
    return waiter


class DiskCalls:
    """
    Runs blocking calls in threads and knows the age of the oldest one that has not returned.

    Who cancels a call only stops waiting for it: nothing stops a thread.
    """

    _log = Logger()

    def __init__(self, run_blocking: RunBlocking, monotonic: Callable[[], float]) -> None:
        self._run_blocking = run_blocking
        self._monotonic = monotonic
        self._numbers = count()
        self._started: dict[int, float] = {}

    @property
    def oldest_seconds(self) -> float:
        """Age of the oldest call under way, 0 when there is none."""
        oldest = next(iter(self._started.values()), None)
        return 0.0 if oldest is None else self._monotonic() - oldest

    def run(
        self, call: Callable[[], T], unwanted: Callable[[T], object] | None = None
    ) -> Deferred[T]:
        """What the call gives; when nobody waits for it any more, ``unwanted`` takes it."""
        number = next(self._numbers)
        self._started[number] = self._monotonic()
        waiter: Deferred[T] = Deferred()
        self._run_blocking(partial(attempt, call)).addBoth(self._ended, number, waiter, unwanted)
        return waiter

    def run_unattended(self, call: Callable[[], object]) -> None:
        """Run a call whose result nobody needs; an error is logged."""
        self.run(call).addErrback(lambda failure: self._log.failure("disk call", failure))

    def _ended(
        self,
        result: T | Failure,
        number: int,
        waiter: Deferred[T],
        unwanted: Callable[[T], object] | None,
    ) -> None:
        del self._started[number]
        if waiter.called and unwanted is not None and not isinstance(result, Failure):
            self.run_unattended(partial(unwanted, result))
        waiter.callback(result)


class Batches(Generic[Item, Result]):
    """
    Items that wait while a call is under way go together in the next one.

    So one call at a time, in order of arrival, and under load few thread hops and few syncs.
    ``perform`` gets the items of a batch, in a thread, and returns a result or failure for each.
    """

    def __init__(
        self, calls: DiskCalls, perform: Callable[[Sequence[Item]], Sequence[Result | Failure]]
    ) -> None:
        self._calls = calls
        self._perform = perform
        self._waiting: list[tuple[Item, Deferred[Result]]] = []
        self._busy = False

    def add(self, item: Item) -> Deferred[Result]:
        """The result for this item."""
        waiter: Deferred[Result] = Deferred()
        self._waiting.append((item, waiter))
        if not self._busy:
            self._start()
        return waiter

    def _start(self) -> None:
        batch, self._waiting = self._waiting, []
        self._busy = bool(batch)
        if batch:
            items = [item for item, _ in batch]
            waiters = [waiter for _, waiter in batch]
            self._calls.run(partial(self._perform, items)).addBoth(self._ended, waiters)

    def _ended(
        self, results: Sequence[Result | Failure] | Failure, waiters: list[Deferred[Result]]
    ) -> None:
        # Before the next batch starts: what the waiters add on this occasion goes with it.
        each = [results] * len(waiters) if isinstance(results, Failure) else results
        for waiter, result in zip(waiters, each, strict=True):
            waiter.callback(result)
        self._start()


class Lane:
    """Runs blocking calls strictly one after another."""

    def __init__(self, calls: DiskCalls) -> None:
        self._batches = Batches[Callable[[], Any], Any](calls, _perform_each)

    def run(self, call: Callable[[], T]) -> Deferred[T]:
        """What the call gives."""
        return self._batches.add(call)


def _perform_each(batch: Sequence[Callable[[], object]]) -> list[object]:
    return [attempt(call) for call in batch]
