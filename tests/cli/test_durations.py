"""Times for people."""

import pytest

from twisted_store.cli.durations import format_seconds


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.6, "1 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (100, "1 min 40 s"),
        (3600, "1 h"),
        (3659, "1 h"),
        (7500, "2 h 5 min"),
        (86_399.9, "1 d"),
        (3 * 86_400 + 4 * 3600 + 1800, "3 d 4 h"),
    ],
)
def test_a_time_has_two_units_at_most(seconds: float, text: str) -> None:
    """Neither leading nor trailing zeros."""
    assert format_seconds(seconds) == text
