"""Tests of `twisted_store.node_client.watchdog`."""

import pytest
from twisted.internet.task import Clock

from twisted_store.node_client.watchdog import Watchdog

SECONDS = 10.0


class Watched:
    """A watchdog, its clock, and how often it called."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.stalls = 0
        self.watchdog = Watchdog(self.clock, SECONDS, self._count)

    def _count(self) -> None:
        self.stalls += 1

    def wait(self, seconds: float) -> None:
        """Let time pass as in a process that runs."""
        self.clock.pump([0.25] * int(seconds / 0.25))


@pytest.fixture
def watched() -> Watched:
    """One that watches."""
    watched = Watched()
    watched.watchdog.watch()
    return watched


def test_a_peer_without_progress_has_stalled(watched: Watched) -> None:
    """Once, however long it goes on."""
    watched.wait(SECONDS - 0.25)
    assert (watched.stalls, watched.watchdog.stalled) == (0, False)
    watched.wait(3 * SECONDS)
    assert (watched.stalls, watched.watchdog.stalled) == (1, True)


def test_progress_gives_all_the_time_anew(watched: Watched) -> None:
    """The deadline is on progress."""
    watched.wait(SECONDS - 1)
    watched.watchdog.progress()
    watched.wait(SECONDS - 1)
    assert watched.stalls == 0
    watched.wait(1)
    assert watched.stalls == 1


def test_a_peer_that_owes_nothing_may_take_its_time(watched: Watched) -> None:
    """Nor does progress begin a watch."""
    watched.watchdog.rest()
    watched.watchdog.progress()
    watched.wait(3 * SECONDS)
    assert watched.stalls == 0


def test_time_in_which_this_process_stood_still_does_not_count(watched: Watched) -> None:
    """After a suspension the peer has its time again, though not for ever."""
    watched.clock.advance(100 * SECONDS)
    watched.wait(SECONDS - 1)
    assert watched.stalls == 0
    watched.wait(1)
    assert watched.stalls == 1
