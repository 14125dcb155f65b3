"""The hedging delay follows what sources usually take."""

from twisted_store.core.hedging import (
    DELAY_SECONDS_FIRST,
    DELAY_SECONDS_MAX,
    DELAY_SECONDS_MIN,
    FACTOR,
    WAITS_KEPT,
    WAITS_PER_LOOK,
    HedgingDelay,
)


def after(*waits: float) -> float:
    """The delay after these waits, each seen often."""
    hedging = HedgingDelay()
    for wait in waits:
        for _ in range(WAITS_KEPT):
            hedging.observe(wait)
    return hedging.seconds


def test_it_begins_with_a_guess() -> None:
    """Until enough waits were seen."""
    hedging = HedgingDelay()
    for _ in range(WAITS_PER_LOOK - 1):
        hedging.observe(0.2)
    assert hedging.seconds == DELAY_SECONDS_FIRST
    hedging.observe(0.2)
    assert hedging.seconds == FACTOR * 0.2


def test_it_stays_within_its_bounds() -> None:
    """What a slow node costs at most is known."""
    assert after(0.0) == DELAY_SECONDS_MIN
    assert after(60.0) == DELAY_SECONDS_MAX


def test_it_forgets() -> None:
    """Old waits do not count for ever."""
    assert after(60.0, 0.1) == FACTOR * 0.1


def test_single_slow_sources_do_not_raise_it() -> None:
    """One wait in a hundred may be long, not more."""
    hedging = HedgingDelay()
    for number in range(WAITS_KEPT):
        hedging.observe(5.0 if number % 128 == 0 else 0.1)
    assert hedging.seconds == FACTOR * 0.1
    for number in range(WAITS_KEPT):
        hedging.observe(0.5 if number % 16 == 0 else 0.1)
    assert hedging.seconds == FACTOR * 0.5
