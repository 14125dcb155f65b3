"""What all commands have in common."""

import socket

import pytest
from click.testing import CliRunner

from tests.cli.fake_server import served
from tests.cli.fake_store import FakeStore
from twisted_store.cli.exits import ExitStatus
from twisted_store.cli.main import cli


@pytest.fixture
def closed_url() -> str:
    """Where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


def test_the_help_documents_the_exit_statuses() -> None:
    """For scripts."""
    text = CliRunner().invoke(cli, ["--help"]).output
    for status in ExitStatus:
        assert f"\n    {status.value}  " in text


@pytest.mark.parametrize("words", [["ls"], ["put", __file__], ["get", "-r", "a"], ["status"]])
def test_nobody_at_the_url_is_unavailable(closed_url: str, words: list[str]) -> None:
    """The message has the URL."""
    result = CliRunner().invoke(cli, [*words, "--url", closed_url])
    assert result.exit_code == 5
    assert f"Nothing answers at {closed_url}" in result.stderr


@pytest.mark.parametrize("url", ["localhost", "ftp://localhost", "http://a:b"])
def test_a_url_that_is_none_is_wrong_usage(url: str) -> None:
    """Found when it is used first."""
    assert CliRunner().invoke(cli, ["ls", "--url", url]).exit_code == 2


def test_the_option_wins_over_the_environment(store: FakeStore, closed_url: str) -> None:
    """As everywhere."""
    environment = {"TWISTED_STORE_URL": closed_url}
    assert CliRunner().invoke(cli, ["ls", "--url", store.url], env=environment).exit_code == 0


def test_a_path_in_the_url_is_kept(closed_url: str) -> None:
    """A store may stand behind a proxy."""
    result = CliRunner().invoke(cli, ["ls", "--url", f"{closed_url}/store"])
    assert f"{closed_url}/store" in result.stderr


def test_another_server_is_told_apart_from_a_store() -> None:
    """Its answers are no JSON."""
    with served(FakeStore()) as store:
        store.add("files", b"<html>")
        result = CliRunner().invoke(cli, ["ls", "--url", f"{store.url}/files/files?"])
    assert result.exit_code == 1
    assert "does not answer like a twisted_store" in result.stderr
