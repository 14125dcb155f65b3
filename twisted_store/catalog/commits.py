"""Group commit of the catalog: works in the order of their arrival, synced as the mode says."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from twisted_store.catalog.batches import Batches, Outcomes, Work
from twisted_store.catalog.transaction import Transaction
from twisted_store.catalog.writer import NotWrittenError, Writer
from twisted_store.core.durability import Durability, DurabilityMode
from twisted_store.errors import StoppingError, StoreError, UnavailableError

WRITES_WAITING_MAX = 1024
BATCH_MAX = 256

log = Logger()
T = TypeVar("T")


class RunBlocking(Protocol):
    """What runs blocking calls outside the reactor's thread."""

    def __call__(self, work: Callable[[], T], /) -> Deferred[T]:
        """The result of ``work``, in the reactor's thread."""


class CommitInDoubtError(UnavailableError):
    """COMMIT failed: whether it happened is known after the next start. Undo nothing."""


class Commits:
    """
    Writes batch after batch; ``counters`` are those after the last one.

    After a COMMIT whose outcome is in doubt it has `failed`, and calls ``fatal`` with a message.
    """

    def __init__(
        self,
        writer: Writer,
        durability: Durability,
        run_blocking: RunBlocking,
        clock: IReactorTime,
        fatal: Callable[[str], None],
    ) -> None:
        self._writer = writer
        self._durability = durability
        self._run_blocking = run_blocking
        self._clock = clock
        self._fatal = fatal
        self.counters = writer.counters
        self.synced_sequence = writer.counters.sequence
        self.failed = False
        self._sync_call: IDelayedCall | None = None
        self._batches = Batches(
            self._write_batch,
            clock,
            running_max=1,
            waiting_max=WRITES_WAITING_MAX,
            batch_max=BATCH_MAX,
        )

    def submit(self, work: Callable[[Transaction], T]) -> Deferred[T]:
        """The result of ``work``, once it is committed."""
        return self._batches.submit(work)

    async def stop(self) -> None:
        """Take no more works, and finish those that wait."""
        self._batches.refuse(StoppingError("The catalog is closed."))
        await self._batches.drained()
        self._cancel_sync()

    async def _write_batch(self, works: Sequence[Work[Transaction]]) -> Outcomes:
        sync = _nothing in works
        try:
            written = await self._run_blocking(partial(self._writer.write, works, sync))
        except NotWrittenError:
            log.failure("{count} changes to the catalog were rolled back", count=len(works))
            raise
        except Exception as error:  # nobody cancels a batch
            raise self._give_up(error) from error
        self.counters = written.counters
        if sync or self._durability.mode is not DurabilityMode.RELAXED:
            self.synced_sequence = written.counters.sequence
        else:
            self._plan_sync()
        return written.outcomes

    def _plan_sync(self) -> None:
        if self._sync_call is None:
            self._sync_call = self._clock.callLater(self._durability.window_seconds, self._sync)

    def _sync(self) -> None:
        self._sync_call = None
        self._batches.submit(_nothing, urgent=True).addErrback(self._sync_failed)

    def _sync_failed(self, failure: Failure) -> None:
        # The batch has logged why; after any other error the process ends.
        if failure.check(NotWrittenError):
            self._plan_sync()

    def _cancel_sync(self) -> None:
        if self._sync_call is not None:
            self._sync_call.cancel()
            self._sync_call = None

    def _give_up(self, error: Exception) -> StoreError:
        log.failure("the catalog failed")
        doubt = CommitInDoubtError(
            f"The catalog failed, and what it was writing is in doubt: {error}."
        )
        self.failed = True
        self._cancel_sync()
        self._batches.abandon(UnavailableError("The catalog has failed."))
        self._fatal(doubt.message)
        return doubt


def _nothing(_: Transaction) -> None:
    """The work of a batch that only syncs."""
