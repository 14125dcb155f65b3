"""The roles as an operator meets them: options, refusals to start, what they print, their end."""

import os
import re
import shutil
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.integration.client import Client, file_path
from twisted_store import __version__
from twisted_store.cli.command_lines import API, api_command, node_command
from twisted_store.cli.local_cluster import LocalCluster
from twisted_store.cli.role_process import RoleProcess

MIB = 1024 * 1024
START_SECONDS_MAX = 20.0
STOP_SECONDS_MAX = 9.0
"""The five seconds that the roles give requests under way, with room for a busy machine."""

FULL = re.compile(r"of 5 nodes are usable, 5 needed; [0-9a-f]{16} full: ")


@dataclass(frozen=True, slots=True)
class Ended:
    """A process that ran to its end."""

    status: int
    text: str


def run(directory: Path, command: list[str]) -> Ended:
    """Run a role that ends by itself; it prints into a file in ``directory``."""
    log_path = directory / f"{time.monotonic_ns()}.log"
    process = RoleProcess("role", command, log_path)
    try:
        assert process.wait(START_SECONDS_MAX), f"It runs: {process.tail()}"
    finally:
        process.kill()
    return Ended(process.exit_status or 0, log_path.read_text())


def refusal(directory: Path, command: list[str]) -> str:
    """The last line of a role that refuses to start, with a status that says so."""
    ended = run(directory, command)
    assert ended.status == 1, ended
    return ended.text.splitlines()[-1]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    """One api, one node, both with their data in use; they must outlive all refusals."""
    with LocalCluster(tmp_path_factory.mktemp("cluster"), 1) as cluster:
        wait_until_known(cluster)
        yield cluster
        assert cluster.fallen() == {}


def wait_until_known(cluster: LocalCluster) -> None:
    """Wait until the api knows all nodes."""
    deadline = time.monotonic() + START_SECONDS_MAX
    with Client(cluster.api_url) as client:
        while len(client.ask("GET", "/cluster").json()["nodes"]) < len(cluster.names) - 1:
            assert time.monotonic() < deadline
            time.sleep(0.05)


@pytest.fixture
def copied_node(cluster: LocalCluster, tmp_path: Path) -> Path:
    """A directory whose ``node2`` is a copy of the data of the node that runs."""
    shutil.copytree(cluster.directory / "node1", tmp_path / "node2")
    return tmp_path


@pytest.mark.parametrize("role", ["storeapi", "storenode"])
def test_help_describes_the_options(tmp_path: Path, role: str) -> None:
    """And nothing is started."""
    ended = run(tmp_path, ["twistd", "-n", "--pidfile=", role, "--help"])
    assert ended.status == 0
    assert "--data=" in ended.text
    assert "--listen=" in ended.text


@pytest.mark.parametrize(
    ("option", "value"),
    [("durability", "sometimes"), ("suspect-after", "soon"), ("upload-memory", "much")],
)
def test_the_api_refuses_a_bad_value(tmp_path: Path, option: str, value: str) -> None:
    """With the option and the value in its message."""
    command = api_command(0, tmp_path, [f"--{option}", value])
    assert f"--{option} {value}: " in refusal(tmp_path, command)
    assert not (tmp_path / API).exists()


@pytest.mark.parametrize(
    ("option", "value"), [("api", "somewhere"), ("capacity", "much"), ("heartbeat", "0")]
)
def test_a_node_refuses_a_bad_value(tmp_path: Path, option: str, value: str) -> None:
    """With the option and the value in its message."""
    command = node_command(1, 0, tmp_path, "http://127.0.0.1:1", [f"--{option}", value])
    assert f"--{option} {value}: " in refusal(tmp_path, command)
    assert not (tmp_path / "node1").exists()


def test_roles_say_what_they_are_and_where_they_listen(cluster: LocalCluster) -> None:
    """The api with the durability that it promises."""
    api, node = cluster.last_lines(API), cluster.last_lines("node1")
    assert f"storeapi {__version__} listening on {cluster.api_url}, durability strict, " in api
    assert f"storenode {__version__} listening on {cluster.url('node1')}, node " in node


@pytest.mark.parametrize("role", [API, "node1"])
def test_a_port_that_is_taken_is_named(cluster: LocalCluster, tmp_path: Path, role: str) -> None:
    """By who listens there already."""
    port = urlsplit(cluster.url(role)).port or 0
    command = {
        API: api_command(port, tmp_path),
        "node1": node_command(1, port, tmp_path, cluster.api_url),
    }[role]
    last_line = refusal(tmp_path, command)
    assert f"Cannot listen on tcp:{port}:interface=127.0.0.1: " in last_line
    assert "in use" in last_line


@pytest.mark.parametrize("role", [API, "node1"])
def test_a_data_directory_that_is_taken_is_named(
    cluster: LocalCluster, tmp_path: Path, role: str
) -> None:
    """By a process of the same role."""
    data = cluster.directory
    command = {
        API: api_command(0, data),
        "node1": node_command(1, 0, data, cluster.api_url),
    }[role]
    expected = f"Another process uses the data directory {data / role}."
    assert refusal(tmp_path, command).endswith(expected)


def test_the_data_of_a_node_are_not_for_an_api(copied_node: Path) -> None:
    """Nothing of them is touched."""
    (copied_node / "node2").rename(copied_node / API)
    before = sorted((copied_node / API).rglob("*"))
    expected = f"{copied_node / API} holds the data of a node: give the api another --data."
    assert refusal(copied_node, api_command(0, copied_node)).endswith(expected)
    assert sorted((copied_node / API).rglob("*")) == before


def test_the_data_of_an_api_are_not_for_a_node(cluster: LocalCluster, tmp_path: Path) -> None:
    """Nothing of them is touched."""
    shutil.copytree(cluster.directory / API, tmp_path / "node2")
    before = sorted((tmp_path / "node2").rglob("*"))
    command = node_command(2, 0, tmp_path, cluster.api_url)
    assert f"{tmp_path / 'node2'} is not a node's data directory" in refusal(tmp_path, command)
    assert sorted((tmp_path / "node2").rglob("*")) == before


def test_a_node_of_another_cluster_is_told_so(copied_node: Path) -> None:
    """It has met its own api and will not serve another one."""
    with LocalCluster(copied_node, 0) as other:
        last_line = refusal(copied_node, node_command(2, 0, copied_node, other.api_url))
    assert "belongs to cluster" in last_line
    assert "Give the node another --api or another --data." in last_line


def test_a_copy_of_a_node_that_runs_is_told_so(cluster: LocalCluster, copied_node: Path) -> None:
    """Two processes with one id would both be taken for the one that has the chunks."""
    last_line = refusal(copied_node, node_command(2, 0, copied_node, cluster.api_url))
    assert f"runs at {cluster.url('node1')} already" in last_line
    assert "start this one with an empty --data" in last_line


def begin_upload(url: str, name: str) -> socket.socket:
    """Send the first half of an upload of 2 MiB."""
    address = urlsplit(url)
    connection = socket.create_connection((address.hostname, address.port), STOP_SECONDS_MAX)
    head = f"PUT {file_path(name)} HTTP/1.1\r\nHost: test\r\nContent-Length: {2 * MIB}\r\n\r\n"
    connection.sendall(head.encode() + bytes(MIB))
    return connection


def wait_for_line(cluster: LocalCluster, name: str, text: str) -> None:
    """Wait until a process has printed that."""
    deadline = time.monotonic() + START_SECONDS_MAX
    while text not in cluster.last_lines(name):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_sigterm_ends_all_in_time(tmp_path: Path) -> None:
    """Idle connections are closed, an upload may end, one that stalls is broken off."""
    with LocalCluster(tmp_path, 5) as cluster, ThreadPoolExecutor() as threads:
        cluster.wait_ready()
        with (
            Client(cluster.api_url) as idle,
            begin_upload(cluster.api_url, "ends") as ending,
            begin_upload(cluster.api_url, "stalls") as stalled,
        ):
            assert idle.ask("GET", "/health/live").status == 200
            start = time.monotonic()
            stopping = threads.submit(cluster.stop, STOP_SECONDS_MAX)
            wait_for_line(cluster, API, "Received SIGTERM")
            ending.sendall(bytes(MIB))
            assert ending.recv(12) == b"HTTP/1.1 201"
            assert stopping.result() == []
            assert time.monotonic() - start < STOP_SECONDS_MAX
            with pytest.raises(ConnectionResetError):
                stalled.recv(1)
        cluster.start()
        cluster.wait_ready()
        with Client(cluster.api_url) as client:
            assert client.get("ends").body == bytes(2 * MIB)
            assert client.get("stalls").status == 404


def test_full_nodes_refuse_uploads_and_serve_downloads(tmp_path: Path) -> None:
    """The answer says that they are full, and nothing is there under the name."""
    body = os.urandom(4 * MIB)
    with LocalCluster(tmp_path, 5, node_options=["--capacity", "20MiB"]) as cluster:
        cluster.wait_ready()
        with Client(cluster.api_url) as client:
            statuses: list[int] = []
            while statuses[-1:] != [503] and len(statuses) < 30:
                answer = client.put(f"file{len(statuses)}", body)
                statuses.append(answer.status)
            stored = len(statuses) - 1
            assert statuses == [201] * stored + [503]
            assert 20 < stored <= 25
            assert answer.json()["error"] == "too_few_nodes"
            assert FULL.search(answer.json()["message"])
            assert client.get(f"file{stored}").status == 404
            assert {client.get(f"file{each}").body for each in range(stored)} == {body}
