"""`make needles`: what a node with a million small chunks costs at start and in memory."""

import argparse
import random
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

# Run as a file, so its own folder is on the path; the packages are in the one above.
sys.path[0] = str(Path(__file__).parents[1])

from benchmarks.command import DATA  # noqa: E402
from benchmarks.conditions import conditions  # noqa: E402
from benchmarks.connection import Transfer  # noqa: E402
from benchmarks.content import checksum  # noqa: E402
from benchmarks.dialects import Http  # noqa: E402
from benchmarks.full_node import CHUNK_BYTES, chunk_of, fill  # noqa: E402
from benchmarks.load import Load  # noqa: E402
from benchmarks.processes import anonymous_bytes, cpu_seconds, started  # noqa: E402
from benchmarks.workloads import MIB  # noqa: E402
from twisted_store.cli.command_lines import node_command  # noqa: E402
from twisted_store.cli.role_process import script_path  # noqa: E402

NO_API = "http://127.0.0.1:1"
"""Nobody listens there: the node goes on asking, and nothing else comes of it."""

NODE_OPTIONS = ["--heartbeat", "60", "--scrub-rate", "64KiB"]

TAIL_CHUNKS = 3000
"""So many are in the volumes only when the node is killed."""

GETS = 10_000
AT_ONCE = 8
IDLE_SECONDS = 5.0

ANNOUNCED = re.compile(r"listening on (http://[^\s,]+)")

START_RATIO_MAX = 1.2
MEMORY_MB_MAX = 20.0
REBUILD_CPU_SECONDS_MAX = 60.0


@dataclass(frozen=True, slots=True)
class Start:
    """A process that listens at ``url``, and what it took until it did."""

    pid: int
    url: str
    cpu_seconds: float
    seconds: float


class Node:
    """A data directory, and processes on it one after the other."""

    def __init__(self, directory: Path, number: int) -> None:
        program, *words = node_command(number, 0, directory, NO_API, NODE_OPTIONS)
        self._command = [script_path(program), *words]
        self.root = directory / f"node{number}"
        self.log = directory / f"node{number}.log"

    @contextmanager
    def running(self) -> Iterator[Start]:
        """A process that listens; it is stopped in order at the end of the block."""
        began = time.monotonic()
        with started(self._command, self.log) as process:
            assert process.stdout is not None
            # It comes through a pipe, so that we wake up before much else is done.
            for line in process.stdout:
                if announced := ANNOUNCED.search(line):
                    cpu = cpu_seconds([process.pid])
                    yield Start(process.pid, announced[1], cpu, time.monotonic() - began)
                    return
            raise SystemExit(f"the node ended: see {self.log}")

    def start(self) -> Start:
        """Start once, and stop."""
        with self.running() as start:
            return start


def report(what: str, value: float, bar: float) -> None:
    """A figure and its bar."""
    verdict = "" if value <= bar else "  MISSED"
    print(f"  {what}: {value:.2f} (bar {bar:g}){verdict}", flush=True)


def starts(empty: Node, full: Node, turns: int) -> None:
    """Start both, one after the other, several times."""
    costs: dict[Node, list[Start]] = {empty: [], full: []}
    for _ in range(turns + 1):
        for node, found in costs.items():
            found.append(node.start())
    print(f"starts after a clean stop, medians of {turns} after a warm-up:")
    medians = {}
    for name, node in (("empty", empty), ("full", full)):
        counted = costs[node][1:]
        medians[node] = median(each.cpu_seconds for each in counted)
        seconds = median(each.seconds for each in counted)
        print(f"  {name}: {medians[node] * 1000:.0f} ms of CPU, {seconds * 1000:.0f} ms")
    report("CPU full / empty", medians[full] / medians[empty], START_RATIO_MAX)


def memory(empty: Node, full: Node, needles: int) -> None:
    """What both hold when idle, and the full one after it was read from."""
    with empty.running() as process:
        time.sleep(IDLE_SECONDS)
        of_empty = anonymous_bytes(process.pid)
    with full.running() as process:
        time.sleep(IDLE_SECONDS)
        idle = anonymous_bytes(process.pid)
        cpu = cpu_seconds([process.pid])
        read_some(process.url, needles)
        cpu = cpu_seconds([process.pid]) - cpu
        used = anonymous_bytes(process.pid)
    print(f"anonymous memory: empty {of_empty / 1e6:.1f} MB, full {idle / 1e6:.1f} MB when idle, ")
    print(f"  {used / 1e6:.1f} MB after {GETS} GETs, {cpu / GETS * 1e6:.0f} us of CPU each")
    report("MB of the full one beyond the empty one, idle", (idle - of_empty) / 1e6, MEMORY_MB_MAX)
    report("the same after the GETs", (used - of_empty) / 1e6, MEMORY_MB_MAX)


def read_some(url: str, needles: int) -> None:
    """GET chunks of chance, every byte verified."""
    numbers = random.Random(1).choices(range(needles), k=GETS)
    outcome = Load([_get(number) for number in numbers]).run(
        (str(urlsplit(url).hostname), int(urlsplit(url).port or 80)), Http("/chunks/"), AT_ONCE
    )
    if outcome.errors:
        raise SystemExit(f"GETs of chunks failed: {dict(outcome.errors)}")


def _get(number: int) -> Transfer:
    chunk_id = chunk_of(number)
    name = f"{chunk_id.object_id}/{chunk_id.index}"
    return Transfer("GET", name, number, CHUNK_BYTES, checksum(number, CHUNK_BYTES))


def recoveries(full: Node, needles: int) -> None:
    """A start without an index, and one after a kill."""
    for file in index_files(full):
        file.unlink()
    start = full.start()
    print(f"start without an index: {start.seconds:.1f} s")
    report("CPU seconds", start.cpu_seconds, REBUILD_CPU_SECONDS_MAX)
    fill(full.root, needles, needles + TAIL_CHUNKS, cleanly=False)
    with full.running() as killed:
        print(
            f"start after a kill, {TAIL_CHUNKS} needles to replay: {killed.seconds:.1f} s, ", end=""
        )
        print(f"{killed.cpu_seconds:.2f} s of CPU")
        read_some(killed.url, needles + TAIL_CHUNKS)


def index_files(node: Node) -> Sequence[Path]:
    """The index, and what belongs to it."""
    return sorted((node.root / "volumes").glob("index.*"))


def main() -> int:
    """Measure and report."""
    parser = argparse.ArgumentParser(prog="benchmarks/needles.py", description=__doc__)
    parser.add_argument("--needles", type=int, default=1_000_000)
    parser.add_argument("--turns", type=int, default=7, help="starts of each node")
    parser.add_argument("--data", type=Path, default=DATA)
    options = parser.parse_args()
    options.data.mkdir(parents=True, exist_ok=True)
    print(", ".join(f"{name} {text}" for name, text in conditions("none").items()), flush=True)
    directory = Path(tempfile.mkdtemp(prefix="needles-", dir=options.data))
    try:
        empty, full = Node(directory, 1), Node(directory, 2)
        began = time.monotonic()
        fill(full.root, 0, options.needles)
        print(f"{options.needles} needles were written in {time.monotonic() - began:.0f} s")
        size_bytes = sum(file.stat().st_size for file in index_files(full))
        volumes_bytes = sum(file.stat().st_size for file in full.root.glob("volumes/*.volume"))
        print(
            f"index: {size_bytes / MIB:.0f} MiB, {size_bytes / options.needles:.0f} bytes each; "
            f"volumes: {volumes_bytes / MIB:.0f} MiB",
            flush=True,
        )
        starts(empty, full, options.turns)
        memory(empty, full, options.needles)
        recoveries(full, options.needles)
    finally:
        shutil.rmtree(directory)
    return 0


if __name__ == "__main__":
    sys.exit(main())
