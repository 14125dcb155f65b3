"""Everything that is not deterministic, as one value: the daemons run on `real_seams`."""

import os
import random
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn, Protocol, TypeVar

from twisted.internet.defer import Deferred
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
from twisted.python.threadpool import ThreadPool
from twisted.web.client import URI
from twisted.web.iweb import IAgentEndpointFactory
from zope.interface import implementer

from twisted_store.catalog.database import DatabaseOpener, open_sqlite
from twisted_store.storage.disk import Disk, OsDisk
from twisted_store.streams import READ_BYTES_MAX

T = TypeVar("T")

THREADS_MAX = 16
"""Threads of a role for disk and catalog calls; more would only queue at the disk."""


class RunBlocking(Protocol):
    """Runs a blocking call elsewhere; cancelling the Deferred does not stop the call."""

    def __call__(self, call: Callable[[], T], /) -> "Deferred[T]":
        """Fire with what ``call`` returns."""


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
    announce: Callable[[str], None]
    fatal: Callable[[str], None]


def real_seams(reactor: Any) -> Seams:
    """The seams of a daemon on ``reactor``; its threads end with the reactor."""
    Factory.noisy = False  # or each connection to a node logs its beginning and its end
    pool = ThreadPool(0, THREADS_MAX, "disk")
    reactor.callWhenRunning(pool.start)
    reactor.addSystemEventTrigger("after", "shutdown", pool.stop)

    def run_blocking(call: Callable[[], T], /) -> "Deferred[T]":
        return deferToThreadPool(reactor, pool, call)

    return Seams(
        clock=reactor,
        monotonic=time.monotonic,
        wall=time.time,
        random=random.SystemRandom(),
        listen=lambda description: serverFromString(reactor, description),
        agent_endpoints=_TcpEndpoints(reactor),
        run_blocking=run_blocking,
        disk=OsDisk(),
        open_database=open_sqlite,
        announce=_announce,
        fatal=_fatal,
    )


@implementer(IAgentEndpointFactory)
class _TcpEndpoints:
    """Connects by plain TCP."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        """Where ``uri`` points to."""
        return _WideEndpoint(HostnameEndpoint(self._reactor, uri.host, uri.port))


@implementer(IStreamClientEndpoint)
class _WideEndpoint:
    """Reads and buffers more at a time than Twisted does by default: fewer calls per byte."""

    def __init__(self, endpoint: IStreamClientEndpoint) -> None:
        self._endpoint = endpoint

    def connect(self, factory: IProtocolFactory) -> "Deferred[IProtocol]":
        """As the endpoint does."""
        return self._endpoint.connect(factory).addCallback(_widened)


def _widened(protocol: Any) -> Any:
    protocol.transport.bufferSize = READ_BYTES_MAX
    return protocol


def _announce(text: str) -> None:
    print(text, flush=True)


def _fatal(message: str) -> NoReturn:
    """End at once: what is in doubt must not go on, and nothing unsynced was acknowledged."""
    print(message, file=sys.stderr, flush=True)
    os._exit(1)
