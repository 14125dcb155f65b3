"""`make reclaim`: how the space of small files comes back; ends with 1 when a read fails."""

import argparse
import http.client
import math
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from statistics import median
from threading import Event, Thread

# Run as a file, so its own folder is on the path; the packages are in the one above.
sys.path[0] = str(Path(__file__).parents[1])

from benchmarks.command import DATA  # noqa: E402
from benchmarks.conditions import conditions  # noqa: E402
from benchmarks.connection import Transfer  # noqa: E402
from benchmarks.content import pieces  # noqa: E402
from benchmarks.healing import held_bytes  # noqa: E402
from benchmarks.load import Load  # noqa: E402
from benchmarks.processes import Running  # noqa: E402
from benchmarks.systems import running_store  # noqa: E402
from benchmarks.workloads import GIB, KIB, MIB  # noqa: E402
from twisted_store.cli.local_cluster import LocalCluster  # noqa: E402

NODES = 5
SIZES = (16 * KIB, 200 * KIB)
"""From and to, of the files: all their chunks are needles."""

AT_ONCE = 16
DELETED = 0.9
API_OPTIONS = ["--scheme", "5+0", "--durability", "relaxed"]
RATE_BYTES = 32 * MIB
"""What a node reads and writes in a second to compact, as it comes."""

NODE_OPTIONS = ["--dead-grace", "2", "--compact-rate", str(RATE_BYTES), "--volume-size", "64MiB"]

GIVEN_BACK_MIN = 0.85

WATCH_SECONDS = 10.0
"""So long the reader is watched alone."""

LOOK_SECONDS = 3.0
QUIET_LOOKS = 7
"""All is done when so many looks see nothing change; nodes look for garbage every 5 s."""

FREE_DISK_RATIO = 2.5


class Reader(Thread):
    """
    GETs files of chance without a pause and verifies them, until it is told to `stop`.

    The first failure is kept in ``failure``, and ends it.
    """

    def __init__(self, address: tuple[str, int], sizes: dict[int, int]) -> None:
        super().__init__(daemon=True)
        self._latencies: list[tuple[float, float]] = []
        self.failure = ""
        self._address = address
        self._sizes = sizes
        self._stopping = Event()

    def run(self) -> None:
        """Read on and on."""
        numbers, chance = list(self._sizes), random.Random(2)
        try:
            with closing(http.client.HTTPConnection(*self._address, timeout=60)) as connection:
                while not self._stopping.is_set():
                    self._read(connection, chance.choice(numbers))
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.failure = f"{type(error).__name__}: {error}"

    def stop(self) -> None:
        """Returns when the last file was read."""
        self._stopping.set()
        self.join()

    def latencies(self, start: float, end: float) -> list[float]:
        """Those of the reads that began between these times of the performance counter."""
        return [seconds for began, seconds in self._latencies if start <= began < end]

    def _read(self, connection: http.client.HTTPConnection, number: int) -> None:
        began = time.perf_counter()
        connection.request("GET", f"/files/{number}")
        answer = connection.getresponse()
        body = answer.read()
        self._latencies.append((began, time.perf_counter() - began))
        if answer.status != 200 or body != b"".join(pieces(number, self._sizes[number])):
            raise ValueError(f"file {number} is not what it was, status {answer.status}")


@contextmanager
def store(data: Path) -> Iterator[tuple[Running, list[Path]]]:
    """A cluster, and the directories of its nodes, which are removed at the end."""
    directory = Path(tempfile.mkdtemp(prefix="reclaim-", dir=data))
    try:
        with LocalCluster(
            directory, NODES, api_options=API_OPTIONS, node_options=NODE_OPTIONS
        ) as cluster:
            cluster.wait_ready()
            yield running_store(cluster), [directory / name for name in cluster.names[1:]]
    finally:
        shutil.rmtree(directory)


def fill(running: Running, size_bytes: int) -> dict[int, int]:
    """Store files of so many bytes in all; the size of each by its number."""
    chance, sizes, left = random.Random(1), dict[int, int](), size_bytes
    while left > 0:
        sizes[len(sizes)] = chance.randint(*SIZES)
        left -= sizes[len(sizes) - 1]
    transfers = [Transfer("PUT", str(number), number, size, 0) for number, size in sizes.items()]
    outcome = Load(transfers).run(running.address, running.dialect, AT_ONCE)
    if outcome.errors:
        raise SystemExit(f"uploads failed: {dict(outcome.errors)}")
    print(f"{len(sizes)} files, {size_bytes / GIB:.2f} GiB, stored in {outcome.seconds:.0f} s")
    return sizes


def delete(running: Running, numbers: Sequence[int]) -> None:
    """Delete these files."""
    began = time.monotonic()
    with closing(http.client.HTTPConnection(*running.address, timeout=60)) as connection:
        for number in numbers:
            connection.request("DELETE", f"/files/{number}")
            answer = connection.getresponse()
            answer.read()
            if answer.status not in (200, 204):
                raise SystemExit(f"DELETE failed: {answer.status}")
    print(f"{len(numbers)} files deleted in {time.monotonic() - began:.0f} s", flush=True)


def used_bytes(directories: Sequence[Path]) -> int:
    """Of the disk, by all files of the nodes."""
    used = 0
    for directory in directories:
        for file in directory.rglob("*"):
            try:
                used += file.stat().st_blocks * 512
            except FileNotFoundError:
                continue  # it was removed meanwhile
    return used


def watch(directories: Sequence[Path], before: int) -> tuple[float, float]:
    """Until nothing comes back any more; from when to when, by the performance counter."""
    began, used, changes, quiet = time.perf_counter(), before, [], 0
    while quiet < QUIET_LOOKS:
        time.sleep(LOOK_SECONDS)
        now, last, used = time.perf_counter(), used, used_bytes(directories)
        quiet = 0 if used != last else quiet + 1
        if used < last:
            changes.append(now)
            print(f"  {now - began:5.0f} s: {used / MIB:.0f} MiB used", flush=True)
    if not changes:
        raise SystemExit("nothing comes back")
    return changes[0] - LOOK_SECONDS, changes[-1]


def report(what: str, value: float, bar: float) -> None:
    """A figure and its bar."""
    print(f"{what}: {value:.3f} (bar {bar:g}){'' if value >= bar else '  MISSED'}", flush=True)


def measure(data: Path, size_bytes: int) -> str:
    """Fill, delete, watch; what went wrong for the reader."""
    with store(data) as (running, directories):
        sizes = fill(running, size_bytes)
        numbers = list(sizes)
        random.Random(3).shuffle(numbers)
        gone = numbers[: int(len(numbers) * DELETED)]
        reader = Reader(running.address, {each: sizes[each] for each in numbers[len(gone) :]})
        reader.start()
        began = time.perf_counter()
        time.sleep(WATCH_SECONDS)
        deleting, before = time.perf_counter(), used_bytes(directories)
        held = held_bytes(directories)
        print(f"used: {before / MIB:.0f} MiB, of which {held / MIB:.0f} MiB are volumes")
        delete(running, gone)
        first, last = watch(directories, before)
        reader.stop()
        back = before - used_bytes(directories)
    deleted = held * sum(sizes[each] for each in gone) / sum(sizes.values())
    beside = reader.latencies(first, last)
    alone = reader.latencies(began, deleting) + reader.latencies(last, math.inf)
    report("bytes given back / bytes deleted", back / deleted, GIVEN_BACK_MIN)
    least = 2 * (held - deleted) / NODES / RATE_BYTES
    print(f"it took {last - first:.0f} s; the throttle allows it in {least:.1f} s")
    print(
        f"medians of a GET: {median(beside) * 1000:.1f} ms beside compaction ({len(beside)} of "
        f"them), {median(alone) * 1000:.1f} ms without ({len(alone)}), ratio "
        f"{median(beside) / median(alone):.2f}"
    )
    return reader.failure


def main() -> int:
    """Measure and report; 1 if a read failed."""
    parser = argparse.ArgumentParser(prog="benchmarks/reclaim.py", description=__doc__)
    parser.add_argument("--size", type=int, default=10 * GIB, help="of all files, in bytes")
    parser.add_argument("--data", type=Path, default=DATA)
    options = parser.parse_args()
    options.data.mkdir(parents=True, exist_ok=True)
    if shutil.disk_usage(options.data).free < FREE_DISK_RATIO * options.size:
        raise SystemExit(f"{options.data} has too little room: {FREE_DISK_RATIO} times --size.")
    print(", ".join(f"{name} {text}" for name, text in conditions("relaxed").items()), flush=True)
    failure = measure(options.data, options.size)
    print(f"a read FAILED: {failure}" if failure else "no read failed")
    return 1 if failure else 0


if __name__ == "__main__":
    sys.exit(main())
