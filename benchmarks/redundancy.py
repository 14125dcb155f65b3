"""The second half of `make bench`: what parity costs, and what lost and stalled nodes do."""

import argparse
import http.client
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from statistics import median

# Run as a file, so its own folder is on the path; the packages are in the one above.
sys.path[0] = str(Path(__file__).parents[1])

import httpx  # noqa: E402

from benchmarks.command import DATA  # noqa: E402
from benchmarks.conditions import conditions  # noqa: E402
from benchmarks.measure import Phase, measure_phase, touch_memory  # noqa: E402
from benchmarks.processes import Running  # noqa: E402
from benchmarks.systems import running_store  # noqa: E402
from benchmarks.workloads import GIB, Workload  # noqa: E402
from twisted_store.cli.local_cluster import LocalCluster  # noqa: E402

NODES = 8
REPETITIONS = 3
FIRST_BYTES = 5
"""So many answers are begun to see how long a first byte takes."""

PUT_RATIO_MAX = 1.7
GET_RATIO_MAX = 1.6
FIRST_BYTE_RATIO_MAX = 3.0

Figures = dict[str, list[float]]


def chunk_holders(cluster: LocalCluster, name: str) -> list[str]:
    """The processes that hold the chunks of a file."""
    names = {cluster.url(each): each for each in cluster.names[1:]}
    answer = httpx.get(f"{cluster.api_url}/explain/{name}", trust_env=False).json()
    return [names[chunk["url"]] for chunk in answer["chunks"]]


def hedging_delay_seconds(cluster: LocalCluster) -> float:
    """What the api says of it."""
    text = httpx.get(f"{cluster.api_url}/metrics", trust_env=False).text
    [line] = [each for each in text.splitlines() if each.startswith("twisted_store_hedging")]
    return float(line.split()[1])


def first_byte_seconds(running: Running, name: str) -> float:
    """How long it takes to the first byte of a file; the rest is not read."""
    with closing(http.client.HTTPConnection(*running.address, timeout=60)) as connection:
        connection.connect()
        began = time.perf_counter()
        connection.request("GET", f"/files/{name}")
        connection.getresponse().read(1)
        return time.perf_counter() - began


@contextmanager
def store(directory: Path, scheme: str) -> Iterator[LocalCluster]:
    """A cluster of 8 nodes of that scheme."""
    options = ["--scheme", scheme]
    with LocalCluster(directory, NODES, api_options=options) as cluster:
        cluster.wait_ready()
        yield cluster


def plain_turn(directory: Path, workload: Workload, figures: Figures) -> None:
    """PUT and GET without parity."""
    with store(directory, "5+0") as cluster:
        running = running_store(cluster)
        _touch(directory, running, workload)
        figures["PUT 5+0"].append(_cost(_phase(running, workload, "PUT"), workload))
        figures["GET 5+0"].append(_cost(_phase(running, workload, "GET"), workload))


def parity_turn(directory: Path, workload: Workload, figures: Figures) -> None:
    """PUT and GET with two parity chunks; then a node stalls, then two are dead."""
    name = f"{workload.name}-0"
    with store(directory, "5+2") as cluster:
        running = running_store(cluster)
        _touch(directory, running, workload)
        figures["PUT 5+2"].append(_cost(_phase(running, workload, "PUT"), workload))
        figures["GET 5+2"].append(_cost(_phase(running, workload, "GET"), workload))
        healthy = median(first_byte_seconds(running, name) for _ in range(FIRST_BYTES))
        delay_seconds = hedging_delay_seconds(cluster)
        first, second = chunk_holders(cluster, name)[:2]
        cluster.kill(first, signal.SIGSTOP)
        stalled = first_byte_seconds(running, name)
        cluster.kill(first, signal.SIGCONT)
        figures["first byte healthy"].append(healthy * 1000)
        figures["first byte stalled"].append(stalled * 1000)
        figures["hedging delay"].append(delay_seconds * 1000)
        bound = FIRST_BYTE_RATIO_MAX * healthy + delay_seconds
        figures["first byte / bound"].append(stalled / bound)
        cluster.kill(first)
        cluster.kill(second)
        left = [pid for pid in running.behind if pid not in map(cluster.pid, (first, second))]
        running = Running(running.address, running.dialect, running.front, tuple(left))
        figures["GET 5+2, 2 dead"].append(_cost(_phase(running, workload, "GET"), workload))


def _touch(directory: Path, running: Running, workload: Workload) -> None:
    for operation in ("PUT", "GET"):
        _phase(running, workload.touch, operation)
    touch_memory(directory, 2 * workload.files * workload.size_bytes)


def _phase(running: Running, workload: Workload, operation: str) -> Phase:
    phase = measure_phase(0, workload, "store", operation, running)
    if phase.errors:
        raise SystemExit(f"{operation} failed: {phase.errors}")
    return phase


def _cost(phase: Phase, workload: Workload) -> float:
    """CPU seconds of all servers for each GiB."""
    return phase.servers_cpu_seconds / (workload.files * workload.size_bytes / GIB)


def report(figures: Figures) -> Iterator[str]:
    """Medians, and the ratios with their bars."""
    middle = {name: median(values) for name, values in figures.items()}
    for name, value in middle.items():
        unit = "s/GiB" if name[:3] in ("PUT", "GET") else "" if "bound" in name else "ms"
        shown = ", ".join(f"{each:.2f}" for each in figures[name])
        yield f"  {name:20} {value:8.2f} {unit:6} ({shown})"
    put = middle["PUT 5+2"] / middle["PUT 5+0"]
    get = middle["GET 5+2, 2 dead"] / middle["GET 5+2"]
    yield f"CPU of PUT, 5+2 / 5+0: {put:.2f} (bar {PUT_RATIO_MAX})"
    yield f"CPU of GET, 2 data nodes dead / healthy: {get:.2f} (bar {GET_RATIO_MAX})"
    yield (
        "first byte with a stalled node / (3 x healthy + hedging delay): "
        f"{middle['first byte / bound']:.2f} (bar 1)"
    )


def main() -> int:
    """Measure in turns, the first of which is a warm-up, and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=GIB, help="of the file, in bytes")
    parser.add_argument("--repetitions", type=int, default=REPETITIONS)
    parser.add_argument("--data", type=Path, default=DATA)
    options = parser.parse_args()
    workload = Workload("large", 1, options.size, 1)
    names = ("PUT 5+0", "PUT 5+2", "GET 5+0", "GET 5+2", "GET 5+2, 2 dead")
    times = ("first byte healthy", "hedging delay", "first byte stalled", "first byte / bound")
    print(", ".join(f"{name} {text}" for name, text in conditions("strict").items()))
    for repetition in range(options.repetitions + 1):
        if repetition < 2:  # the warm-up does not count
            figures: Figures = {name: [] for name in (*names, *times)}
        for turn in (plain_turn, parity_turn):
            options.data.mkdir(parents=True, exist_ok=True)
            directory = Path(tempfile.mkdtemp(prefix="redundancy-", dir=options.data))
            try:
                turn(directory, workload, figures)
            finally:
                shutil.rmtree(directory)
        print(f"turn {repetition} of {options.repetitions}", flush=True)
    print("\n".join(report(figures)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
