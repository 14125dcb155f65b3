"""Under which conditions was measured: for the head of the report."""

import os
import platform
import subprocess
from importlib.metadata import version

import twisted_store
from benchmarks.content import checksum_seconds_per_gib
from benchmarks.nginx import nginx_path


def conditions(durability: str) -> dict[str, str]:
    """What the figures depend on, each as text by its name."""
    return {
        "durability": durability,
        "twisted_store": twisted_store.__version__,
        "Twisted": version("twisted"),
        "Python": platform.python_version(),
        "nginx": _nginx_version(),
        "Linux": platform.release(),
        "cores": str(len(os.sched_getaffinity(0))),
        "load average": " ".join(f"{load:.1f}" for load in os.getloadavg()),
        "check of GETs by the client": f"{checksum_seconds_per_gib():.2f} s/GiB",
    }


def _nginx_version() -> str:
    path = nginx_path()
    if path is None:
        return "none"
    said = subprocess.run([path, "-v"], capture_output=True, text=True, check=True).stderr
    return said.strip().rpartition("/")[2]
