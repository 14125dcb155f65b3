"""What the tests of the command share."""

from collections.abc import Callable, Iterator

import pytest
from click.testing import CliRunner, Result

from tests.cli.fake_server import served
from tests.cli.fake_store import FakeStore
from twisted_store.cli.main import cli

Run = Callable[..., Result]


@pytest.fixture
def store() -> Iterator[FakeStore]:
    """A store that answers at its ``url``."""
    with served(FakeStore()) as store:
        yield store


@pytest.fixture
def run(store: FakeStore) -> Run:
    """Run the command with these words; the store is the one that it finds by itself."""

    def invoke(*words: str, stdin: bytes | None = None) -> Result:
        environment = {"TWISTED_STORE_URL": store.url}
        return CliRunner().invoke(cli, words, input=stdin, env=environment, catch_exceptions=False)

    return invoke
