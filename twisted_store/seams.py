"""Everything that is not deterministic, as one value: the daemons run on `real_seams`."""

import os
import random
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NoReturn, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import HostnameEndpoint, serverFromString
from twisted.internet.interfaces import (
    IProtocol,
    IProtocolFactory,
    IReactorTime,
    IStreamClientEndpoint,
    IStreamServerEndpoint,
)
from twisted.internet.protocol import Factory
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.python.threadpool import ThreadPool
from twisted.web.client import URI
from twisted.web.error import SchemeNotSupported
from twisted.web.iweb import IAgentEndpointFactory
from zope.interface import implementer

from twisted_store.coding.choice import Coder, best_coder
from twisted_store.database import DatabaseOpener, open_sqlite
from twisted_store.storage.calls import RunBlocking
from twisted_store.storage.disk import Disk, OsDisk
from twisted_store.streams import widen

T = TypeVar("T")

THREADS_MAX = 16
"""Threads of a role for disk and catalog calls; more would only queue at the disk."""

ENDPOINTS_MAX = 256
"""Addresses of nodes that are kept ready to be connected to."""

ATTEMPT_SECONDS = 0.02
"""Between attempts at the addresses of a name; also what a refusal of the only one waits for."""

OPEN_FILES_WANTED = 8192
"""File descriptors of a role: each client of the api may need connections to five nodes as well."""

log = Logger()


@dataclass(frozen=True)
class Seams:
    """
    What a role may use of the world outside.

    ``clock`` is for delays only, ``monotonic`` for durations in seconds, ``wall`` for the time of
    day in seconds since 1970. ``listen`` takes a Twisted endpoint string. ``announce`` prints a
    line for the operator; ``fatal`` ends the process with a message and a non-zero status.
    """

    clock: IReactorTime
    monotonic: Callable[[], float]
    wall: Callable[[], float]
    random: random.Random
    listen: Callable[[str], IStreamServerEndpoint]
    agent_endpoints: IAgentEndpointFactory
    run_blocking: RunBlocking
    disk: Disk
    open_database: DatabaseOpener
    coder: Coder
    announce: Callable[[str], None]
    fatal: Callable[[str], None]


def real_seams(reactor: Any) -> Seams:
    """The seams of a daemon on ``reactor``; its threads end with the reactor."""
    Factory.noisy = False  # or each connection to a node logs its beginning and its end
    raise_open_files()
    pool = ThreadPool(0, THREADS_MAX, "disk")
    reactor.callWhenRunning(pool.start)
    reactor.addSystemEventTrigger("after", "shutdown", pool.stop)

    def run_blocking(call: Callable[[], T], /) -> "Deferred[T]":
        return deferToThreadPool(reactor, pool, call)

    return Seams(
        clock=reactor,
        monotonic=time.monotonic,
        wall=time.time,
        random=random.Random(),
        listen=lambda description: serverFromString(reactor, description),
        agent_endpoints=_TcpEndpoints(reactor),
        run_blocking=run_blocking,
        disk=OsDisk(),
        open_database=open_sqlite,
        coder=best_coder(),
        announce=_announce,
        fatal=_fatal,
    )


def raise_open_files() -> None:
    """Allow this process `OPEN_FILES_WANTED`: many systems start with 1024, and allow more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = resource.RLIM_INFINITY
    allowed = OPEN_FILES_WANTED if hard == unlimited else min(OPEN_FILES_WANTED, hard)
    if soft != unlimited and soft < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    if allowed < OPEN_FILES_WANTED:
        log.warn(
            "only {allowed} open files are allowed, {wanted} would do for all clients (ulimit -Hn)",
            allowed=allowed,
            wanted=OPEN_FILES_WANTED,
        )


@implementer(IAgentEndpointFactory)
class _TcpEndpoints:
    """Connects by plain TCP."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        # An agent asks for each request, whether it connects or not.
        self._made = lru_cache(ENDPOINTS_MAX)(self._make)

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        """Where ``uri`` points to; raises `SchemeNotSupported` for what would need TLS."""
        if uri.scheme != b"http":
            raise SchemeNotSupported(f"{uri.scheme.decode()} is not spoken here, http is")
        return self._made(uri.host, uri.port)

    def _make(self, host: bytes, port: int) -> IStreamClientEndpoint:
        endpoint = HostnameEndpoint(self._reactor, host, port, attemptDelay=ATTEMPT_SECONDS)
        return _WideEndpoint(endpoint)


@implementer(IStreamClientEndpoint)
class _WideEndpoint:
    """Reads and buffers more at a time than Twisted does by default: fewer calls per byte."""

    def __init__(self, endpoint: IStreamClientEndpoint) -> None:
        self._endpoint = endpoint

    def connect(self, factory: IProtocolFactory) -> "Deferred[IProtocol]":
        """As the endpoint does, but when cancelled it fails as such at every stage."""
        attempt = self._endpoint.connect(factory).addCallback(_widened)
        return _known_when_cancelled(attempt)


def _known_when_cancelled(attempt: "Deferred[T]") -> "Deferred[T]":
    """The same; an endpoint that looks up a name makes a `DNSLookupError` of its cancellation."""

    def cancel(waiting: "Deferred[T]") -> None:
        waiting.errback(CancelledError())
        attempt.cancel()

    def ended(result: "T | Failure") -> None:
        if not waiting.called:
            waiting.callback(result)

    waiting: Deferred[T] = Deferred(cancel)
    attempt.addBoth(ended)
    return waiting


def _widened(protocol: Any) -> Any:
    widen(protocol.transport)
    return protocol


def _announce(text: str) -> None:
    print(text, flush=True)


def _fatal(message: str) -> NoReturn:
    """End at once: what is in doubt must not go on, and nothing unsynced was acknowledged."""
    print(message, file=sys.stderr, flush=True)
    os._exit(1)
