"""Group commit: calls that arrive while a batch runs wait, and go together in the next one."""

from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Generic, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from twisted_store.errors import OverloadedError, StoreError

Subject = TypeVar("Subject")
Result = TypeVar("Result")

Work = Callable[[Subject], object]
"""One caller's part of a batch: takes what the batch works on, answers what the caller gets."""


Outcomes = list[object]
"""For each work its result, or the `Failure` of the `StoreError` that it raised."""


def outcomes(works: Sequence[Work[Subject]], subject: Subject) -> Outcomes:
    """Let each of ``works`` have its turn at ``subject``; other errors than ours end all."""
    return [_outcome(work, subject) for work in works]


def _outcome(work: Work[Subject], subject: Subject) -> object:
    try:
        return work(subject)
    except StoreError:
        return Failure()


class Batches(Generic[Subject]):
    """
    A bounded queue of works, run up to ``batch_max`` at a time by ``run``.

    A batch begins with the reactor's next turn, so that all who call in this one are in it: a
    thread costs more than most works do. ``run`` answers with the outcomes of its works in their
    order; where it fails, all callers of the batch fail with it. At most ``running_max`` batches
    run at the same time.
    """

    def __init__(
        self,
        run: Callable[[Sequence[Work[Subject]]], Awaitable[Outcomes]],
        clock: IReactorTime,
        *,
        running_max: int,
        waiting_max: int,
        batch_max: int,
    ) -> None:
        self._run = run
        self._clock = clock
        self._running_max = running_max
        self._waiting_max = waiting_max
        self._batch_max = batch_max
        self._waiting: deque[tuple[Work[Subject], Deferred[Any]]] = deque()
        self._running = 0
        self._refusal: StoreError | None = None
        self._idle: list[Deferred[None]] = []

    def submit(
        self, work: Callable[[Subject], Result], *, urgent: bool = False
    ) -> Deferred[Result]:
        """
        The result of ``work``; it runs to its end even if this Deferred is cancelled.

        Raises the reason of `refuse`, or `OverloadedError` when too many wait. What is ``urgent``
        is always taken, and goes to the front.
        """
        if self._refusal is not None and not urgent:
            raise self._refusal
        waiter: Deferred[Result] = Deferred()
        if urgent:
            self._waiting.appendleft((work, waiter))
        elif len(self._waiting) < self._waiting_max:
            self._waiting.append((work, waiter))
        else:
            raise OverloadedError(
                f"{self._waiting_max} calls wait for the catalog already.", retry_after_seconds=1
            )
        if self._running < self._running_max:
            self._running += 1
            self._clock.callLater(0, self._begin)
        return waiter

    def refuse(self, reason: StoreError) -> None:
        """Take no more but what is urgent; what waits is still run."""
        self._refusal = reason

    def abandon(self, reason: StoreError) -> None:
        """Take no more, and fail what waits."""
        self.refuse(reason)
        while self._waiting:
            _, waiter = self._waiting.popleft()
            waiter.errback(reason)

    async def drained(self) -> None:
        """Return when nothing runs and nothing waits."""
        if self._running:
            idle: Deferred[None] = Deferred()
            self._idle.append(idle)
            await idle

    def _begin(self) -> None:
        Deferred.fromCoroutine(self._run_all())

    async def _run_all(self) -> None:
        while self._waiting:
            count = min(len(self._waiting), self._batch_max)
            await self._run_one([self._waiting.popleft() for _ in range(count)])
        self._running -= 1
        if not self._running:
            while self._idle:
                self._idle.pop().callback(None)

    async def _run_one(self, batch: Sequence[tuple[Work[Subject], Deferred[Any]]]) -> None:
        try:
            results = await self._run([work for work, _ in batch])
        except Exception as error:  # for the callers; nobody cancels a batch
            for _, waiter in batch:
                waiter.errback(error)
        else:
            for (_, waiter), result in zip(batch, results, strict=True):
                waiter.callback(result)
