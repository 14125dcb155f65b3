"""`make small`: what a PUT and a GET of 4 KiB cost, with chunks in batches and each alone."""

import argparse
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

# Run as a file, so its own folder is on the path; the packages are in the one above.
sys.path[0] = str(Path(__file__).parents[1])

from benchmarks.command import DATA  # noqa: E402
from benchmarks.conditions import conditions  # noqa: E402
from benchmarks.connection import Transfer  # noqa: E402
from benchmarks.content import checksum  # noqa: E402
from benchmarks.load import Load  # noqa: E402
from benchmarks.processes import Running, cpu_seconds  # noqa: E402
from benchmarks.systems import running_store  # noqa: E402
from benchmarks.workloads import KIB  # noqa: E402
from twisted_store.cli.local_cluster import LocalCluster  # noqa: E402

NODES = 5
FILE_BYTES = 4 * KIB
AT_ONCE = 32
WARM_UP_FILES = 512

BATCHED, ALONE, STRICT = "batched", "alone", "strict"
SYSTEMS = {
    BATCHED: ["--durability", "relaxed"],
    ALONE: ["--durability", "relaxed", "--batch-chunks-max", "1"],
    STRICT: ["--durability", "strict"],
}
NODE_OPTIONS = ["--scrub-rate", "64KiB"]
"""A scrub reads all the time, whatever clients do: here only one chunk in a second."""

BATCHING_RATIO_MAX = 1 / 5
API_US_MAX, NODES_US_MAX = 450.0, 250.0

LATE_SECONDS = 6.0
"""After this all that a request leads to has begun: index files are written after 5 s."""

LOOK_SECONDS = 1.0
IDLE_CPU_SECONDS_MAX = 0.03
IDLE_LOOKS_MAX = 60


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one operation in one round: files each second, and microseconds of CPU for each file."""

    files_per_second: float
    api_us: float
    nodes_us: float
    client_us: float

    @property
    def servers_us(self) -> float:
        """Of all server processes."""
        return self.api_us + self.nodes_us


@contextmanager
def clusters(data: Path) -> Iterator[dict[str, Running]]:
    """One of each kind, in directories that are removed at the end."""
    directory = Path(tempfile.mkdtemp(prefix="small-", dir=data))
    try:
        with ExitStack() as stack:
            yield {
                name: running_store(stack.enter_context(_cluster(directory / name, options)))
                for name, options in SYSTEMS.items()
            }
    finally:
        shutil.rmtree(directory)


@contextmanager
def _cluster(directory: Path, options: Sequence[str]) -> Iterator[LocalCluster]:
    api_options = ["--scheme", "5+0", *options]
    directory.mkdir()
    with LocalCluster(
        directory, NODES, api_options=api_options, node_options=NODE_OPTIONS
    ) as cluster:
        cluster.wait_ready()
        yield cluster


def round_of(running: Running, turn: int, files: int) -> Iterator[tuple[str, Cost]]:
    """PUT of new files, then GET of the same in another order."""
    numbers = list(range(turn * files, (turn + 1) * files))
    for operation in ("PUT", "GET"):
        yield operation, measure(running, operation, turn, numbers)
        random.Random(turn).shuffle(numbers)


def measure(running: Running, operation: str, turn: int, numbers: Sequence[int]) -> Cost:
    """One operation for each of the files, and all that it leads to later."""
    load = Load(
        [
            Transfer(
                operation, f"{turn}-{number}", number, FILE_BYTES, checksum(number, FILE_BYTES)
            )
            for number in numbers
        ]
    )
    api, nodes = cpu_seconds(running.front), cpu_seconds(running.behind)
    outcome = load.run(running.address, running.dialect, AT_ONCE)
    wait_idle(running)
    if outcome.errors:
        raise SystemExit(f"{operation} failed: {dict(outcome.errors)}")
    microseconds = 1e6 / len(numbers)
    return Cost(
        files_per_second=len(numbers) / outcome.seconds,
        api_us=(cpu_seconds(running.front) - api) * microseconds,
        nodes_us=(cpu_seconds(running.behind) - nodes) * microseconds,
        client_us=outcome.cpu_seconds * microseconds,
    )


def wait_idle(running: Running) -> None:
    """Until confirm marks are sent and indexes are written."""
    time.sleep(LATE_SECONDS)
    pids = (*running.front, *running.behind)
    used = cpu_seconds(pids)
    for _ in range(IDLE_LOOKS_MAX):
        time.sleep(LOOK_SECONDS)
        before, used = used, cpu_seconds(pids)
        if used - before < IDLE_CPU_SECONDS_MAX:
            return
    raise SystemExit("The servers do not become idle.")


def print_table(costs: dict[tuple[str, str], list[Cost]]) -> dict[tuple[str, str], Cost]:
    """The medians by operation and system."""
    print(f"{'':12}{'files/s':>9}{'api us':>9}{'nodes us':>9}{'client us':>10}")
    medians = {}
    for (operation, system), each in costs.items():
        cost = medians[operation, system] = Cost(
            median(one.files_per_second for one in each),
            median(one.api_us for one in each),
            median(one.nodes_us for one in each),
            median(one.client_us for one in each),
        )
        print(
            f"{operation} {system:8}{cost.files_per_second:9.0f}{cost.api_us:9.0f}"
            f"{cost.nodes_us:9.0f}{cost.client_us:10.0f}"
        )
    return medians


def report(what: str, value: float, bar: float) -> None:
    """A figure and its bar."""
    shown = f"{value:.2f}" if bar < 1 else f"{value:.0f}"
    print(f"{what}: {shown} (bar {bar:g}){'' if value <= bar else '  MISSED'}")


def main() -> int:
    """Measure and report."""
    parser = argparse.ArgumentParser(prog="benchmarks/small.py", description=__doc__)
    parser.add_argument("--files", type=int, default=4096, help="in each round")
    parser.add_argument("--rounds", type=int, default=3, help="after the warm-up")
    parser.add_argument("--data", type=Path, default=DATA)
    options = parser.parse_args()
    options.data.mkdir(parents=True, exist_ok=True)
    print(", ".join(f"{name} {text}" for name, text in conditions("as named").items()))
    costs: dict[tuple[str, str], list[Cost]] = {
        (operation, system): [] for operation in ("PUT", "GET") for system in SYSTEMS
    }
    with clusters(options.data) as systems:
        for turn in range(options.rounds + 1):
            for system, running in systems.items():
                for operation, cost in round_of(
                    running, turn, options.files if turn else WARM_UP_FILES
                ):
                    stage = f"{turn} of {options.rounds}" if turn else "warm-up"
                    print(f"{stage}: {operation} {system}: {cost}", file=sys.stderr)
                    if turn:
                        costs[operation, system].append(cost)
    medians = print_table(costs)
    put, get = medians["PUT", BATCHED], medians["GET", BATCHED]
    alone = medians["PUT", ALONE]
    report(
        "PUT batched / alone, CPU of all servers",
        put.servers_us / alone.servers_us,
        BATCHING_RATIO_MAX,
    )
    report("PUT batched, us of CPU of the api", put.api_us, API_US_MAX)
    report("GET batched, us of CPU of the api", get.api_us, API_US_MAX)
    report("PUT batched, us of CPU of the nodes", put.nodes_us, NODES_US_MAX)
    return 0


if __name__ == "__main__":
    sys.exit(main())
