"""`kill -9` of the api and of nodes at random moments under load, again and again."""

import random
import shutil
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.integration.client import Client
from tests.integration.leftovers import listed_tags, wait_until_swept
from tests.integration.load import SIZES, Load
from tests.integration.oracle import ViolationError
from twisted_store.cli.command_lines import API
from twisted_store.cli.local_cluster import LocalCluster

API_OPTIONS = ["--node-timeout", "3", "--suspect-after", "1", "--lost-after", "1.2"]
"""Nodes that are down for as long as a start takes are lost, and repaired until they are back."""

NODES = 8
NODE_OPTIONS = [
    *("--provisional-age", "1", "--dead-grace", "1", "--heartbeat", "0.3"),
    *("--volume-size", "300kB", "--compact-rate", "1GiB"),
]
"""Volumes are soon full, and full of garbage, so that kills meet compactions, too."""

SMALL_SIZES = (0, 1, 4, 5, 1000, 4096, 20_000, 100_003)
"""Of files all of whose chunks travel in batches and are needles."""

ROUNDS_PER_CHECK = 50
BEFORE_KILL_SECONDS_MAX = 0.6
DOWN_SECONDS_MAX = 0.3
NAMES_PER_PAGE = 7


class Torture:
    """A cluster, its load, and who kills which of its processes when."""

    def __init__(self, cluster: LocalCluster, seed: int, sizes: Sequence[int]) -> None:
        self._cluster = cluster
        self._random = random.Random(f"{seed} killer")
        self.load = Load(cluster.api_url, seed, writers=4, readers=1, files=12, sizes=sizes)

    def run(self, rounds: int) -> None:
        """So many rounds, with a check of everything after some of them and after the last."""
        for start in range(0, rounds, ROUNDS_PER_CHECK):
            with self.load.running() as check_answers:
                for _ in range(start, min(start + ROUNDS_PER_CHECK, rounds)):
                    self._kill_and_restart()
                    check_answers()
            self._check_all()

    def _kill_and_restart(self) -> None:
        victims = self._victims()
        time.sleep(self._random.uniform(0, BEFORE_KILL_SECONDS_MAX))
        if fallen := self._cluster.fallen():
            raise ViolationError(f"ended by themselves: {fallen}")
        for name in victims:
            self._cluster.kill(name)
        time.sleep(self._random.uniform(0, DOWN_SECONDS_MAX))
        # The api first: its URL is among the words that start a node.
        if API in victims:
            self._cluster.restart(API)
        with ThreadPoolExecutor() as threads:
            list(threads.map(self._cluster.restart, [name for name in victims if name != API]))

    def _victims(self) -> Sequence[str]:
        nodes = self._random.sample(self._cluster.names[1:], self._random.choice([1, 2]))
        return self._random.choice([[API], nodes, nodes, [API, *nodes]])

    def _check_all(self) -> None:
        """Nobody writes now: every file is what it can be, and nothing else is anywhere."""
        self._cluster.wait_ready()
        with Client(self._cluster.api_url) as client:
            tags = listed_tags(client, NAMES_PER_PAGE)
            for file in self.load.files:
                file.listed(tags.pop(file.name, ""))
                answer = client.get(file.name)
                if answer.status == 503:
                    raise ViolationError(f"{file.name} cannot be read: {answer.body!r}")
                file.read_by_writer(answer)
            if tags:
                raise ViolationError(f"listed, but never stored: {tags}")
            wait_until_swept(client, self._cluster.directory)


@pytest.mark.parametrize("sizes", [SIZES, SMALL_SIZES], ids=["mixed", "small"])
def test_what_is_acknowledged_survives_and_nothing_else_is_left(
    sizes: Sequence[int], tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    """Whatever is killed: what was acknowledged stays, what failed never was, nodes are clean."""
    rounds, seed = pytestconfig.getoption("rounds"), pytestconfig.getoption("randomly_seed")
    print(f"{rounds} rounds, --randomly-seed={seed}, data in {tmp_path}")
    with LocalCluster(
        tmp_path, NODES, api_options=API_OPTIONS, node_options=NODE_OPTIONS
    ) as cluster:
        cluster.wait_ready()
        torture = Torture(cluster, seed, sizes)
        try:
            torture.run(rounds)
        finally:
            print(torture.load.outcomes)
    shutil.rmtree(tmp_path)
