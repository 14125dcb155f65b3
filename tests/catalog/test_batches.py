"""Batches: what waits goes together, every caller gets its own answer."""

from collections.abc import Sequence

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from tests.catalog.seams import PromptClock
from twisted_store.catalog.batches import Batches, Outcomes, Work, outcomes
from twisted_store.errors import NoSpaceError, OverloadedError, StoppingError


class Bench:
    """Batches over a list, which run when the test says so."""

    def __init__(self, running_max: int = 1, clock: Clock | None = None) -> None:
        self.subject: list[str] = []
        self.running: list[tuple[Sequence[Work[list[str]]], Deferred[Outcomes]]] = []
        self.batches = Batches[list[str]](
            self._run,
            clock or PromptClock(),
            running_max=running_max,
            waiting_max=3,
            batch_max=2,
        )

    def _run(self, works: Sequence[Work[list[str]]]) -> Deferred[Outcomes]:
        done: Deferred[Outcomes] = Deferred()
        self.running.append((works, done))
        return done

    def append(self, text: str, *, urgent: bool = False) -> list[object]:
        """Submit a work that appends ``text``; gives the list that its answer will stand in."""
        answers: list[object] = []

        def work(subject: list[str]) -> int:
            subject.append(text)
            return len(subject)

        self.batches.submit(work, urgent=urgent).addBoth(answers.append)
        return answers

    def finish(self) -> int:
        """End the oldest batch; gives its size."""
        works, done = self.running.pop(0)
        done.callback(outcomes(works, self.subject))
        return len(works)


def test_what_waits_goes_together_up_to_the_limit() -> None:
    """The first goes at once, the others when it is done."""
    bench = Bench()
    answers = [bench.append(text) for text in "abcd"]
    assert [bench.finish() for _ in range(3)] == [1, 2, 1]
    assert bench.subject == ["a", "b", "c", "d"]
    assert answers == [[1], [2], [3], [4]]
    assert bench.running == []


def test_what_comes_in_one_turn_goes_together() -> None:
    """Not one alone and the others after it."""
    clock = Clock()
    bench = Bench(clock=clock)
    answers = [bench.append(text) for text in "ab"]
    assert bench.running == []
    clock.advance(0)
    assert bench.finish() == 2
    assert answers == [[1], [2]]


def test_as_many_batches_run_as_may() -> None:
    """With two lanes the second caller does not wait for the first."""
    bench = Bench(running_max=2)
    for text in "abcde":
        bench.append(text)
    assert [bench.finish() for _ in range(4)] == [1, 1, 2, 1]


def test_a_full_queue_takes_only_what_is_urgent() -> None:
    """The limit is of those that wait; what is urgent goes before them."""
    bench = Bench()
    for text in "abcd":
        bench.append(text)
    with pytest.raises(OverloadedError):
        bench.append("e")
    bench.append("!", urgent=True)
    for _ in range(3):
        bench.finish()
    assert bench.subject == ["a", "!", "b", "c", "d"]


def test_an_error_of_ours_is_the_answer_of_one_caller() -> None:
    """The others of the batch have theirs."""

    def refuse(subject: list[str]) -> None:
        raise NoSpaceError("full")

    bench = Bench()
    bench.append("a")
    refused: list[object] = []
    bench.batches.submit(refuse).addErrback(refused.append)
    last = bench.append("b")
    bench.finish()
    bench.finish()
    assert last == [2]
    [failure] = refused
    assert isinstance(failure, Failure)
    assert failure.check(NoSpaceError)


def test_a_batch_that_fails_fails_all_its_callers_and_no_other() -> None:
    """The next batch has its own chance."""
    bench = Bench()
    first, second, third = [bench.append(text) for text in "abc"]
    bench.finish()
    bench.running.pop()[1].errback(OSError("broken"))
    fourth = bench.append("d")
    bench.finish()
    assert (first, fourth) == ([1], [2])
    for [failure] in (second, third):
        assert isinstance(failure, Failure)
        assert failure.check(OSError)


def test_a_cancelled_call_is_still_run() -> None:
    """Its caller learns of the cancellation, the work is done."""
    bench = Bench()
    answers: list[object] = []
    bench.append("a")
    call = bench.batches.submit(lambda subject: subject.append("b"))
    call.addErrback(lambda failure: answers.append(failure.check(CancelledError)))
    call.cancel()
    bench.finish()
    bench.finish()
    assert bench.subject == ["a", "b"]
    assert answers == [CancelledError]


def test_refusing_lets_what_waits_run() -> None:
    """Closing waits for it."""
    bench = Bench()
    answers = [bench.append(text) for text in "ab"]
    bench.batches.refuse(StoppingError("closed"))
    drained: list[None] = []
    Deferred.fromCoroutine(bench.batches.drained()).addCallback(drained.append)
    with pytest.raises(StoppingError):
        bench.append("c")
    bench.finish()
    assert drained == []
    bench.finish()
    assert drained == [None]
    assert answers == [[1], [2]]


def test_what_is_urgent_is_taken_while_closing() -> None:
    """A sync whose time comes then must not fail."""
    bench = Bench()
    bench.append("a")
    bench.batches.refuse(StoppingError("closed"))
    answers = bench.append("!", urgent=True)
    bench.finish()
    bench.finish()
    assert answers == [2]


def test_abandoning_fails_what_waits() -> None:
    """What runs is left to its end."""
    bench = Bench()
    first, second = [bench.append(text) for text in "ab"]
    bench.batches.abandon(StoppingError("broken"))
    [failure] = second
    assert isinstance(failure, Failure)
    assert failure.check(StoppingError)
    bench.finish()
    assert first == [1]
    assert bench.running == []
