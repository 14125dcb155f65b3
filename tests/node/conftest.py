"""Fixtures of the node tests."""

from pathlib import Path

import pytest

from tests.node.bench import NodeBench


@pytest.fixture
def bench(tmp_path: Path) -> NodeBench:
    """A fresh node that anybody may use."""
    return NodeBench(tmp_path / "node")
