"""Fixtures of the storage tests."""

from pathlib import Path

import pytest

from tests.storage.bench import Bench


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """A fresh node directory with a store on it."""
    return Bench(tmp_path / "node")
