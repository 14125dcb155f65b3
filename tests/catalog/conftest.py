"""What the tests of the catalog share."""

from pathlib import Path

import pytest


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the catalog is."""
    return tmp_path / "catalog ?#%.db"  # characters that a URI would take for its own
