"""A whole cluster as processes of this machine, for `demo`, tests and measurements."""

import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import httpx

from twisted_store.cli.command_lines import API, api_command, node_command, node_name, node_port
from twisted_store.cli.role_process import RoleProcess

START_SECONDS_MAX = 60.0
READY_SECONDS_MAX = 60.0
STOP_SECONDS_MAX = 15.0
LOOK_SECONDS = 0.05


class LocalClusterError(Exception):
    """A process did not start, or the cluster did not become ready; the message says why."""


def _nothing() -> None:
    """The default for ``on_wait``."""


class LocalCluster:
    """
    One api and ``nodes`` nodes, each with a directory under ``directory``.

    The processes are named ``api``, ``node1``, ``node2`` and so on; what they print is appended to
    ``logs/NAME.log``. One that ends does not touch the others. With ``port`` 0 the system picks all
    ports; the api keeps its port over a restart, a node may then get another one. ``on_wait`` is
    called again and again while something is awaited; what it raises ends the wait.
    """

    def __init__(
        self,
        directory: Path,
        nodes: int = 7,
        *,
        port: int = 0,
        api_options: Sequence[str] = (),
        node_options: Sequence[str] = (),
        on_wait: Callable[[], None] = _nothing,
    ) -> None:
        self.directory = directory
        self._given_port = port
        self._api_port = port
        # The api first, so that the position of a node is its number.
        self._options = {API: api_options}
        self._options |= {node_name(number): node_options for number in range(1, nodes + 1)}
        self._on_wait = on_wait
        self._processes: dict[str, RoleProcess] = {}

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def names(self) -> list[str]:
        """Names of all processes, the api first."""
        return list(self._options)

    @property
    def api_url(self) -> str:
        """Where clients call, without a slash at the end."""
        return self.url(API)

    def url(self, name: str) -> str:
        """Where a process listens, or did when it ran last."""
        url = self._processes[name].url
        if url is None:
            raise LocalClusterError(f"{name} does not listen yet.")
        return url

    def pid(self, name: str) -> int:
        """Process id."""
        return self._processes[name].pid

    def command(self, name: str) -> list[str]:
        """Words of the command that runs a process."""
        options = self._options[name]
        if name == API:
            return api_command(self._api_port, self.directory, options)
        number = self.names.index(name)
        port = node_port(number, self._given_port)
        return node_command(number, port, self.directory, self.api_url, options)

    def start(self) -> None:
        """Start all and wait until each listens; if one does not, stop all and say why."""
        try:
            self._launch(API)
            self._await_announcements(API)
            nodes = self.names[1:]
            for name in nodes:
                self._launch(name)
            self._await_announcements(*nodes)
        except BaseException:
            self.stop()
            raise

    def add_node(self, options: Sequence[str] = ()) -> str:
        """Start one node more, wait until it listens, and return its name."""
        name = node_name(len(self._options))
        self._options[name] = options
        self._launch(name)
        self._await_announcements(name)
        return name

    def kill(self, name: str, signal_number: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal to a process; SIGKILL is waited for."""
        process = self._processes[name]
        if signal_number == signal.SIGKILL:
            process.kill()
        else:
            process.send(signal_number)

    def restart(self, name: str) -> None:
        """Stop a process if it runs, start it again and wait until it listens."""
        process = self._processes[name]
        process.terminate()
        if not process.wait(STOP_SECONDS_MAX):
            process.kill()
        self._launch(name)
        self._await_announcements(name)

    def stop(self, timeout_seconds: float = STOP_SECONDS_MAX) -> list[str]:
        """
        Ask all to stop, the api before the nodes that it needs for its last requests.

        What still runs when the time is over is killed; returns the names of those.
        """
        deadline = time.monotonic() + timeout_seconds
        running = [process for process in self._processes.values() if process.running]
        try:
            for role in ([API], self.names[1:]):
                stopping = [process for process in running if process.name in role]
                for process in stopping:
                    process.terminate()
                for process in stopping:
                    process.wait(max(deadline - time.monotonic(), 0))
            return [process.name for process in running if process.running]
        finally:
            for process in running:
                process.kill()

    def fallen(self) -> dict[str, int]:
        """Exit statuses of the processes that ended though nobody asked them to."""
        return {
            name: process.exit_status
            for name, process in self._processes.items()
            if process.exit_status is not None and not process.end_expected
        }

    def last_lines(self, name: str) -> str:
        """What a process printed last."""
        return self._processes[name].tail()

    def wait_ready(
        self, nodes: int | None = None, timeout_seconds: float = READY_SECONDS_MAX
    ) -> None:
        """Wait until the api is ready and ``nodes`` of the processes here, or all, are up to it."""
        wanted = len(self._options) - 1 if nodes is None else nodes
        with httpx.Client(base_url=self.api_url, trust_env=False) as client:
            self._wait(lambda: self._missing(client, wanted), timeout_seconds, [API])

    def _launch(self, name: str) -> None:
        log_path = self.directory / "logs" / f"{name}.log"
        log_path.parent.mkdir(parents=True, exist_ok=True)
        self._processes[name] = RoleProcess(name, self.command(name), log_path)

    def _await_announcements(self, *names: str) -> None:
        def silent() -> str:
            return ", ".join(name for name in names if self._processes[name].url is None)

        self._wait(silent, START_SECONDS_MAX, names)
        if API in names:
            self._api_port = urlsplit(self.api_url).port or self._api_port

    def _wait(
        self, missing: Callable[[], str], timeout_seconds: float, names: Sequence[str]
    ) -> None:
        """Wait until nothing is missing, no longer than the processes ``names`` live."""
        deadline = time.monotonic() + timeout_seconds
        while lack := missing():
            self._on_wait()
            for name in names:
                self._check_runs(name)
            if time.monotonic() > deadline:
                raise LocalClusterError(f"Waited {timeout_seconds:.0f} s, still missing: {lack}.")
            time.sleep(LOOK_SECONDS)

    def _check_runs(self, name: str) -> None:
        process = self._processes[name]
        if not process.running:
            raise LocalClusterError(
                f"{name} ended with status {process.exit_status}; its last lines:\n{process.tail()}"
            )

    def _missing(self, client: httpx.Client, wanted: int) -> str:
        """What keeps the cluster from being ready, in words; empty when it is."""
        running = [name for name in self.names[1:] if self._processes[name].running]
        if len(running) < wanted:
            raise LocalClusterError(f"Of {wanted} nodes only {len(running)} run: {running}.")
        try:
            ready = client.get("/health/ready").json()
            nodes = client.get("/cluster").json()["nodes"]
        except httpx.TransportError as error:
            return f"an answer of the api ({error})"
        ours = {self._processes[name].url for name in running}
        up = sum(node["membership"] == "up" and node["url"] in ours for node in nodes)
        if up < wanted:
            return f"{wanted - up} of {wanted} nodes"
        return "" if ready["ready"] else "; ".join(each["message"] for each in ready["reasons"])
