"""`make filling`: how evenly real nodes fill; ends with 1 when a bar is missed."""

import argparse
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from random import Random
from urllib.parse import urlsplit

import httpx

# Run as a file, so its own folder is on the path; the packages are in the one above.
sys.path[0] = str(Path(__file__).parents[1])

from benchmarks.connection import Transfer  # noqa: E402
from benchmarks.dialects import Http  # noqa: E402
from benchmarks.load import Load  # noqa: E402
from twisted_store.cli.local_cluster import LocalCluster  # noqa: E402
from twisted_store.core.evenness import optimum  # noqa: E402
from twisted_store.core.sizes import format_size  # noqa: E402

KIB, MIB, GIB = 2**10, 2**20, 2**30
SIZES = [4 * KIB, 4 * KIB, 64 * KIB, 256 * KIB, MIB, MIB, 4 * MIB, 16 * MIB, 64 * MIB]
LARGEST_CHUNK_BYTES = -(-64 * MIB // 5)
AT_ONCE = 4

EQUAL = [2 * GIB] * 7
UNEQUAL = [GIB, 2 * GIB, 4 * GIB, GIB, 2 * GIB, 4 * GIB, GIB]
JOINING = [2 * GIB] * 2

STEPS = 20
"""The figure is taken so often while data come; each time is 5 % of them."""

DEVIATION_MAX = 0.01


class Filling:
    """A cluster whose nodes have these capacities, and files of all sizes for it."""

    def __init__(self, cluster: LocalCluster, capacities: Sequence[int]) -> None:
        self._cluster = cluster
        for job in ("repair", "rebalance"):  # only what new files do is looked at here
            url = f"{cluster.api_url}/jobs/{job}"
            httpx.post(url, json={"paused": True}, trust_env=False).raise_for_status()
        self._random = Random(1)
        self._numbers = count()
        self.join(capacities)

    def join(self, capacities: Sequence[int]) -> None:
        """Add empty nodes."""
        for capacity in capacities:
            self._cluster.add_node(["--capacity", str(capacity), "--reserve", "1GiB"])
        self._cluster.wait_ready()

    def fill(self, size_bytes: int) -> Iterator[float]:
        """Store so many bytes; the deviation after each of the steps."""
        for _ in range(STEPS):
            self._store(size_bytes // STEPS)
            yield self.deviation()

    def deviation(self) -> float:
        """
        How far a node is from the most even fill that can be, as a fraction of its capacity.

        The largest of all nodes; what one largest chunk explains does not count.
        """
        nodes = self._nodes()
        capacities = [node["capacity_bytes"] for node in nodes]
        used = [node["used_bytes"] for node in nodes]
        best = optimum(capacities, sum(used))
        return max(
            max(abs(there - wanted) - LARGEST_CHUNK_BYTES, 0) / capacity
            for there, wanted, capacity in zip(used, best, capacities, strict=True)
        )

    def used_bytes(self) -> int:
        """On all nodes."""
        return sum(node["used_bytes"] for node in self._nodes())

    def _store(self, size_bytes: int) -> None:
        transfers = []
        while size_bytes > 0:
            number, size = next(self._numbers), self._random.choice(SIZES)
            transfers.append(Transfer("PUT", f"file-{number}", number, size, 0))
            size_bytes -= size
        url = urlsplit(self._cluster.api_url)
        address = (str(url.hostname), int(url.port or 80))
        outcome = Load(transfers).run(address, Http("/files/"), AT_ONCE)
        if outcome.errors:
            sys.exit(f"uploads failed: {dict(outcome.errors)}")

    def _nodes(self) -> list[dict[str, int]]:
        answer = httpx.get(f"{self._cluster.api_url}/cluster", trust_env=False)
        nodes: list[dict[str, int]] = answer.json()["nodes"]
        return nodes


@contextmanager
def filling(data: Path | None, capacities: Sequence[int]) -> Iterator[Filling]:
    """A cluster in a directory that is removed at the end."""
    directory = Path(tempfile.mkdtemp(prefix="filling-", dir=data))
    try:
        with LocalCluster(directory, 0, api_options=["--durability", "none"]) as cluster:
            yield Filling(cluster, capacities)
    finally:
        shutil.rmtree(directory)


def report(title: str, deviations: Sequence[float], bars: Sequence[float]) -> bool:
    """Print the figures; whether none is above its bar."""
    print(f"{title}: deviation at each {100 // STEPS} % of data, in % of capacity", flush=True)
    print("  " + " ".join(f"{100 * deviation:.2f}" for deviation in deviations), flush=True)
    missed = sum(figure > bar for figure, bar in zip(deviations, bars, strict=True))
    print(f"  {'MISSED the bar' if missed else 'within the bar'}", flush=True)
    return not missed


def fill_to_half(filled: Filling, title: str, capacities: Sequence[int]) -> bool:
    """From empty to half: always within the bar."""
    deviations = list(filled.fill(sum(capacities) // 2))
    return report(f"{title}, filled to half", deviations, [DEVIATION_MAX] * STEPS)


def fill_after_join(filled: Filling) -> bool:
    """After empty nodes joined: never further from even than before, until all is even."""
    stored_bytes = filled.used_bytes()
    filled.join(JOINING)
    before = filled.deviation()
    deviations = list(filled.fill(stored_bytes))
    bars = [max(earlier, DEVIATION_MAX) for earlier in [before, *deviations[:-1]]]
    title = f"{len(JOINING)} empty nodes joined at {100 * before:.2f}"
    return report(title, deviations, bars)


def main() -> int:
    """Measure; 1 if a bar is missed."""
    parser = argparse.ArgumentParser(prog="benchmarks/filling.py", description=__doc__)
    parser.add_argument(
        "--data", type=Path, metavar="DIR", help="write below it; takes about 15 GiB for a while"
    )
    data = parser.parse_args().data
    print(f"Files of {format_size(min(SIZES))} to {format_size(max(SIZES))}.")
    with filling(data, UNEQUAL) as filled:
        passed = fill_to_half(filled, "7 nodes of 1:2:4", UNEQUAL)
    with filling(data, EQUAL) as filled:
        passed &= fill_to_half(filled, "7 equal nodes", EQUAL)
        passed &= fill_after_join(filled)
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
