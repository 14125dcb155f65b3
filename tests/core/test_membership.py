"""Tests of `twisted_store.core.membership`."""

from hypothesis import given
from hypothesis import strategies as st

from twisted_store.core.membership import (
    Membership,
    NodeHealth,
    ObservedTime,
    Verdict,
    verdict,
)

SUSPECT_AFTER_SECONDS = 15.0
UP = Verdict(Membership.UP)


def suspect(reason: str) -> Verdict:
    """The other verdict."""
    return Verdict(Membership.SUSPECT, reason)


def heartbeat(
    health: NodeHealth, now: float, disk_call_seconds: float = 0.0, read_only: bool = False
) -> NodeHealth:
    """The record after a heartbeat at ``now``."""
    return health.heard(now, SUSPECT_AFTER_SECONDS, disk_call_seconds, read_only)


def judge(health: NodeHealth, now: float) -> Verdict:
    """The verdict at ``now``."""
    return verdict(health, now, SUSPECT_AFTER_SECONDS)


SOUND = heartbeat(NodeHealth(), 0.0).probed()


def test_a_new_node_is_suspect_until_a_probe_succeeded() -> None:
    """That it can call the api does not prove that the api can call it."""
    assert judge(NodeHealth(), 0.0) == suspect("no heartbeat yet")
    heard = heartbeat(NodeHealth(), 0.0)
    assert judge(heard, 0.0) == suspect("not probed yet")
    assert judge(heard.probed(), 0.0) == UP


def test_a_message_that_becomes_a_reason_loses_its_full_stop() -> None:
    """It is put into other sentences, which end with one of their own."""
    failed = SOUND.failed("Node 7 failed: Connection refused.")
    assert judge(failed, 0.0) == suspect("Node 7 failed: Connection refused")


def test_a_probe_alone_makes_no_node_up() -> None:
    """Without heartbeats nobody knows its fill and its disk."""
    assert judge(NodeHealth().probed(), 0.0) == suspect("no heartbeat yet")


def test_a_node_is_suspect_once_it_was_silent_for_too_long() -> None:
    """The limit itself is still in time."""
    assert judge(SOUND, 15.0) == UP
    assert judge(SOUND, 17.2) == suspect("silent for 17 s")


def test_a_node_that_was_silent_is_probed_before_it_is_up() -> None:
    """A heartbeat ends the silence, not the doubt."""
    returned = heartbeat(SOUND, 40.0)
    assert judge(returned, 40.0) == suspect("silent for 40 s before its last heartbeat")
    assert judge(heartbeat(returned, 45.0), 45.0).membership is Membership.SUSPECT
    assert judge(returned.probed(), 41.0) == UP


def test_a_probe_does_not_break_the_silence() -> None:
    """A node that answers but cannot reach the api would be up and suspect by turns."""
    assert judge(SOUND.probed(), 17.0) == suspect("silent for 17 s")


def test_a_failure_on_the_data_path_makes_a_node_suspect_at_once() -> None:
    """Heartbeats do not help it, a successful probe does."""
    failed = SOUND.failed("connection refused")
    assert judge(failed, 0.1) == suspect("connection refused")
    assert judge(heartbeat(failed, 1.0), 1.0) == suspect("connection refused")
    assert judge(heartbeat(failed, 1.0).probed(), 1.0) == UP


def test_a_slow_disk_makes_a_node_suspect_until_it_is_sound_again() -> None:
    """The disk's state is that of the last heartbeat."""
    assert judge(heartbeat(SOUND, 1.0, disk_call_seconds=10.0), 1.0) == UP
    slow = heartbeat(SOUND, 1.0, disk_call_seconds=12.4)
    assert judge(slow, 1.0) == suspect("a disk call takes 12 s already")
    assert judge(heartbeat(slow, 3.0), 3.0) == UP


def test_a_read_only_disk_makes_a_node_suspect() -> None:
    """It serves what it has, but takes nothing new."""
    assert judge(heartbeat(SOUND, 1.0, read_only=True), 1.0) == suspect("read only")


def test_p6_a_node_is_read_first_as_long_as_it_answers_soon() -> None:
    """One that takes no writes can be read well; one that was slow is up, and read last."""
    assert SOUND.prompt(1.0, SUSPECT_AFTER_SECONDS)
    assert heartbeat(SOUND, 1.0, read_only=True).prompt(1.0, SUSPECT_AFTER_SECONDS)
    assert not SOUND.prompt(60.0, SUSPECT_AFTER_SECONDS)
    assert not SOUND.failed("broken pipe").prompt(1.0, SUSPECT_AFTER_SECONDS)
    assert not NodeHealth().probed().prompt(1.0, SUSPECT_AFTER_SECONDS)
    slow = heartbeat(SOUND.stalled(), 1.0)
    assert (judge(slow, 1.0), slow.prompt(1.0, SUSPECT_AFTER_SECONDS)) == (UP, False)
    assert slow.probed().prompt(1.0, SUSPECT_AFTER_SECONDS)


def test_observed_time_follows_a_punctual_observer() -> None:
    """Small delays of the ticks are time like any other."""
    observed = ObservedTime(tick_seconds=2.0, now_seconds=100.0)
    assert [observed.tick(now) for now in (102.0, 105.5, 106.0)] == [2.0, 5.5, 6.0]


def test_a_suspended_observer_declares_nobody_silent() -> None:
    """It slept for an hour and heard no one, which is its own fault."""
    observed = ObservedTime(tick_seconds=2.0, now_seconds=0.0)
    health = heartbeat(NodeHealth(), observed.seconds).probed()
    observed.tick(3600.0)
    assert observed.seconds == 4.0
    assert judge(health, observed.seconds) == UP


@given(st.lists(st.floats(-1e6, 1e6)))
def test_observed_time_never_goes_back_nor_leaps(times: list[float]) -> None:
    """Whatever the clock says."""
    observed = ObservedTime(tick_seconds=2.0, now_seconds=0.0)
    for now in times:
        before = observed.seconds
        assert before <= observed.tick(now) <= before + 4.0
