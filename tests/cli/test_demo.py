"""`twisted-store demo` where it refuses to start anything."""

import signal
import socket
from pathlib import Path

import pytest
from click.testing import CliRunner

from twisted_store.cli.main import cli
from twisted_store.cli.stop_signals import StopRequested, StopSignals


def test_a_taken_port_is_named_before_anything_starts(tmp_path: Path) -> None:
    """A role would say it less plainly."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        words = ["demo", "--data", str(tmp_path / "data"), "--port", str(port)]
        result = CliRunner().invoke(cli, words)
    assert result.exit_code == 1
    assert f"Port {port} cannot be used (Address already in use)" in result.stderr
    assert not (tmp_path / "data").exists()


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    """With what the system says."""
    (tmp_path / "file").touch()
    words = ["demo", "--data", str(tmp_path / "file" / "data"), "--port", "0"]
    result = CliRunner().invoke(cli, words)
    assert result.exit_code == 1
    assert "Not a directory" in result.stderr


def test_the_directory_is_said_as_it_works_in_any_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The commands that are printed for another terminal have it in them."""
    (tmp_path / "file").touch()
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(cli, ["demo", "--data", "file/data", "--port", "0"])
    assert f"nodes in {tmp_path}/file/data." in result.stdout


def test_a_stop_signal_waits_until_it_is_looked_for() -> None:
    """Nothing is broken off where it comes."""
    with StopSignals() as signals:
        signals.check()
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(StopRequested):
            signals.check()


def test_an_ignored_signal_stays_ignored() -> None:
    """As under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with StopSignals() as signals:
            signal.raise_signal(signal.SIGHUP)
            signals.check()
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
