"""What the tests of the api share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api.world import ApiCluster
from tests.simulation.calls import Calls


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[ApiCluster]:
    """Six nodes."""
    with ApiCluster(tmp_path, nodes=6) as running:
        yield running


@pytest.fixture
def calls(cluster: ApiCluster) -> Calls:
    """A client of it."""
    return Calls(cluster)
