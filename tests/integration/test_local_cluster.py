"""Real processes on real ports: `LocalCluster`, and the commands that need a whole store."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from twisted_store.cli.local_cluster import LocalCluster, LocalClusterError
from twisted_store.cli.trial import PREFIX

ROOT = Path(__file__).parents[2]
WAIT_SECONDS = 60
RUNNING = re.compile(r"^ +(\w+) +(http://\S+) +process (\d+)$", re.MULTILINE)

CHECK_KIB_MAX = 90 * 1024
"""Memory of a check: that of an interpreter with its modules, and less than the largest file."""

MEASURED = """
import atexit, sys
from twisted_store.cli.main import main
atexit.register(lambda: sys.stderr.write(open("/proc/self/status").read()))
main()
"""


@pytest.fixture(scope="module")
def shared_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    """Six nodes that all tests share; each may kill and restart, not more."""
    with LocalCluster(tmp_path_factory.mktemp("cluster"), 6) as cluster:
        yield cluster


@pytest.fixture
def cluster(shared_cluster: LocalCluster) -> LocalCluster:
    """The shared nodes, all of them up."""
    shared_cluster.wait_ready()
    return shared_cluster


@contextmanager
def command(
    *words: str, start: Sequence[str] = ("-m", "twisted_store.cli.main")
) -> Iterator[subprocess.Popen[str]]:
    """The command as a process of its own, ended at the end."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, *start, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    ) as process:
        try:
            yield process
        finally:
            process.terminate()


def wait_until(condition: Callable[[], object]) -> None:
    """Look again and again until the condition holds."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def iter_until(read_line: Callable[[], str], last: str) -> Iterator[str]:
    """Lines up to the one that contains ``last``."""
    for line in iter(read_line, ""):
        yield line
        if last in line:
            return


def answers(url: str) -> bool:
    """Whether somebody listens there."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", urlsplit(url).port or 0)) == 0


def store_and_fetch(cluster: LocalCluster, name: str) -> None:
    """Store a file, and see that it comes back."""
    with httpx.Client(base_url=cluster.api_url, trust_env=False) as client:
        assert client.put(f"/files/{name}", content=b"content").status_code in (200, 201)
        assert client.get(f"/files/{name}").content == b"content"


def test_a_cluster_takes_files_and_writes_logs(cluster: LocalCluster) -> None:
    """Every process listens where it says, and has a directory and a log."""
    store_and_fetch(cluster, "first")
    assert cluster.names == ["api", "node1", "node2", "node3", "node4", "node5", "node6"]
    for name in cluster.names:
        assert answers(cluster.url(name))
        assert (cluster.directory / name).is_dir()
        log = (cluster.directory / "logs" / f"{name}.log").read_text()
        assert f"listening on {cluster.url(name)}" in log
        assert cluster.url(name) in cluster.last_lines(name)


def test_a_node_that_is_killed_comes_back(cluster: LocalCluster) -> None:
    """With its data, maybe on another port; the others go on meanwhile."""
    pid = cluster.pid("node2")
    cluster.kill("node2")
    assert not answers(cluster.url("node2"))
    assert cluster.fallen() == {}
    with pytest.raises(LocalClusterError, match="only 5 run"):
        cluster.wait_ready(6)
    cluster.restart("node2")
    assert cluster.pid("node2") != pid
    cluster.wait_ready()
    store_and_fetch(cluster, "second")


def test_a_process_that_ends_by_itself_is_reported(cluster: LocalCluster) -> None:
    """Whoever ended it, it was not us."""
    os.kill(cluster.pid("node3"), signal.SIGKILL)
    wait_until(cluster.fallen)
    assert cluster.fallen() == {"node3": -signal.SIGKILL}
    cluster.restart("node3")
    assert cluster.fallen() == {}


def test_a_paused_process_can_be_resumed_and_restarted(cluster: LocalCluster) -> None:
    """Signals other than those that end it leave it ours."""
    cluster.kill("node4", signal.SIGSTOP)
    cluster.kill("node4", signal.SIGCONT)
    assert cluster.fallen() == {}
    cluster.kill("node4", signal.SIGSTOP)
    cluster.restart("node4")
    cluster.wait_ready()


def test_the_api_keeps_its_port_over_a_restart(cluster: LocalCluster) -> None:
    """The nodes would not find it elsewhere."""
    url = cluster.api_url
    store_and_fetch(cluster, "kept")
    cluster.kill("api")
    cluster.restart("api")
    assert cluster.api_url == url
    cluster.wait_ready()
    assert httpx.get(f"{url}/files/kept", trust_env=False).content == b"content"


def test_a_locked_directory_is_refused(cluster: LocalCluster) -> None:
    """The message is that of the api; the cluster that holds it goes on."""
    with pytest.raises(LocalClusterError, match="api ended with status 1") as caught:
        LocalCluster(cluster.directory, 1).start()
    assert str(cluster.directory / "api") in str(caught.value)
    store_and_fetch(cluster, "third")


def test_a_failing_start_leaves_nothing_running(tmp_path: Path) -> None:
    """The last lines say why."""
    cluster = LocalCluster(tmp_path, 2, node_options=["--capacity", "plenty"])
    with pytest.raises(
        LocalClusterError, match=r"(?s)node. ended with status 1.*--capacity plenty"
    ):
        cluster.start()
    assert not answers(cluster.api_url)


def test_a_node_joins_and_what_does_not_stop_in_time_is_named(tmp_path: Path) -> None:
    """No time at all is not enough for any of them."""
    with LocalCluster(tmp_path, 0) as cluster:
        assert cluster.add_node(["--zone", "attic"]) == "node1"
        wait_until(lambda: "attic" in httpx.get(f"{cluster.api_url}/cluster").text)
        assert cluster.stop(timeout_seconds=0) == ["api", "node1"]
        assert not answers(cluster.url("node1"))
        assert cluster.stop() == []


def test_check_passes_in_bounded_memory(cluster: LocalCluster) -> None:
    """All of it, with files of 100 MiB that are never held."""
    with command("check", cluster.api_url, "--json", start=("-c", MEASURED)) as process:
        output, status = process.communicate(timeout=WAIT_SECONDS)
    report = json.loads(output)
    assert [each for each in report["checks"] if each["verdict"] == "FAILED"] == []
    assert (report["ok"], process.returncode) == (True, 0)
    assert "104857600 bytes, length unknown" in [each["what"] for each in report["checks"]]
    # The peak by getrusage would be that of this process, which the other began as a copy of.
    [peak_kib] = re.findall(r"VmHWM:\s+(\d+) kB", status)
    assert int(peak_kib) < CHECK_KIB_MAX


def test_check_leaves_nothing_behind_when_it_is_interrupted(cluster: LocalCluster) -> None:
    """Neither what it stored nor what it was storing."""

    def left() -> list[str]:
        query = {"prefix": PREFIX}
        answer = httpx.get(f"{cluster.api_url}/files", params=query, trust_env=False)
        return [file["name"] for file in answer.json()["files"]]

    with command("check", cluster.api_url) as process:
        wait_until(lambda: len(left()) > 8)
        process.send_signal(signal.SIGINT)
        assert process.wait(WAIT_SECONDS) == 1
    assert left() == []


def test_demo_runs_reports_and_stops(tmp_path: Path) -> None:
    """A process that dies is reported, the others go on; Ctrl-C ends all with status 0."""
    words = ["demo", "--port", "0", "--data", str(tmp_path / "a directory")]
    with command(*words) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        text = "".join(iter_until(process.stdout.readline, "Ctrl-C"))
        running = {name: (url, int(pid)) for name, url, pid in RUNNING.findall(text)}
        assert list(running) == ["api", *(f"node{number}" for number in range(1, 9))]
        joining = f"--data '{tmp_path}/a directory/node9' --api {running['api'][0]}\n"
        assert joining in text
        assert re.search(rf"  kill {running['node8'][1]}; sleep 20; \S*twisted-store repair", text)
        assert f"repair --watch --url {running['api'][0]}\n" in text
        os.kill(running["node5"][1], signal.SIGKILL)
        assert process.stderr.readline().startswith("node5 ended with status -9")
        assert answers(running["node4"][0])
        process.send_signal(signal.SIGINT)
        assert process.wait(WAIT_SECONDS) == 0
    assert not any(answers(url) for url, _ in running.values())


def test_demo_ends_on_ctrl_c_while_it_starts(tmp_path: Path) -> None:
    """What it has started by then is stopped."""
    with command("demo", "--port", "0", "--data", str(tmp_path)) as process:
        log = tmp_path / "logs" / "api.log"
        wait_until(lambda: log.exists() and "listening on" in log.read_text())
        process.send_signal(signal.SIGINT)
        assert process.wait(WAIT_SECONDS) == 0
    [url] = set(re.findall(r"http://[0-9.:]+", log.read_text()))
    assert not answers(url)


def test_demo_refuses_a_directory_in_use(cluster: LocalCluster) -> None:
    """And leaves those alone who use it."""
    with command("demo", "--port", "0", "--data", str(cluster.directory)) as process:
        _, errors = process.communicate(timeout=WAIT_SECONDS)
    assert process.returncode == 1
    assert str(cluster.directory / "api") in errors
    store_and_fetch(cluster, "fourth")
