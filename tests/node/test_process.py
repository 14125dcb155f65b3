"""A node as a process of its own: how it starts, refuses to start, and ends."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

ROOT = Path(__file__).parents[2]
TWISTD = Path(sys.executable).with_name("twistd")
WAIT_SECONDS = 60


def command(data: Path, *words: str) -> list[str]:
    """A node on a free port, whose api is not there."""
    role = [str(TWISTD), "-n", "--pidfile=", "storenode", "--data", str(data)]
    return [*role, "--api", "http://127.0.0.1:9", "--listen", "tcp:0:interface=127.0.0.1", *words]


def environment() -> dict[str, str]:
    """That of the test, with this source tree."""
    return {**os.environ, "PYTHONPATH": str(ROOT)}


@contextmanager
def running(data: Path) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """A node that runs, and its URL."""
    node = subprocess.Popen(
        command(data), env=environment(), cwd=data.parent, stdout=subprocess.PIPE, text=True
    )
    assert node.stdout is not None
    try:
        lines = (re.search(r"storenode \S+ listening on (\S+), node", line) for line in node.stdout)
        announced = next(line for line in lines if line)
        yield node, announced[1]
    finally:
        node.kill()
        node.wait(WAIT_SECONDS)
        node.stdout.close()


def refused(data: Path, *words: str) -> str:
    """What a node that does not start says last."""
    ended = subprocess.run(
        command(data, *words),
        env=environment(),
        cwd=data.parent,
        capture_output=True,
        text=True,
        timeout=WAIT_SECONDS,
        check=False,
    )
    assert ended.returncode not in (0, None)
    return (ended.stdout + ended.stderr).strip().splitlines()[-1]


def test_a_node_starts_serves_and_ends_on_a_signal(tmp_path: Path) -> None:
    """And while it runs nobody else gets its data."""
    data = tmp_path / "node"
    with running(data) as (node, url):
        with urlopen(f"{url}/health/ready", timeout=WAIT_SECONDS) as answer:
            assert json.load(answer)["ready"] is True
        assert f"Another process uses the data directory {data}." in refused(data)
        node.send_signal(signal.SIGTERM)
        # twistd ends by the signal itself once everything has stopped.
        assert node.wait(WAIT_SECONDS) in (-signal.SIGTERM, 128 + signal.SIGTERM)


def test_a_node_that_cannot_start_says_why_in_its_last_line(tmp_path: Path) -> None:
    """A sentence, and not a traceback; whether the parser finds it or the role."""
    data = tmp_path / "node"
    assert refused(data, "--capacity", "much").endswith(
        "--capacity much: 'much' is not a size: write it like 2GiB, 500MB or 1048576."
    )
    assert refused(data, "--listen", "tcp:0").endswith("or say --insecure.")
