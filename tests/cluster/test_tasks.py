"""Work in the background: one piece for each key, ended with its owner."""

from collections.abc import Callable

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from twisted_store.cluster.tasks import Tasks


class Work:
    """Waits until it is told to end; notes how it ended."""

    def __init__(self) -> None:
        self.gate: Deferred[None] = Deferred()
        self.ended: list[str] = []
        self.cleaning: Deferred[None] | None = None

    async def __call__(self) -> None:
        """Do it."""
        try:
            await self.gate
        except CancelledError:
            self.ended.append("cancelled")
            if self.cleaning is not None:
                await self.cleaning
            raise
        self.ended.append("done")


def stopped(tasks: Tasks[str]) -> list[None]:
    """What stopping has come to: empty as long as something runs."""
    done: list[None] = []
    Deferred.fromCoroutine(tasks.stop()).addCallback(done.append)
    return done


def test_there_is_one_piece_of_work_for_a_key() -> None:
    """Until it ends; others run beside it."""
    tasks = Tasks[str]()
    first, second, other = Work(), Work(), Work()
    assert tasks.start("a", first)
    assert not tasks.start("a", second)
    assert tasks.start("b", other)
    assert (len(tasks), second.ended) == (2, [])
    first.gate.callback(None)
    assert (len(tasks), first.ended) == (1, ["done"])
    assert tasks.start("a", second)
    second.gate.callback(None)
    other.gate.callback(None)
    assert len(tasks) == 0


def test_work_that_ends_at_once_leaves_nothing() -> None:
    """The key is free."""
    tasks = Tasks[str]()
    for _ in range(2):
        work = Work()
        work.gate.callback(None)
        assert tasks.start("a", work)
        assert (len(tasks), work.ended) == (0, ["done"])


def test_work_that_fails_is_logged_and_ends(
    expected_failures: Callable[..., list[Failure]],
) -> None:
    """At once or later."""
    tasks = Tasks[str]()
    for early in (True, False):
        work = Work()
        if early:
            work.gate.errback(Failure(ValueError("broken")))
        tasks.start("a", work)
        if not early:
            work.gate.errback(Failure(ValueError("broken")))
        assert len(tasks) == 0
    assert len(expected_failures(ValueError)) == 2


def test_stopping_cancels_all_and_waits_for_it() -> None:
    """Also for what has to be cleared away; and nothing begins any more."""
    tasks = Tasks[str]()
    quick, slow, late = Work(), Work(), Work()
    slow.cleaning = Deferred()
    tasks.start("a", slow)
    tasks.start("b", quick)
    done = stopped(tasks)
    assert not tasks.start("c", late)
    assert (slow.ended, done) == (["cancelled"], [])
    slow.cleaning.callback(None)
    assert (quick.ended, done, len(tasks)) == (["cancelled"], [None], 0)
    assert late.ended == []
    assert stopped(tasks) == [None]
