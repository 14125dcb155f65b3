"""The systems that are compared, each started in an empty directory."""

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.dialects import Http, Lines
from benchmarks.nginx import run_nginx
from benchmarks.processes import Running, started
from twisted_store.cli.local_cluster import LocalCluster

STORE, RELAY, NGINX = "store", "relay", "nginx"
STORE_NODES = 7
RELAY_SCRIPT = Path(__file__).with_name("relay.py")
RELAY_SINKS = 5

System = Callable[[Path], AbstractContextManager[Running]]


def systems(durability: str) -> dict[str, System]:
    """How each is started, by name, in the order of measurement."""
    return {STORE: partial(run_store, durability), RELAY: run_relay, NGINX: run_nginx}


@contextmanager
def run_store(durability: str, directory: Path, scheme: str = "5+0") -> Iterator[Running]:
    """The store with an api and 7 nodes, without parity unless it is asked for."""
    options = ["--durability", durability, "--scheme", scheme]
    with LocalCluster(directory, STORE_NODES, api_options=options) as cluster:
        cluster.wait_ready()
        yield running_store(cluster)


def running_store(cluster: LocalCluster) -> Running:
    """A cluster as the load generator sees it."""
    url = urlsplit(cluster.api_url)
    api, *nodes = map(cluster.pid, cluster.names)
    address = (str(url.hostname), int(url.port or 80))
    return Running(address, Http("/files/"), (api,), tuple(nodes))


@contextmanager
def run_relay(directory: Path) -> Iterator[Running]:
    """A relay in Twisted with 5 sinks."""
    with ExitStack() as stack:

        def start(*arguments: str) -> tuple[int, str]:
            command = [sys.executable, str(RELAY_SCRIPT), *arguments]
            process = stack.enter_context(started(command, directory / "log"))
            assert process.stdout is not None
            return process.pid, process.stdout.readline().strip()

        sinks = []
        for number in range(RELAY_SINKS):
            files = directory / f"sink{number}"
            files.mkdir()
            sinks.append(start("sink", str(files)))
        pid, port = start("relay", *(port for _, port in sinks))
        behind = tuple(pid for pid, _ in sinks)
        yield Running(("127.0.0.1", int(port)), Lines(), (pid,), behind)
