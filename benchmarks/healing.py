"""A cluster that heals, as the benchmarks of it see it."""

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import httpx

LOOK_SECONDS = 0.1


class Api:
    """What the api at ``url`` says, and what is asked of it."""

    def __init__(self, url: str) -> None:
        self._http = httpx.Client(base_url=url, trust_env=False, timeout=60)

    def state(self) -> Any:
        """Of the whole."""
        return self._http.get("/cluster").json()

    def job(self, name: str) -> Any:
        """Of a job."""
        return self.state()["jobs"][name]

    def control(self, name: str, **asked: object) -> None:
        """Steer a job."""
        self._http.post(f"/jobs/{name}", json=asked).raise_for_status()

    def metric(self, name: str) -> float:
        """The sum of a metric over its labels."""
        lines = self._http.get("/metrics").text.splitlines()
        return sum(
            float(line.rpartition(" ")[2])
            for line in lines
            if line.startswith((f"twisted_store_{name} ", f"twisted_store_{name}{{"))
        )

    def wait(self, until: Callable[[Any], bool]) -> None:
        """Look until it is so."""
        while not until(self.state()):
            time.sleep(LOOK_SECONDS)


def lost(count: int) -> Callable[[Any], bool]:
    """So many nodes are."""
    return lambda state: sum(node["membership"] == "lost" for node in state["nodes"]) == count


def idle(state: Any) -> bool:
    """No job has anything to do."""
    return not any(job["state"] == "running" for job in state["jobs"].values())


def held_bytes(directories: Iterable[Path]) -> int:
    """In the files of chunks of nodes with these directories."""
    size_bytes = 0
    for directory in directories:
        for file in (*directory.glob("chunks/*/*"), *directory.glob("volumes/*.volume")):
            try:
                size_bytes += file.stat().st_size
            except FileNotFoundError:
                continue  # it was renamed meanwhile
    return size_bytes
