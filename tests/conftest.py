"""What pytest-twisted leaves out: a test fails on errors that Twisted would only log."""

import gc
import sys
from collections.abc import Callable, Iterator
from typing import cast

import hypothesis
import pytest
import pytest_twisted
from twisted.internet.base import DelayedCall
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import (
    ILogObserver,
    LogEvent,
    LogLevel,
    formatEvent,
    formatEventAsClassicLogText,
    globalLogBeginner,
    globalLogPublisher,
)
from twisted.python.failure import Failure
from zope.interface import implementer

# The machine is shared, so the time that one example takes says nothing.
hypothesis.settings.register_profile("shared_machine", deadline=None)
hypothesis.settings.load_profile("shared_machine")


class LoggedCriticalError(Exception):
    """Stands for a critical log event that carried no failure."""


@implementer(ILogObserver)
class LogOfOneTest:
    """Prints what is logged, for pytest to show if the test fails, and keeps the failures in it."""

    def __init__(self) -> None:
        self._failures: list[Failure] = []

    def __call__(self, event: LogEvent) -> None:
        """Take one event: a failure at any level, or a critical one, counts as failure."""
        sys.stderr.write(formatEventAsClassicLogText(event) or "")
        failure = event.get("log_failure")
        # An unhandled error in a Deferred is announced by a critical event that is marked as error.
        announces = event.get("isError", False)
        if failure is None and event.get("log_level") is LogLevel.critical and not announces:
            failure = Failure(LoggedCriticalError(formatEvent(event)))
        if failure is not None:
            self._failures.append(failure)

    def take(self, *error_types: type[BaseException]) -> list[Failure]:
        """Hand over, and forget, the failures of these types; all of them when none is named."""
        gc.collect()  # a Deferred logs its unhandled error when it is collected
        taken = [each for each in self._failures if not error_types or each.check(*error_types)]
        self._failures = [each for each in self._failures if each not in taken]
        return taken


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the sizes of the long tests."""
    parser.addoption("--rounds", type=int, default=5, help="rounds of the torture test")
    parser.addoption("--full", action="store_true", help="every power loss, every loss of nodes")


def pytest_configure() -> None:
    """End Twisted's buffering of the log, which would keep all that failures refer to alive."""
    globalLogBeginner.beginLoggingTo([], discardBuffer=True, redirectStandardIO=False)


def pytest_collection_finish() -> None:
    """Exempt all that is imported by now from collection, which makes the one per test cheap."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def full(request: pytest.FixtureRequest) -> bool:
    """Whether to go through everything, which takes its time."""
    return bool(request.config.getoption("--full"))


@pytest.fixture(autouse=True)
def expected_failures() -> Iterator[Callable[..., list[Failure]]]:
    """Fail the test if it leaves failures in the log, or calls in the reactor.

    A test that means to have failures logged takes them away, and looks at them:
    `[failure] = expected_failures(ChecksumError)`.
    """
    log = LogOfOneTest()
    earlier_calls = set(_delayed_calls())
    globalLogPublisher.addObserver(log)
    yield log.take
    leftover_calls = _leftover_calls(earlier_calls)
    failures = log.take()
    globalLogPublisher.removeObserver(log)
    problems = [f"left in the reactor: {call}" for call in leftover_calls]
    problems += [f"logged: {failure.getTraceback()}" for failure in failures]
    if problems:
        pytest.fail("\n".join(problems), pytrace=False)


def _reactor() -> IReactorTime:
    """Import late: pytest-twisted chooses the reactor after this file is read."""
    from twisted.internet import reactor

    return cast(IReactorTime, reactor)


def _delayed_calls() -> list[DelayedCall]:
    return cast(list[DelayedCall], list(_reactor().getDelayedCalls()))


def _leftover_calls(earlier_calls: set[DelayedCall]) -> list[DelayedCall]:
    """Cancel and return the calls that two more turns of the reactor do not end."""
    for _ in range(2):
        if set(_delayed_calls()) - earlier_calls:
            pytest_twisted.blockon(deferLater(_reactor(), 0))
    leftover = set(_delayed_calls()) - earlier_calls
    for call in leftover:
        call.cancel()
    return list(leftover)
