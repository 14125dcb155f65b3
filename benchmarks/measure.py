"""One turn of one system: started, touched, measured, stopped, its files removed."""

import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil
from pathlib import Path

from benchmarks.connection import Transfer
from benchmarks.content import checksum
from benchmarks.load import Load
from benchmarks.processes import Running, cpu_seconds, peak_bytes
from benchmarks.systems import System
from benchmarks.workloads import Workload

OPERATIONS = ("PUT", "GET")
SETTLE_SECONDS = 0.5
TOUCH_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Phase:
    """
    All transfers of one operation in one turn; repetition 0 is the warm-up.

    ``front`` is the api, the relay or nginx, ``behind`` the nodes or sinks, ``client`` the load
    generator. Latencies are of the transfers that succeeded, None if none did.
    """

    repetition: int
    workload: str
    system: str
    operation: str
    seconds: float
    p50_seconds: float | None
    p99_seconds: float | None
    front_cpu_seconds: float
    behind_cpu_seconds: float
    client_cpu_seconds: float
    front_peak_bytes: int
    errors: dict[str, int]

    @property
    def key(self) -> tuple[str, str, str]:
        """Workload, operation and system."""
        return (self.workload, self.operation, self.system)

    @property
    def servers_cpu_seconds(self) -> float:
        """CPU time of all server processes."""
        return self.front_cpu_seconds + self.behind_cpu_seconds


def measure_turn(
    repetition: int, workload: Workload, system: str, start: System, scratch: Path
) -> Iterator[Phase]:
    """PUT and GET of a workload on a system that is started for it, after a touch of both."""
    directory = Path(tempfile.mkdtemp(prefix=f"{system}-", dir=scratch))
    try:
        with start(directory) as running:
            for part in (workload.touch, workload):
                for operation in OPERATIONS:
                    if operation == "PUT":
                        touch_memory(directory, part.files * part.size_bytes)
                    yield measure_phase(repetition, part, system, operation, running)
    finally:
        shutil.rmtree(directory)


def touch_memory(directory: Path, size_bytes: int) -> None:
    """
    Fill and free as much page cache as the next phase will take.

    On a virtual machine the first touch of a page costs up to ten times the write itself, and free
    memory goes back to the host within seconds: a system that starts slowly would pay for it.
    """
    path = directory / "touched"
    with path.open("wb", buffering=0) as file:
        for _ in range(2 + size_bytes * 5 // 4 // TOUCH_BYTES):
            file.write(bytes(TOUCH_BYTES))
    path.unlink()


def measure_phase(
    repetition: int, workload: Workload, system: str, operation: str, running: Running
) -> Phase:
    """One operation of a workload on a system that runs."""
    load = Load(_transfers(workload, operation))
    front_start, behind_start = cpu_seconds(running.front), cpu_seconds(running.behind)
    outcome = load.run(running.address, running.dialect, workload.at_once)
    # What a system puts off until after its answer is part of the price.
    time.sleep(SETTLE_SECONDS)
    return Phase(
        repetition=repetition,
        workload=workload.name,
        system=system,
        operation=operation,
        seconds=outcome.seconds,
        p50_seconds=_percentile(outcome.latencies_seconds, 50),
        p99_seconds=_percentile(outcome.latencies_seconds, 99),
        front_cpu_seconds=cpu_seconds(running.front) - front_start,
        behind_cpu_seconds=cpu_seconds(running.behind) - behind_start,
        client_cpu_seconds=outcome.cpu_seconds,
        front_peak_bytes=peak_bytes(running.front),
        errors=dict(outcome.errors),
    )


def _transfers(workload: Workload, operation: str) -> list[Transfer]:
    size = workload.size_bytes
    return [
        Transfer(operation, f"{workload.name}-{number}", number, size, checksum(number, size))
        for number in range(workload.files)
    ]


def _percentile(ordered: tuple[float, ...], percent: int) -> float | None:
    return ordered[ceil(len(ordered) * percent / 100) - 1] if ordered else None
