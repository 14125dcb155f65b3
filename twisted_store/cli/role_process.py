"""One role as a child process: started, looked at, stopped."""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import twisted_store

TAIL_LINES = 20
TAIL_BYTES = 8192

_ANNOUNCED = re.compile(rb"listening on (http://[^\s,]+)[\s,]")


def script_path(name: str) -> str:
    """Path of the script, as ``twistd`` is one, that belongs to this interpreter."""
    beside = Path(sys.executable).with_name(name)
    return str(beside) if beside.exists() else shutil.which(name) or name


class RoleProcess:
    """A role that runs; what it prints is appended to the file ``log_path``."""

    def __init__(self, name: str, command: Sequence[str], log_path: Path) -> None:
        self.name = name
        self.end_expected = False
        self._log_path = log_path
        self._url: str | None = None
        with log_path.open("ab") as log:
            self._log_start = log.tell()
            # In a session of its own, so that Ctrl-C reaches only the parent, which stops it.
            self._process = subprocess.Popen(
                [script_path(command[0]), *command[1:]],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=_environment(),
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    @property
    def exit_status(self) -> int | None:
        """None while it runs; negative when a signal ended it."""
        return self._process.poll()

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self.exit_status is None

    @property
    def url(self) -> str | None:
        """Where it listens; None until it has said so."""
        if self._url is None:
            match = _ANNOUNCED.search(self._log_path.read_bytes()[self._log_start :])
            self._url = match[1].decode() if match else None
        return self._url

    def tail(self) -> str:
        """The last lines that it printed."""
        with self._log_path.open("rb") as log:
            end = log.seek(0, os.SEEK_END)
            log.seek(max(self._log_start, end - TAIL_BYTES))
            return "\n".join(log.read().decode(errors="replace").splitlines()[-TAIL_LINES:])

    def send(self, signal_number: signal.Signals) -> None:
        """Send a signal; one that ends it makes the end an expected one."""
        if signal_number in (signal.SIGTERM, signal.SIGKILL, signal.SIGINT):
            self.end_expected = True
        self._process.send_signal(signal_number)

    def terminate(self) -> None:
        """Ask it to stop, also if it is paused."""
        self.send(signal.SIGTERM)
        self.send(signal.SIGCONT)

    def kill(self) -> None:
        """End it now and wait for that."""
        self.send(signal.SIGKILL)
        self._process.wait()

    def wait(self, timeout_seconds: float) -> bool:
        """Whether it ended within the time."""
        try:
            self._process.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            return False
        return True


def _environment() -> dict[str, str]:
    """Ours, and this package importable and its plugins found though it may not be installed."""
    root = str(Path(twisted_store.__file__).parents[1])
    inherited = os.environ.get("PYTHONPATH")
    paths = [root, inherited] if inherited else [root]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONUNBUFFERED": "1"}
