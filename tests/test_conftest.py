"""The fixture that every test runs under, tried on bad tests and on good ones."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]

HEAD = """
import pytest_twisted
from twisted.internet import defer
from twisted.logger import Logger

log = Logger()
"""

BAD = """
def test_deferred_with_an_unhandled_error():
    defer.fail(ValueError())

def test_unhandled_error_in_a_cycle():
    deferred = defer.fail(ValueError())
    deferred.addBoth(lambda result: (deferred, result)[1])

def test_logged_failure():
    try:
        1 / 0
    except ZeroDivisionError:
        log.failure("oh")

def test_critical_event():
    log.critical("all is lost")

def test_expected_failure_of_another_type(expected_failures):
    defer.fail(ValueError())
    assert expected_failures(KeyError) == []

def test_call_left_behind():
    from twisted.internet import reactor
    reactor.callLater(60, print)

@pytest_twisted.ensureDeferred
async def test_call_left_behind_by_a_coroutine():
    from twisted.internet import reactor
    reactor.callLater(60, print)

async def forgotten():
    pass

def test_coroutine_never_awaited():
    forgotten()

def test_coroutine_never_awaited_in_a_cycle():
    cycle = [forgotten()]
    cycle.append(cycle)
"""

GOOD = """
def test_expected_failure(expected_failures):
    defer.fail(ValueError())
    [failure] = expected_failures(ValueError)
    assert expected_failures() == []

def test_expected_critical_event(expected_failures):
    log.critical("all is lost")
    assert len(expected_failures()) == 1

def test_error_event_without_a_failure():
    log.error("a node is gone")

def test_handled_error():
    defer.fail(ValueError()).addErrback(lambda failure: None)

def test_calls_that_end_by_themselves():
    from twisted.internet import reactor
    reactor.callLater(0, reactor.callLater, 0, int)
"""


def outcomes(folder: Path, tests: str) -> tuple[set[str], set[str]]:
    """Names of the tests that passed without a complaint, and of the others."""
    for name in ("tests/conftest.py", "pyproject.toml"):
        (folder / Path(name).name).write_text((ROOT / name).read_text())
    (folder / "test_it.py").write_text(HEAD + tests)
    command = [sys.executable, "-m", "pytest", "-rA", "test_it.py"]
    said = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False).stdout
    wrong = set(re.findall(r"^(?:FAILED|ERROR) test_it.py::(\w+)", said, re.MULTILINE))
    return set(re.findall(r"^PASSED test_it.py::(\w+)", said, re.MULTILINE)) - wrong, wrong


def names(tests: str) -> set[str]:
    """Names of the tests in this source."""
    return set(re.findall(r"def (test_\w+)", tests))


def test_a_bad_test_fails(tmp_path: Path) -> None:
    """What Twisted would only log, or forget, fails the very test that did it."""
    assert outcomes(tmp_path, BAD) == (set(), names(BAD))


def test_a_good_test_passes(tmp_path: Path) -> None:
    """What a test handles, ends or expects is its own matter."""
    assert outcomes(tmp_path, GOOD) == (names(GOOD), set())
