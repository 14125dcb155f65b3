"""What is told of the reading of volumes."""

import pytest

from twisted_store.storage.witness import LOG_SECONDS, Damage, LogWitness


def test_long_reading_is_logged_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    """With what is left."""
    now = [100.0]
    witness = LogWitness(lambda: now[0])
    for step in range(1, 101):
        now[0] += LOG_SECONDS / 40
        witness.has_read(step * 2**20, 400 * 2**20)
    lines = [line for line in capsys.readouterr().err.splitlines() if "are read" in line]
    assert len(lines) == 2
    assert lines[0].endswith("40.0 MiB of 400.0 MiB in volumes are read, 45 s left")


def test_damage_is_logged(capsys: pytest.CaptureFixture[str]) -> None:
    """With its place."""
    LogWitness(lambda: 0.0).found(Damage(3, 64, None, "batch 7 is damaged"))
    assert "volume 3 is damaged at byte 64: batch 7 is damaged" in capsys.readouterr().err
