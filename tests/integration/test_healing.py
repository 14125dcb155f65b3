"""Nodes are lost one after another under a mixed load, and what they held comes back by itself."""

import signal
import time
from pathlib import Path
from random import Random
from typing import Any

from tests.integration.client import Client
from tests.integration.leftovers import wait_until_swept
from tests.integration.load import SIZES, Load
from tests.integration.oracle import ViolationError
from twisted_store.cli.local_cluster import LocalCluster
from twisted_store.core.chunk_file import HEADER_BYTES
from twisted_store.core.ids import ChunkId
from twisted_store.core.whole_chunk import decode_whole
from twisted_store.errors import CorruptionError
from twisted_store.storage.contents import FoundChunk, chunks_in
from twisted_store.storage.directory import ChunkState
from twisted_store.storage.disk import OsDisk

MIB = 1024 * 1024
NODES = 8
REFUSED = ("503", "no answer")

API_OPTIONS = [
    "--suspect-after",
    "3",
    "--lost-after",
    "6",
    "--scheme",
    "5+2",
    "--node-timeout",
    "2",
]
NODE_OPTIONS = [
    *("--heartbeat", "0.3", "--provisional-age", "2", "--dead-grace", "1"),
    *("--scrub-rate", "256MiB"),
]

HEALED_SECONDS_MAX = 90.0
"""Named bound: lost after 6 s, and a round of the scrub begins once a minute."""

STOPPED_SECONDS = 12.0
STOPPED_SECONDS_FULL = 60.0

DAMAGED_PART = 0.01


def state_of(client: Client) -> Any:
    """All that the api says of the cluster."""
    return client.ask("GET", "/cluster").json()


def watch(client: Client, seconds: float) -> None:
    """Look on; the connection would be closed if nobody did."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        state_of(client)
        time.sleep(0.5)


def wait_for_losses(client: Client, count: int) -> None:
    """Wait until so many nodes are lost."""
    deadline = time.monotonic() + 30
    while sum(node["membership"] == "lost" for node in state_of(client)["nodes"]) != count:
        assert time.monotonic() < deadline, state_of(client)["nodes"]
        time.sleep(0.2)


def wait_until_healed(client: Client, survived: int) -> float:
    """Wait until nothing is to be done and all files survive so much; the seconds it took."""
    began = time.monotonic()
    while True:
        state = state_of(client)
        job = state["jobs"]["repair"]
        damaged = sum(node["quarantined_chunks"] for node in state["nodes"])
        worst = min(map(int, state["objects_by_losses_survived"]), default=survived)
        if worst == survived and not job["queued"] and not damaged:
            return time.monotonic() - began
        assert time.monotonic() - began < HEALED_SECONDS_MAX, state
        time.sleep(0.2)


def damage(directory: Path, seed: int) -> int:
    """Flip a byte in some of the chunks that a node holds; in how many."""
    held = sorted(confirmed_chunks(directory).items())
    chosen = Random(seed).sample(held, max(3, round(DAMAGED_PART * len(held))))
    for _, found in chosen:
        with Path(found.path).open("r+b") as file:
            file.seek(found.offset + HEADER_BYTES // 2)
            [byte] = file.read(1)
            file.seek(found.offset + HEADER_BYTES // 2)
            file.write(bytes([byte ^ 0xFF]))
    return len(chosen)


def confirmed_chunks(directory: Path) -> dict[ChunkId, FoundChunk]:
    """Those that a node holds."""
    held = chunks_in(OsDisk(), str(directory)).items()
    return {each: found for each, found in held if found.state is ChunkState.CONFIRMED}


def damaged_chunks(directory: Path) -> list[str]:
    """Those of the chunks that a node holds that are not what was written."""
    damaged = []
    for chunk_id, found in confirmed_chunks(directory).items():
        try:
            decode_whole(found.content(OsDisk()), chunk_id)
        except CorruptionError:
            damaged.append(str(chunk_id))
        except FileNotFoundError:
            continue  # it went after it was listed
    return damaged


def wait_until_sound(directory: Path) -> None:
    """Wait until a node has found all damage."""
    deadline = time.monotonic() + HEALED_SECONDS_MAX
    while damaged := damaged_chunks(directory):
        assert time.monotonic() < deadline, damaged
        time.sleep(1)


def check_all(client: Client, load: Load) -> None:
    """Every file can be read, and is right."""
    for file in load.files:
        answer = client.get(file.name)
        if answer.status == 503:
            raise ViolationError(f"{file.name} cannot be read: {answer.body!r}")
        file.read_by_writer(answer)


def test_p7_p8_p9_a_cluster_heals_itself_under_load(tmp_path: Path, full: bool) -> None:
    """
    A node is killed for good, another stands still until it is lost and comes back, another is
    killed, and chunks of a fourth one rot: no request is refused, no answer is wrong, and in the
    end all is at its target, or as near to it as six nodes allow, chunk by chunk.
    """
    with (
        LocalCluster(
            tmp_path, NODES, api_options=API_OPTIONS, node_options=NODE_OPTIONS
        ) as cluster,
        Client(cluster.api_url) as client,
    ):
        cluster.wait_ready()
        sizes = (*SIZES, 4 * MIB)
        load = Load(cluster.api_url, seed=4, writers=2, readers=1, files=40, sizes=sizes)
        with load.running() as check_answers:
            time.sleep(5)
            cluster.kill("node1")
            wait_for_losses(client, 1)
            print(f"healed within {wait_until_healed(client, 2):.1f} s")
            check_answers()
            cluster.kill("node2", signal.SIGSTOP)
            watch(client, STOPPED_SECONDS_FULL if full else STOPPED_SECONDS)
            wait_for_losses(client, 2)
            cluster.kill("node2", signal.SIGCONT)
            wait_for_losses(client, 1)
            wait_until_healed(client, 2)
            check_answers()
            cluster.kill("node3")
            wait_for_losses(client, 2)
            wait_until_healed(client, 1)
            check_answers()
        count = damage(tmp_path / "node4", seed=4)
        with load.running():
            time.sleep(3)
        print(load.outcomes, f"slowest {load.slowest_seconds:.1f} s, {count} chunks damaged")
        assert not [each for each in load.outcomes if each.endswith(REFUSED)], load.outcomes
        wait_until_sound(tmp_path / "node4")
        wait_until_healed(client, 1)
        check_all(client, load)
        wait_until_swept(client, tmp_path, lost=["node1", "node3"])
        running = [number for number in range(1, NODES + 1) if number not in (1, 3)]
        assert [damaged_chunks(tmp_path / f"node{number}") for number in running] == [[]] * 6
