"""Servers as processes: started and stopped, and what they used."""

import subprocess
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.dialects import Dialect

STOP_SECONDS_MAX = 10.0


@dataclass(frozen=True, slots=True)
class Running:
    """A system that takes requests; ids of its processes in front, and of those behind them."""

    address: tuple[str, int]
    dialect: Dialect
    front: tuple[int, ...]
    behind: tuple[int, ...] = ()


@contextmanager
def started(command: Sequence[str], log: Path) -> Iterator["subprocess.Popen[str]"]:
    """A process until the end of the block; its standard output is a pipe."""
    with (
        log.open("ab") as errors,
        # In a session of its own, so that Ctrl-C reaches only us, and we stop it.
        subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,
        ) as process,
    ):
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(STOP_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                process.kill()


def cpu_seconds(pids: Iterable[int]) -> float:
    """
    User and system time of all threads of these processes so far.

    The same as in /proc/PID/stat, but in nanoseconds: small files take few of its ticks of 10 ms.
    The number of the clock is what clock_getcpuclockid(3) makes of a process id.
    """
    return sum(time.clock_gettime(~pid << 3 | 2) for pid in pids)


def peak_bytes(pids: Iterable[int]) -> int:
    """Most memory that these processes held so far, each by itself."""
    statuses = [Path(f"/proc/{pid}/status").read_text() for pid in pids]
    lines = [line for status in statuses for line in status.splitlines()]
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))


def anonymous_bytes(pid: int) -> int:
    """Memory that a process holds now, without what it shares with files."""
    status = Path(f"/proc/{pid}/status").read_text()
    [line] = [line for line in status.splitlines() if line.startswith("RssAnon:")]
    return int(line.split()[1]) * 1024


def children(pid: int) -> tuple[int, ...]:
    """Ids of the child processes."""
    return tuple(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))
