"""Nodes are killed and suspended under a mixed load, and nobody is to notice more than a delay."""

import signal
import time
from pathlib import Path

import pytest

from tests.integration.client import Client
from tests.integration.load import SIZES, Load
from tests.integration.oracle import ViolationError
from twisted_store.cli.local_cluster import LocalCluster

MIB = 1024 * 1024

NODES = 8
SIZES_OF_STRIPES = (*SIZES, 4 * MIB, 16 * MIB)

REFUSED = ("503", "no answer")

WAIT_SECONDS_MAX = 15.0
"""Named bound of any request: the node timeout of 10 s once, and what a busy machine needs."""

SUSPECT_SECONDS = 5
STOPPED_SECONDS = 14.0
STOPPED_SECONDS_FULL = 60.0
"""Longer than the node timeout, and than it takes to be suspect by silence."""


def statuses(cluster: LocalCluster) -> dict[str, str]:
    """The verdict on each node by the name of its process."""
    names = {cluster.url(name): name for name in cluster.names[1:]}
    with Client(cluster.api_url) as client:
        nodes = client.ask("GET", "/cluster").json()["nodes"]
    return {names[node["url"]]: node["membership"] for node in nodes}


def wait_until(cluster: LocalCluster, name: str, membership: str) -> None:
    """Wait for a verdict on a node, and a little for uploads that began before it."""
    deadline = time.monotonic() + 30
    while statuses(cluster)[name] != membership:
        assert time.monotonic() < deadline, f"{name} is not {membership}"
        time.sleep(0.2)
    time.sleep(2)


def test_p5_p6_p7_two_lost_nodes_and_a_suspended_one_are_not_noticed(
    tmp_path: Path, full: bool
) -> None:
    """
    One is killed, one stands still and goes on, another is killed: no refused request, none that
    waits for longer than the bound. When a third one is away some are refused, and none is wrong.
    """
    stopped_seconds = STOPPED_SECONDS_FULL if full else STOPPED_SECONDS
    options = ["--suspect-after", str(SUSPECT_SECONDS), "--scheme", "5+2"]
    with LocalCluster(tmp_path, NODES, api_options=options) as cluster:
        cluster.wait_ready()
        load = Load(cluster.api_url, seed=3, writers=3, readers=2, files=8, sizes=SIZES_OF_STRIPES)
        with load.running() as check_answers:
            time.sleep(3)
            cluster.kill("node1")
            wait_until(cluster, "node1", "suspect")
            check_answers()
            cluster.kill("node2", signal.SIGSTOP)
            time.sleep(stopped_seconds)
            check_answers()
            cluster.kill("node2", signal.SIGCONT)
            wait_until(cluster, "node2", "up")
            cluster.kill("node3")
            wait_until(cluster, "node3", "suspect")
            time.sleep(3)
        print(load.outcomes, f"slowest {load.slowest_seconds:.1f} s")
        assert not [each for each in load.outcomes if each.endswith(REFUSED)], load.outcomes
        assert sum(load.outcomes.values()) > 200
        assert load.slowest_seconds < WAIT_SECONDS_MAX
        with load.running():
            cluster.kill("node4", signal.SIGSTOP)
            time.sleep(stopped_seconds / 3)
            cluster.kill("node4", signal.SIGCONT)
            time.sleep(1)
        print(load.outcomes, f"slowest {load.slowest_seconds:.1f} s")
        wait_until(cluster, "node4", "up")
        _check_all(cluster, load)


def _check_all(cluster: LocalCluster, load: Load) -> None:
    """With two nodes gone for good every file can be read."""
    with Client(cluster.api_url) as client:
        for file in load.files:
            answer = client.get(file.name)
            if answer.status == 503:
                raise ViolationError(f"{file.name} cannot be read: {answer.body!r}")
            file.read_by_writer(answer)


@pytest.mark.parametrize("stopped", [2])
def test_more_nodes_stopped_at_once_than_one_delay_apart(tmp_path: Path, stopped: int) -> None:
    """Two nodes stand still at the same moment: reads go on within hedging delays."""
    with LocalCluster(tmp_path, 7) as cluster, Client(cluster.api_url) as client:
        cluster.wait_ready()
        body = bytes(range(256)) * 40_000
        assert client.put("a", body).json()["losses_survived"] == stopped
        for number in range(1, stopped + 1):
            cluster.kill(f"node{number}", signal.SIGSTOP)
        began = time.monotonic()
        assert client.get("a").body == body
        assert time.monotonic() - began < 5
        for number in range(1, stopped + 1):
            cluster.kill(f"node{number}", signal.SIGCONT)
