"""The real seams, on the real reactor where they need one."""

import resource
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.defer import CancelledError
from twisted.internet.interfaces import IStreamServerEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import deferLater
from twisted.internet.testing import MemoryReactorClock
from twisted.web.client import URI
from twisted.web.error import SchemeNotSupported

from twisted_store.seams import OPEN_FILES_WANTED, Seams, real_seams
from twisted_store.streams import READ_BYTES_MAX

ROOT = Path(__file__).parents[1]


class Reactor:
    """The real one, but what is to be done at its end is done at that of the test."""

    def __init__(self) -> None:
        from twisted.internet import reactor

        self._reactor: Any = reactor
        self.at_end: list[Any] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)

    def addSystemEventTrigger(self, phase: str, event: str, call: Any) -> None:
        """Note it."""
        assert (phase, event) == ("after", "shutdown")
        self.at_end.append(call)


@pytest.fixture
def reactor() -> Any:
    """One per test."""
    reactor = Reactor()
    yield reactor
    for call in reactor.at_end:
        call()


@pytest.fixture
def seams(reactor: Any) -> Seams:
    """Those of a daemon."""
    return real_seams(reactor)


async def turn(seams: Seams) -> None:
    """Let the reactor work a little."""
    await deferLater(seams.clock, 0.01)


@pytest_twisted.ensureDeferred
async def test_blocking_calls_run_in_threads(seams: Seams) -> None:
    """Results and errors come back into this one."""
    await turn(seams)
    assert await seams.run_blocking(threading.current_thread) is not threading.current_thread()
    with pytest.raises(ZeroDivisionError):
        await seams.run_blocking(lambda: 1 // 0)


@pytest_twisted.ensureDeferred
async def test_a_blocking_call_that_is_cancelled_goes_on(seams: Seams) -> None:
    """A thread cannot be stopped: who cancels must expect its effect."""
    await turn(seams)
    gate, ended = threading.Event(), threading.Event()

    def call() -> None:
        gate.wait(10)
        ended.set()

    calling = seams.run_blocking(call)
    calling.cancel()
    with pytest.raises(CancelledError):
        await calling
    gate.set()
    assert await seams.run_blocking(lambda: ended.wait(10))


@pytest_twisted.ensureDeferred
async def test_a_connection_reads_much_at_a_time(seams: Seams) -> None:
    """From one of our endpoints to another of ours."""
    listening: IStreamServerEndpoint = seams.listen("tcp:0:interface=127.0.0.1")
    port = await listening.listen(Factory.forProtocol(Protocol))
    host: Any = port.getHost()
    uri = URI.fromBytes(b"http://127.0.0.1:%d/" % host.port)
    protocol: Any = await seams.agent_endpoints.endpointForURI(uri).connect(
        Factory.forProtocol(Protocol)
    )
    assert protocol.transport.bufferSize == READ_BYTES_MAX
    protocol.transport.abortConnection()
    await turn(seams)
    stopped: Any = port.stopListening()
    await stopped


@pytest_twisted.ensureDeferred
async def test_an_attempt_that_is_cancelled_fails_as_such(seams: Seams) -> None:
    """At every stage, the look-up of the name included: nobody else is to blame for it."""
    uri = URI.fromBytes(b"http://localhost:1/")
    attempt = seams.agent_endpoints.endpointForURI(uri).connect(Factory.forProtocol(Protocol))
    attempt.cancel()
    with pytest.raises(CancelledError):
        await attempt
    await turn(seams)


@pytest_twisted.ensureDeferred
async def test_an_attempt_that_fails_says_why(seams: Seams) -> None:
    """Here nobody listens."""
    uri = URI.fromBytes(b"http://127.0.0.1:1/")
    with pytest.raises(Exception, match="refused"):
        await seams.agent_endpoints.endpointForURI(uri).connect(Factory.forProtocol(Protocol))


def test_https_is_refused() -> None:
    """Rather than sending the secret in plain text to a port that expects TLS."""
    endpoints = real_seams(MemoryReactorClock()).agent_endpoints
    with pytest.raises(SchemeNotSupported):
        endpoints.endpointForURI(URI.fromBytes(b"https://127.0.0.1:1/"))


def test_the_operator_reads_announcements_at_once(
    seams: Seams, capfd: pytest.CaptureFixture[str]
) -> None:
    """Also through a pipe."""
    seams.announce("listening on http://127.0.0.1:1")
    assert capfd.readouterr().out == "listening on http://127.0.0.1:1\n"


def run(code: str) -> "subprocess.CompletedProcess[str]":
    """Run this in a process of its own."""
    words = [sys.executable, "-c", f"from twisted_store.seams import *; {code}"]
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)


def test_a_fatal_message_ends_the_process() -> None:
    """At once: not even what is registered for the exit is done."""
    ended = run(
        "import atexit; from twisted.internet.testing import MemoryReactorClock;"
        "atexit.register(print, 'too late');"
        "real_seams(MemoryReactorClock()).fatal('the disk failed')"
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (1, "", "the disk failed\n")


@pytest.mark.parametrize(
    ("hard", "allowed", "told"),
    [(OPEN_FILES_WANTED + 1, OPEN_FILES_WANTED, []), (512, 512, [512])],
)
def test_a_daemon_may_open_as_many_files_as_it_needs(
    hard: int, allowed: int, told: list[int]
) -> None:
    """
    Or as the system allows, which the operator is told.

    With 1024 of them 200 small uploads at once made all nodes suspect.
    """
    if resource.getrlimit(resource.RLIMIT_NOFILE)[1] < hard:
        pytest.skip("this system does not allow as much")
    ended = run(
        "import resource; from twisted.internet.testing import MemoryReactorClock;"
        "from twisted.logger import capturedLogs;"
        f"resource.setrlimit(resource.RLIMIT_NOFILE, (256, {hard}));"
        "capture = capturedLogs(); events = capture.__enter__();"
        "real_seams(MemoryReactorClock());"
        "told = [event['allowed'] for event in events];"
        "print(resource.getrlimit(resource.RLIMIT_NOFILE)[0], told)"
    )
    assert ended.stdout == f"{allowed} {told}\n", ended.stderr
