"""Work that goes on although nobody waits for it any more."""

from collections.abc import Callable

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from tests.catalog.seams import result_of
from twisted_store.api.shield import shielded
from twisted_store.errors import PreconditionFailedError


class Work:
    """Waits for its gate, and notes that it came to its end."""

    def __init__(self) -> None:
        self.gate: Deferred[str] = Deferred()
        self.ended = False
        self.waiting = shielded(self._run())

    async def _run(self) -> str:
        try:
            return await self.gate
        finally:
            self.ended = True


def test_the_result_reaches_who_waits() -> None:
    """A shield is no wall."""
    work = Work()
    work.gate.callback("done")
    assert result_of(work.waiting) == "done"


def test_an_error_reaches_who_waits() -> None:
    """As it is."""
    work = Work()
    work.gate.errback(PreconditionFailedError("no", None))
    with pytest.raises(PreconditionFailedError):
        result_of(work.waiting)


def test_work_goes_on_when_who_waits_leaves() -> None:
    """Who leaves is told at once."""
    work = Work()
    work.waiting.cancel()
    with pytest.raises(CancelledError):
        result_of(work.waiting)
    assert not work.ended
    work.gate.callback("done")
    assert work.ended


def test_a_refusal_that_nobody_waits_for_is_no_failure_of_ours() -> None:
    """The fixture of all tests fails those that log a failure; this must not be one."""
    work = Work()
    work.waiting.cancel()
    with pytest.raises(CancelledError):
        result_of(work.waiting)
    work.gate.errback(PreconditionFailedError("no", None))
    assert work.ended


def test_a_bug_that_nobody_waits_for_is_logged(
    expected_failures: Callable[..., list[Failure]],
) -> None:
    """With its traceback: nobody else will tell."""
    work = Work()
    work.waiting.cancel()
    with pytest.raises(CancelledError):
        result_of(work.waiting)
    work.gate.errback(ZeroDivisionError())
    assert len(expected_failures(ZeroDivisionError)) == 1
