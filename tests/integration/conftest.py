"""A cluster of processes that the tests of a file share, whole again before each of them."""

import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.integration.client import Client
from twisted_store.cli.local_cluster import LocalCluster

API_OPTIONS = ["--node-timeout", "1", "--client-timeout", "5.5", "--suspect-after", "4"]
NODE_OPTIONS = ["--provisional-age", "1", "--dead-grace", "1", "--heartbeat", "0.3"]

READY_SECONDS_MAX = 15.0

Lose = Callable[[str, signal.Signals], None]
"""Kills or stops a process until the end of the test."""


@pytest.fixture(scope="module")
def shared_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    """One api and seven nodes that lose patience soon."""
    directory = tmp_path_factory.mktemp("cluster")
    with LocalCluster(directory, 7, api_options=API_OPTIONS, node_options=NODE_OPTIONS) as cluster:
        yield cluster


@pytest.fixture
def cluster(shared_cluster: LocalCluster) -> LocalCluster:
    """The shared one with all processes running and up."""
    shared_cluster.wait_ready(timeout_seconds=READY_SECONDS_MAX)
    return shared_cluster


@pytest.fixture
def client(cluster: LocalCluster) -> Iterator[Client]:
    """A connection to its api."""
    with Client(cluster.api_url) as client:
        yield client


@pytest.fixture
def lose(cluster: LocalCluster) -> Iterator[Lose]:
    """Takes a process away with SIGKILL or SIGSTOP; it is given back in the end."""
    with ExitStack() as stack:

        def lose(name: str, signal_number: signal.Signals) -> None:
            cluster.kill(name, signal_number)
            if signal_number == signal.SIGKILL:
                stack.callback(cluster.restart, name)
            else:
                stack.callback(cluster.kill, name, signal.SIGCONT)

        yield lose
