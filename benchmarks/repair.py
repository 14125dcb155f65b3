"""`make repair`: what it costs to repair a lost node and to make nodes even, against the bars."""

import argparse
import http.client
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import count
from pathlib import Path
from statistics import median

# Run as a file, so its own folder is on the path; the packages are in the one above.
sys.path[0] = str(Path(__file__).parents[1])

from benchmarks.command import DATA  # noqa: E402
from benchmarks.conditions import conditions  # noqa: E402
from benchmarks.content import pieces  # noqa: E402
from benchmarks.healing import Api, held_bytes, idle, lost  # noqa: E402
from benchmarks.measure import measure_phase  # noqa: E402
from benchmarks.processes import Running, cpu_seconds  # noqa: E402
from benchmarks.systems import running_store  # noqa: E402
from benchmarks.workloads import GIB, MIB, Workload  # noqa: E402
from twisted_store.cli.local_cluster import LocalCluster  # noqa: E402

NODES, WIDTH = 8, 7
FILE_BYTES = 32 * MIB
AT_ONCE = 4
API_OPTIONS = ["--suspect-after", "3", "--lost-after", "6", "--scheme", "5+2"]
NODE_OPTIONS = ["--dead-grace", "3", "--heartbeat", "1", "--provisional-age", "5"]

READ_RATIO_MAX, WRITTEN_RATIO_MAX, CPU_RATIO_MAX = 5.1, 1.05, 1.3
RATE_DEVIATION_MAX, LATENCY_RATIO_MAX = 0.1, 1.5
SPREAD_MAX, MOVED_RATIO_MAX = 0.02, 1.1

RATE_BYTES = 20 * MIB
WINDOW_SECONDS = 10.0
LOOK_SECONDS = 0.5
TURN_SECONDS = 4.0
FOREGROUND_BYTES = MIB
FILL = 0.4


@contextmanager
def store(data: Path, nodes: int, *options: str) -> Iterator[tuple[LocalCluster, Path]]:
    """A cluster in a directory that is removed at the end."""
    directory = Path(tempfile.mkdtemp(prefix="repair-", dir=data))
    try:
        with LocalCluster(
            directory, nodes, api_options=[*API_OPTIONS, *options], node_options=NODE_OPTIONS
        ) as cluster:
            if nodes:
                cluster.wait_ready()
            yield cluster, directory
    finally:
        shutil.rmtree(directory)


def report(what: str, value: float, bar: float) -> None:
    """A figure and its bar."""
    print(f"  {what}: {value:.3f} (bar {bar:g}){'' if value <= bar else '  MISSED'}", flush=True)


def measure(running: Running, workload: Workload, operation: str) -> float:
    """CPU seconds of all servers for each byte of the files."""
    phase = measure_phase(0, workload, "store", operation, running)
    if phase.errors:
        raise SystemExit(f"{operation} failed: {phase.errors}")
    return phase.servers_cpu_seconds / (workload.files * workload.size_bytes)


def files_for(node_bytes: int, nodes: int) -> Workload:
    """So many that each of the nodes holds that much of them."""
    return Workload("files", node_bytes * 5 * nodes // WIDTH // FILE_BYTES, FILE_BYTES, AT_ONCE)


def cost(data: Path, lost_bytes: int) -> None:
    """A node that held so much is repaired as fast as can be."""
    workload = files_for(lost_bytes, NODES)
    with store(data, NODES, "--move-rate", "none") as (cluster, directory):
        api, running = Api(cluster.api_url), running_store(cluster)
        put, get = measure(running, workload, "PUT"), measure(running, workload, "GET")
        directories = [directory / name for name in cluster.names[2:]]
        gone, before = held_bytes([directory / "node1"]), held_bytes(directories)
        cluster.kill("node1")
        left = (*running.front, *map(cluster.pid, cluster.names[2:]))
        api.wait(lost(1))
        began, cpu_began = time.monotonic(), cpu_seconds(left)
        api.wait(idle)
        seconds, cpu = time.monotonic() - began, cpu_seconds(left) - cpu_began
        read, made = api.metric("move_read_bytes_total"), held_bytes(directories) - before
        print(f"repair of {gone / GIB:.2f} GiB in {seconds:.1f} s, {cpu / gone * GIB:.2f} s/GiB")
        print(f"  server CPU: PUT {put * GIB:.2f} s/GiB, GET {get * GIB:.2f} s/GiB")
        report("bytes read / lost", read / gone, READ_RATIO_MAX)
        report("bytes written / lost", made / gone, WRITTEN_RATIO_MAX)
        report("CPU / (5 GET + PUT)", cpu / (gone * (5 * get + put)), CPU_RATIO_MAX)


def throttled(data: Path, lost_bytes: int) -> None:
    """The same with a throttle: how even the rate is, and what clients notice."""
    with store(data, NODES + 1, "--move-rate", str(RATE_BYTES)) as (cluster, directory):
        api, running = Api(cluster.api_url), running_store(cluster)
        measure(running, files_for(lost_bytes, NODES + 1), "PUT")
        cluster.kill("node1")
        api.wait(lost(1))
        rates = list(watched_rates(api, [directory / name for name in cluster.names[2:]]))
        api.wait(idle)
        cluster.kill("node2")
        api.wait(lost(2))
        latencies: dict[bool, list[float]] = {True: [], False: []}
        numbers = count()
        with closing(http.client.HTTPConnection(*running.address, timeout=60)) as connection:
            for turn in count():
                paused = turn % 2 == 1
                api.control("repair", paused=paused)
                end = time.monotonic() + TURN_SECONDS
                while time.monotonic() < end:
                    latencies[paused].append(foreground(connection, next(numbers)))
                if idle(api.state()) and not paused:
                    break
        print(f"with a throttle of {RATE_BYTES / MIB:g} MiB/s:")
        shown = ", ".join(f"{rate / MIB:.1f}" for rate in (min(rates), max(rates)))
        print(f"  {len(rates)} windows of {WINDOW_SECONDS:g} s, from and to MiB/s: {shown}")
        worst = max(abs(rate / RATE_BYTES - 1) for rate in rates)
        report("deviation of the rate over 10 s", worst, RATE_DEVIATION_MAX)
        with_repair, without = (median(latencies[paused]) for paused in (False, True))
        print(
            f"  medians of a PUT and a GET of 1 MiB: {with_repair * 1000:.1f} ms with repair, "
            f"{without * 1000:.1f} ms without, {len(latencies[True])} of them"
        )
        report("latency with / without", with_repair / without, LATENCY_RATIO_MAX)


def watched_rates(api: Api, directories: list[Path]) -> Iterator[float]:
    """Bytes per second that files grow by, over each window while there is much to do."""
    seen: list[tuple[float, int]] = []
    while api.job("repair")["bytes_left"] > RATE_BYTES * 4:
        now = time.monotonic()
        seen.append((now, held_bytes(directories)))
        first = next(each for each in seen if each[0] >= now - WINDOW_SECONDS - LOOK_SECONDS)
        if now - seen[0][0] > WINDOW_SECONDS + 2:  # it takes a moment until all are under way
            yield (seen[-1][1] - first[1]) / (now - first[0])
        time.sleep(LOOK_SECONDS)


def foreground(connection: http.client.HTTPConnection, number: int) -> float:
    """How long a client waits for a PUT and a GET of the same file."""
    body = b"".join(pieces(number, FOREGROUND_BYTES))
    began = time.perf_counter()
    for method, sent in (("PUT", body), ("GET", None)):
        connection.request(method, f"/files/foreground{number % 50}", sent)
        answer = connection.getresponse()
        if answer.status not in (200, 201) or (sent is None and answer.read() != body):
            raise SystemExit(f"{method} failed: {answer.status}")
        answer.read()
    return time.perf_counter() - began


def rebalancing(data: Path, capacity_bytes: int) -> None:
    """Seven nodes are filled to two fifths, then an empty one joins."""
    files = int(capacity_bytes * FILL * 5 / (4 * MIB))
    options = [*NODE_OPTIONS, "--capacity", str(capacity_bytes), "--reserve", "1GiB"]
    with store(data, 0, "--move-rate", "none") as (cluster, _):
        for _ in range(WIDTH):
            cluster.add_node(options)
        cluster.wait_ready()
        api, running = Api(cluster.api_url), running_store(cluster)
        measure(running, Workload("files", files, 4 * MIB, AT_ONCE), "PUT")
        had_to = sum(node["used_bytes"] for node in api.state()["nodes"]) / (WIDTH + 1)
        began = time.monotonic()
        cluster.add_node(options)
        api.wait(lambda state: state["jobs"]["rebalance"]["state"] == "running")
        api.wait(idle)
        seconds = time.monotonic() - began
        moved = api.job("rebalance")["moved"]["rebalance"]["bytes"]
        api.wait(lambda state: state["spread"] < SPREAD_MAX)  # dead chunks are reclaimed
        print(f"rebalancing of {moved / MIB:.0f} MiB in {seconds:.1f} s")
        report("spread", api.state()["spread"], SPREAD_MAX)
        report("bytes moved / had to be", moved / had_to, MOVED_RATIO_MAX)


def main() -> int:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=GIB, help="on the lost node, in bytes")
    parser.add_argument("--data", type=Path, default=DATA)
    options = parser.parse_args()
    options.data.mkdir(parents=True, exist_ok=True)
    print(", ".join(f"{name} {text}" for name, text in conditions("strict").items()))
    cost(options.data, options.size)
    throttled(options.data, options.size)
    rebalancing(options.data, options.size)
    return 0


if __name__ == "__main__":
    sys.exit(main())
