"""
The load generator: one thread, raw sockets, the same for all systems.

It sends prepared bytes without copying them and checks every byte that it gets.
"""

import select
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass

from benchmarks.connection import Connection, Transfer, TransferError
from benchmarks.dialects import Dialect, DialectError

RECEIVED_BYTES_MAX = 2**20
STALLED_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """How long it took, what it cost this process, and what became of each transfer."""

    seconds: float
    cpu_seconds: float
    latencies_seconds: tuple[float, ...]
    errors: Counter[str]


class Load:
    """Transfers, so many at once; those that fail are counted and not repeated."""

    def __init__(self, transfers: Sequence[Transfer]) -> None:
        self._waiting: Iterator[Transfer] = iter(transfers)
        self._connections: dict[int, Connection] = {}
        self._latencies: list[float] = []
        self._errors: Counter[str] = Counter()
        self._unfinished = len(transfers)

    def run(self, address: tuple[str, int], dialect: Dialect, at_once: int) -> Outcome:
        """Do them all; connecting is not measured."""
        received = bytearray(RECEIVED_BYTES_MAX)
        with closing(select.epoll()) as poll:
            connections = [Connection(address, dialect, poll, received) for _ in range(at_once)]
            for connection in connections:
                connection.open()
            start, cpu_start = time.perf_counter(), time.process_time()
            for connection in connections:
                self._begin_next(connection)
            while self._unfinished and self._progress(poll):
                pass
            seconds, cpu = time.perf_counter() - start, time.process_time() - cpu_start
            for connection in connections:
                connection.close()
        return Outcome(seconds, cpu, tuple(sorted(self._latencies)), self._errors)

    def _progress(self, poll: select.epoll) -> bool:
        events = poll.poll(STALLED_SECONDS)
        if not events:
            self._errors[f"no progress for {STALLED_SECONDS:.0f} s"] += self._unfinished
        for descriptor, event in events:
            self._serve(self._connections[descriptor], event)
        return bool(events)

    def _serve(self, connection: Connection, event: int) -> None:
        try:
            if event & select.EPOLLOUT:
                connection.send()
            whole = event != select.EPOLLOUT and connection.receive()
        except (OSError, DialectError, TransferError) as error:
            self._fail(connection, error)
            self._begin_next(connection)
        else:
            if whole:
                self._latencies.append(time.perf_counter() - connection.started)
                self._unfinished -= 1
                self._begin_next(connection)

    def _begin_next(self, connection: Connection) -> None:
        for transfer in self._waiting:
            try:
                connection.begin(transfer)
            except OSError as error:
                self._fail(connection, error)
            else:
                self._connections[connection.fileno()] = connection
                return
        connection.close()

    def _fail(self, connection: Connection, error: Exception) -> None:
        connection.close()
        self._errors[str(error)] += 1
        self._unfinished -= 1
