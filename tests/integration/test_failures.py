"""Real processes that are killed, stopped and left alone by their clients, and what others see."""

import json
import signal
import socket
import time
from collections.abc import Iterator
from http.client import HTTPConnection, IncompleteRead
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.integration.client import ANSWER_SECONDS_MAX, Client, file_path
from tests.integration.conftest import NODE_OPTIONS, Lose
from tests.integration.leftovers import listed_tags, wait_until_swept
from tests.integration.load import Load
from tests.integration.oracle import Version
from twisted_store.cli.command_lines import API
from twisted_store.cli.local_cluster import LocalCluster

MIB = 1024 * 1024
AT_ONCE_SECONDS = 2.0
DEADLINE_SECONDS = 4.0
"""The node timeout of the cluster, with room for a busy machine."""

UP_SECONDS_MAX = 10.0
LOAD_SECONDS = 0.7
SUSPENDED_SECONDS = 4.5
"""Longer than the --suspect-after and the --node-timeout of the cluster."""

PLAIN = {"X-Scheme": "5+0"}

LOSSES = pytest.mark.parametrize(
    "loss", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stopped"]
)


def content(size_bytes: int) -> bytes:
    """Bytes of that size."""
    return (Version(size_bytes, 4 * MIB).content * (size_bytes // MIB + 1))[:size_bytes]


def timed_put(
    client: Client, name: str, body: bytes | Iterator[bytes], headers: dict[str, str] | None = None
) -> tuple[int, float]:
    """Status and seconds of a PUT."""
    start = time.monotonic()
    return client.put(name, body, headers).status, time.monotonic() - start


def processes(cluster: LocalCluster) -> dict[str, str]:
    """The name of the process of each node id."""
    files = {name: cluster.directory / name / "node.json" for name in cluster.names[1:]}
    return {json.loads(file.read_text())["node_id"]: name for name, file in files.items()}


def nodes_of(cluster: LocalCluster, client: Client, name: str) -> list[str]:
    """The processes that hold the chunks of a file, in the order of the chunks."""
    chunks = client.ask("GET", f"/explain/{name}").json()["chunks"]
    return [processes(cluster)[chunk["node_id"]] for chunk in chunks]


def used_bytes(cluster: LocalCluster) -> dict[str, int]:
    """What nodes hold, and what is on its way to them."""
    with Client(cluster.api_url) as client:
        nodes = client.ask("GET", "/cluster").json()["nodes"]
    return {node["node_id"]: node["used_bytes"] for node in nodes}


def receiving_node(cluster: LocalCluster, before: dict[str, int]) -> str:
    """A process that an upload, begun after it was looked at ``before``, sends a chunk to."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while time.monotonic() < deadline:
        now = used_bytes(cluster)
        grown = max(now, key=lambda node_id: now[node_id] - before[node_id])
        if now[grown] - before[grown] >= MIB:
            return processes(cluster)[grown]
    raise AssertionError("No node receives anything.")


def memberships(client: Client) -> list[str]:
    """The verdict on each node."""
    nodes = client.ask("GET", "/cluster").json()["nodes"]
    return [f"{node['membership']} {node['reason']}".strip() for node in nodes]


@LOSSES
def test_uploads_begun_after_a_node_is_lost_succeed(
    cluster: LocalCluster, client: Client, lose: Lose, loss: signal.Signals
) -> None:
    """The first that meets a stopped node waits for its deadline, everything else is at once."""
    lose("node3", loss)
    uploads = [timed_put(client, f"{loss}-{number}", content(10_000)) for number in range(6)]
    uploads.append(timed_put(client, f"{loss}-large", content(20 * MIB)))
    assert [status for status, _ in uploads] == [201] * 7
    slowest, *others = sorted((seconds for _, seconds in uploads), reverse=True)
    assert slowest < (AT_ONCE_SECONDS if loss == signal.SIGKILL else DEADLINE_SECONDS)
    assert max(others) < AT_ONCE_SECONDS
    assert client.get(f"{loss}-large").body == content(20 * MIB)


@LOSSES
@pytest.mark.parametrize(("size_bytes", "statuses"), [(5 * MIB, {201}), (20 * MIB, {201, 503})])
def test_an_upload_in_flight_when_a_node_is_lost_succeeds_or_leaves_the_name_free(
    cluster: LocalCluster,
    client: Client,
    lose: Lose,
    loss: signal.Signals,
    size_bytes: int,
    statuses: set[int],
) -> None:
    """A body of up to one stripe is placed elsewhere, a longer one may be refused, in time."""
    name, body = f"in-flight-{loss}-{size_bytes}", content(size_bytes)
    before = used_bytes(cluster)

    def interrupted() -> Iterator[bytes]:
        yield body[: size_bytes // 2]
        lose(receiving_node(cluster, before), loss)
        yield body[size_bytes // 2 :]

    headers = {"Content-Length": str(size_bytes)}
    status, seconds = timed_put(client, name, interrupted(), headers)
    assert status in statuses
    assert seconds < DEADLINE_SECONDS
    assert client.get(name).status == (200 if status == 201 else 404)
    assert client.put(name, body).status == (200 if status == 201 else 201)
    assert client.get(name).body == body


@LOSSES
def test_a_download_that_needs_a_lost_node_is_refused_before_its_first_byte(
    cluster: LocalCluster, client: Client, lose: Lose, loss: signal.Signals
) -> None:
    """Without parity it has 503 and a reason in time; what does not need that node is there."""
    name, body = f"needs-{loss}", content(3 * MIB)
    client.put(name, body, PLAIN)
    lose(nodes_of(cluster, client, name)[4], loss)
    start = time.monotonic()
    answer = client.get(name)
    assert (answer.status, answer.json()["error"]) == (503, "node_failed")
    assert time.monotonic() - start < DEADLINE_SECONDS
    part = client.get(name, {"Range": "bytes=10-9999"})
    assert (part.status, part.body) == (206, body[10:10_000])


@LOSSES
def test_a_download_in_flight_when_its_node_is_lost_breaks_off(
    cluster: LocalCluster, client: Client, lose: Lose, loss: signal.Signals
) -> None:
    """Without parity: what came is right, and that something is missing cannot be overlooked."""
    # More of each chunk than the kernel holds between a node and the api, whose sender may be dead.
    name, body = f"breaks-{loss}", content(200 * MIB)
    client.put(name, body, PLAIN)
    address = urlsplit(cluster.api_url)
    connection = HTTPConnection(str(address.hostname), address.port, timeout=DEADLINE_SECONDS)
    connection.request("GET", file_path(name))
    response = connection.getresponse()
    begun = response.read(MIB)
    lose(nodes_of(cluster, client, name)[2], loss)
    with pytest.raises((IncompleteRead, ConnectionResetError)) as broken:
        response.read()
    connection.close()
    rest = broken.value.partial if isinstance(broken.value, IncompleteRead) else b""
    assert response.status == 200
    assert body.startswith(begun + rest)


@LOSSES
def test_p6_downloads_go_on_without_two_nodes(
    cluster: LocalCluster, client: Client, lose: Lose, loss: signal.Signals
) -> None:
    """One is lost in mid-stream, another one then; each costs a hedging delay at most."""
    name, body = f"goes-on-{loss}", content(48 * MIB)
    client.put(name, body)
    holders = nodes_of(cluster, client, name)
    address = urlsplit(cluster.api_url)
    connection = HTTPConnection(str(address.hostname), address.port, timeout=DEADLINE_SECONDS)
    connection.request("GET", file_path(name))
    response = connection.getresponse()
    received = bytearray(response.read(MIB))
    for index in (2, 0):
        lose(holders[index], loss)
        received += response.read(8 * MIB)
    received += response.read()
    connection.close()
    assert (response.status, received == body) == (200, True)
    start = time.monotonic()
    answer = client.get(name)
    assert (answer.status, answer.body == body) == (200, True)
    assert set(answer.headers["x-degraded"].split(", ")) == {"0", "2"}
    assert time.monotonic() - start < DEADLINE_SECONDS


def test_a_node_that_goes_on_after_a_stop_is_used_again(
    cluster: LocalCluster, client: Client, lose: Lose
) -> None:
    """Its chunks are readable at once, and new ones come to it."""
    client.put("before", content(MIB), PLAIN)
    stopped = nodes_of(cluster, client, "before")[0]
    lose(stopped, signal.SIGSTOP)
    assert client.get("before").status == 503
    cluster.kill(stopped, signal.SIGCONT)
    assert client.get("before").body == content(MIB)
    deadline = time.monotonic() + UP_SECONDS_MAX
    while client.put("after", content(100_000)).status == 200:
        assert time.monotonic() < deadline
        if stopped in nodes_of(cluster, client, "after"):
            break


@pytest.mark.parametrize("leaves", [True, False], ids=["closes", "stalls"])
def test_an_upload_whose_client_is_gone_leaves_nothing(
    cluster: LocalCluster, client: Client, leaves: bool
) -> None:
    """Neither one that hangs up nor one that stays silent shows, takes a name or fills a disk."""
    before = used_bytes(cluster)
    address = urlsplit(cluster.api_url)
    with socket.create_connection((address.hostname, address.port)) as connection:
        connection.settimeout(ANSWER_SECONDS_MAX)
        head = (
            f"PUT {file_path('gone')} HTTP/1.1\r\nHost: test\r\nContent-Length: {20 * MIB}\r\n\r\n"
        )
        connection.sendall(head.encode() + content(10 * MIB))
        receiving_node(cluster, before)
        if not leaves:
            assert connection.recv(12) == b"HTTP/1.1 408"
    assert client.get("gone").status == 404
    assert "gone" not in listed_tags(client)
    wait_until_swept(client, cluster.directory)


def test_a_suspended_api_suspects_no_node_when_it_goes_on(
    cluster: LocalCluster, client: Client, lose: Lose
) -> None:
    """It heard nothing for longer than it allows nodes, and knows that this was its own fault."""
    log = cluster.directory / "logs" / f"{API}.log"
    logged_before = len(log.read_text())
    load = Load(cluster.api_url, seed=1, writers=2, readers=1, files=4)
    with load.running():
        time.sleep(LOAD_SECONDS)
        lose(API, signal.SIGSTOP)
        time.sleep(SUSPENDED_SECONDS)
        cluster.kill(API, signal.SIGCONT)
        time.sleep(LOAD_SECONDS)
    assert memberships(client) == ["up"] * 7
    assert "suspect" not in log.read_text()[logged_before:]
    assert not [outcome for outcome in load.outcomes if "503" in outcome]


def test_a_node_at_the_address_of_a_lost_one_takes_no_chunks_for_it(tmp_path: Path) -> None:
    """
    The api may not know yet who listens there now; what it acknowledges is where it says.

    Six nodes, so that each file wants all of them, and the five left do without the new one.
    """
    with LocalCluster(tmp_path, 6, node_options=NODE_OPTIONS) as cluster:
        cluster.wait_ready()
        cluster.kill("node1")
        url = cluster.url("node1")
        listen = f"tcp:{urlsplit(url).port}:interface=127.0.0.1"
        cluster.add_node([*NODE_OPTIONS, "--listen", listen, "--advertise", url])
        with Client(cluster.api_url) as client:
            assert {client.put(f"file-{each}", content(MIB)).status for each in range(6)} == {201}
            wait_until_swept(client, tmp_path)
