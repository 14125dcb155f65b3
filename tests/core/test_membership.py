"""Tests of `twisted_store.core.membership`."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twisted_store.core.ids import NodeId
from twisted_store.core.membership import (
    CALM_SECONDS,
    FAILURES_FREE,
    HOLD_SECONDS_FIRST,
    HOLD_SECONDS_MAX,
    TOGETHER_SECONDS,
    Losses,
    Membership,
    NodeHealth,
    ObservedTime,
    Presence,
    Verdict,
    judge_losses,
    many_fail,
    verdict,
)

SUSPECT_AFTER_SECONDS = 15.0
LOST_AFTER_SECONDS = 600.0
WELL, SILENT, GONE = 1.0, SUSPECT_AFTER_SECONDS + 1, LOST_AFTER_SECONDS + 1
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


SOUND = heartbeat(NodeHealth(), 0.0).probed(0.0)


def test_a_new_node_is_suspect_until_a_probe_succeeded() -> None:
    """That it can call the api does not prove that the api can call it."""
    assert judge(NodeHealth(), 0.0) == suspect("no heartbeat yet")
    heard = heartbeat(NodeHealth(), 0.0)
    assert judge(heard, 0.0) == suspect("not probed yet")
    assert judge(heard.probed(0.0), 0.0) == UP


def test_a_message_that_becomes_a_reason_loses_its_full_stop() -> None:
    """It is put into other sentences, which end with one of their own."""
    failed = SOUND.failed("Node 7 failed: Connection refused.", 0.0)
    assert judge(failed, 0.0) == suspect("Node 7 failed: Connection refused")


def test_a_probe_alone_makes_no_node_up() -> None:
    """Without heartbeats nobody knows its fill and its disk."""
    assert judge(NodeHealth().probed(0.0), 0.0) == suspect("no heartbeat yet")


def test_a_node_is_suspect_once_it_was_silent_for_too_long() -> None:
    """The limit itself is still in time."""
    assert judge(SOUND, 15.0) == UP
    assert judge(SOUND, 17.2) == suspect("silent for 17 s")


def test_a_node_that_was_silent_is_probed_before_it_is_up() -> None:
    """A heartbeat ends the silence, not the doubt."""
    returned = heartbeat(SOUND, 40.0)
    assert judge(returned, 40.0) == suspect("silent for 40 s before its last heartbeat")
    assert judge(heartbeat(returned, 45.0), 45.0).membership is Membership.SUSPECT
    assert judge(returned.probed(0.0), 41.0) == UP


def test_a_probe_does_not_break_the_silence() -> None:
    """A node that answers but cannot reach the api would be up and suspect by turns."""
    assert judge(SOUND.probed(0.0), 17.0) == suspect("silent for 17 s")


def test_a_failure_on_the_data_path_makes_a_node_suspect_at_once() -> None:
    """Heartbeats do not help it, a successful probe does."""
    failed = SOUND.failed("connection refused", 0.0)
    assert judge(failed, 0.1) == suspect("connection refused")
    assert judge(heartbeat(failed, 1.0), 1.0) == suspect("connection refused")
    assert judge(heartbeat(failed, 1.0).probed(0.0), 1.0) == UP


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
    assert not SOUND.failed("broken pipe", 0.0).prompt(1.0, SUSPECT_AFTER_SECONDS)
    assert not NodeHealth().probed(0.0).prompt(1.0, SUSPECT_AFTER_SECONDS)
    slow = heartbeat(SOUND.stalled(), 1.0)
    assert (judge(slow, 1.0), slow.prompt(1.0, SUSPECT_AFTER_SECONDS)) == (UP, False)
    assert slow.probed(0.0).prompt(1.0, SUSPECT_AFTER_SECONDS)


def test_observed_time_follows_a_punctual_observer() -> None:
    """Small delays of the ticks are time like any other."""
    observed = ObservedTime(tick_seconds=2.0, now_seconds=100.0)
    assert [observed.tick(now) for now in (102.0, 105.5, 106.0)] == [2.0, 5.5, 6.0]


def test_a_suspended_observer_declares_nobody_silent() -> None:
    """It slept for an hour and heard no one, which is its own fault."""
    observed = ObservedTime(tick_seconds=2.0, now_seconds=0.0)
    health = heartbeat(NodeHealth(), observed.seconds).probed(0.0)
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


@pytest.mark.parametrize(
    ("health", "expected"),
    [
        (SOUND, suspect("what it holds is being compared with the catalog")),
        (SOUND.failed("broken pipe", 0.0), Verdict(Membership.LOST, "broken pipe")),
        (NodeHealth(), Verdict(Membership.LOST, "no heartbeat yet")),
        (heartbeat(SOUND, 1.0, read_only=True), Verdict(Membership.LOST, "read only")),
    ],
)
def test_a_lost_node_is_lost_until_it_is_well_and_then_suspect(
    health: NodeHealth, expected: Verdict
) -> None:
    """Never up: what it holds was given up, and may be dead by now."""
    assert verdict(health, 1.0, SUSPECT_AFTER_SECONDS, lost=True) == expected


def flapped(times: int, every_seconds: float = 1.0) -> tuple[NodeHealth, float]:
    """A node that failed so many times and answered a probe each time, and the time of that."""
    health, now = SOUND, 0.0
    for _ in range(times):
        now += every_seconds
        health = heartbeat(health, now).failed("broken pipe", now).probed(now)
    return health, now


def held_seconds(health: NodeHealth, now: float) -> float:
    """For how long a node is not trusted from ``now`` on."""
    return max(health.held_until_seconds - now, 0.0)


@pytest.mark.parametrize(
    ("times", "seconds"),
    [(0, 0), (1, 0), (FAILURES_FREE, 0), (4, 15), (5, 30), (6, 60), (7, 120), (8, 240), (9, 240)],
)
def test_a_node_that_fails_again_and_again_is_held_back_for_longer(
    times: int, seconds: float
) -> None:
    """Twice as long each time, up to the bound; the first ones cost nothing."""
    assert held_seconds(*flapped(times)) == seconds


def test_the_bound_of_the_hold_stands_whatever_the_count() -> None:
    """A node can fail reads for hours while it answers each probe."""
    health, now = flapped(3000, 0.1)
    assert held_seconds(health, now) == pytest.approx(HOLD_SECONDS_MAX)


def test_a_node_that_is_held_back_says_so_until_its_time_is_over() -> None:
    """It can be read meanwhile."""
    health, now = flapped(FAILURES_FREE + 1)
    end = now + HOLD_SECONDS_FIRST
    assert judge(health, now + 5.0) == suspect("failed 4 times, held back for 10 s more")
    assert health.prompt(now + 5.0, SUSPECT_AFTER_SECONDS)
    assert judge(heartbeat(health, end), end - 0.1).membership is Membership.SUSPECT
    assert judge(heartbeat(health, end), end) == UP


def test_failures_that_are_far_apart_are_first_ones() -> None:
    """Calm is counted from the last failure; the bound itself is not calm yet."""
    assert flapped(9, CALM_SECONDS + 1)[0].failed_times == 1
    assert flapped(9, CALM_SECONDS)[0].failed_times == 9
    assert held_seconds(*flapped(9, CALM_SECONDS + 1)) == 0


def test_one_failure_counts_once_however_many_notice_it() -> None:
    """Readers and writers fail together; only the doubt that a probe has ended can come anew."""
    health = SOUND
    for now in range(20):
        health = health.failed("broken pipe", float(now))
    assert (health.failed_times, health.doubted_seconds, health.failed_seconds) == (1, 0.0, 0.0)
    assert held_seconds(health.probed(20.0), 20.0) == 0


def test_a_silence_counts_as_a_failure_when_it_ends() -> None:
    """A node whose network comes and goes is held back like one whose calls fail."""
    health, now = SOUND, 0.0
    for _ in range(FAILURES_FREE + 1):
        now += SUSPECT_AFTER_SECONDS + 1
        health = heartbeat(health, now).probed(now)
    assert held_seconds(health, now) == HOLD_SECONDS_FIRST


def test_a_probe_without_a_doubt_does_not_lengthen_the_hold() -> None:
    """A slow node is probed although nothing failed."""
    health, now = flapped(FAILURES_FREE + 1)
    later = health.stalled().probed(now + 10)
    assert later.held_until_seconds == health.held_until_seconds


@pytest.mark.parametrize(
    ("health", "absent_seconds"),
    [
        (SOUND, 100.0),
        (heartbeat(SOUND, 98.0).probed(98.0), 2.0),
        (NodeHealth(), 100.0),
        (NodeHealth(doubted_seconds=70.0), 100.0),
        (heartbeat(NodeHealth(doubted_seconds=70.0), 99.0), 30.0),
        (heartbeat(SOUND.failed("broken pipe", 40.0), 98.0), 60.0),
        (heartbeat(SOUND, 98.0, disk_call_seconds=55.0).probed(98.0), 55.0),
        (heartbeat(heartbeat(SOUND, 98.0), 99.0, read_only=True).probed(99.0), 1.0),
        (replace(heartbeat(SOUND, 99.0).probed(99.0), held_until_seconds=900.0), 1.0),
    ],
)
def test_a_node_is_absent_while_nothing_can_be_had_of_it(
    health: NodeHealth, absent_seconds: float
) -> None:
    """Silent, in doubt or stuck at its disk; one that takes nothing new is there all the same."""
    assert health.absent_seconds(100.0) == absent_seconds


def cluster(*absent: float, zones: str = "", named: bool = True) -> list[Presence]:
    """Nodes that were absent for so long; a letter of ``zones`` is the zone of each."""
    letters = zones or "".join(chr(ord("a") + number) for number in range(len(absent)))
    return [
        Presence(NodeId(f"{number:016x}"), zone, named, seconds)
        for number, (seconds, zone) in enumerate(zip(absent, letters, strict=True))
    ]


def losses(nodes: list[Presence], planned: int = 2) -> Losses:
    """The decision."""
    return judge_losses(nodes, SUSPECT_AFTER_SECONDS, LOST_AFTER_SECONDS, planned)


def numbers(decision: Losses) -> list[int]:
    """The lost ones."""
    assert not decision.doubt
    return sorted(int(node_id, 16) for node_id in decision.node_ids)


def test_p7_a_node_is_lost_once_it_was_absent_for_too_long() -> None:
    """The limit itself is still in time; who is merely silent is not lost."""
    nodes = cluster(GONE, WELL, LOST_AFTER_SECONDS, WELL, WELL, WELL, WELL)
    assert numbers(losses(nodes)) == [0]
    assert numbers(losses(cluster(*[WELL] * 7))) == []
    assert losses([]) == Losses()


@pytest.mark.parametrize(
    ("nodes", "silent", "planned", "doubted"),
    [
        (7, 2, 2, False),
        (7, 3, 2, True),
        (6, 1, 1, False),
        (6, 2, 1, True),
        (5, 1, 0, False),
        (5, 2, 0, True),
        (4, 1, 0, True),
        (20, 4, 2, False),
        (20, 5, 2, True),
        (100, 20, 2, False),
        (100, 21, 2, True),
    ],
)
def test_p7_nobody_is_lost_when_too_many_fall_silent(
    nodes: int, silent: int, planned: int, doubted: bool
) -> None:
    """More than the scheme can lose, and more than a fifth: rather the observer is cut off."""
    absent = [GONE] * silent + [WELL] * (nodes - silent)
    decision = losses(cluster(*absent), planned)
    assert bool(decision.doubt) == doubted
    assert len(decision.node_ids) == (0 if doubted else silent)
    if doubted:
        assert decision.doubt == f"{silent} of {nodes} nodes are silent at once"


def test_p7_those_who_just_fell_silent_count_for_the_doubt() -> None:
    """The first of them would be lost before the last is."""
    assert losses(cluster(GONE, SILENT, SILENT, *[WELL] * 4)).doubt
    at_the_limit = cluster(GONE, SUSPECT_AFTER_SECONDS, SUSPECT_AFTER_SECONDS, *[WELL] * 4)
    assert numbers(losses(at_the_limit)) == [0]


@pytest.mark.parametrize(
    ("zones", "absent", "doubt"),
    [
        ("aabbccdd", (GONE, SILENT), "all 2 nodes of zone a are silent at once"),
        ("abbbbbbb", (GONE, GONE), ""),
        ("aaabbbbb", (GONE, GONE), ""),
        ("abcdefgh", (GONE, GONE), ""),
    ],
)
def test_p7_nobody_is_lost_when_a_whole_zone_falls_silent(
    zones: str, absent: tuple[float, ...], doubt: str
) -> None:
    """Power or a switch: it will be back. A zone of one node is that node."""
    decision = losses(cluster(*absent, *[WELL] * 6, zones=zones))
    assert decision.doubt == doubt
    assert bool(decision.node_ids) != bool(doubt)


def test_a_zone_that_nobody_named_is_no_reason_to_wait() -> None:
    """It is the machine by default: when that dies its nodes are lost."""
    nodes = cluster(GONE, GONE, *[WELL] * 6, zones="aabbccdd", named=False)
    assert numbers(losses(nodes)) == [0, 1]


@given(
    absent=st.lists(st.floats(0, 2 * LOST_AFTER_SECONDS), max_size=12),
    zones=st.text("abc", min_size=12, max_size=12),
    planned=st.integers(0, 3),
)
def test_p7_who_is_lost_was_absent_and_is_one_of_few(
    absent: list[float], zones: str, planned: int
) -> None:
    """Whatever is seen; and a doubt spares everybody."""
    nodes = cluster(*absent, zones=zones[: len(absent)])
    decision = losses(nodes, planned)
    gone = {node.node_id for node in nodes if node.absent_seconds > LOST_AFTER_SECONDS}
    assert decision.node_ids == (frozenset() if decision.doubt else gone)
    assert len(decision.node_ids) <= max(planned, 0.2 * len(nodes))


def test_p7_an_observer_that_stood_still_loses_nobody() -> None:
    """However long it slept: it could not have heard them."""
    observed = ObservedTime(tick_seconds=1.0, now_seconds=0.0)
    health = heartbeat(NodeHealth(), observed.seconds).probed(0.0)
    observed.tick(10 * LOST_AFTER_SECONDS)
    nodes = cluster(*[health.absent_seconds(observed.seconds)] * 7)
    assert losses(nodes) == Losses()


@pytest.mark.parametrize(
    ("failing", "nodes", "many"), [(1, 5, False), (2, 8, True), (2, 10, False)]
)
def test_a_node_is_not_held_back_for_what_all_do(failing: int, nodes: int, many: bool) -> None:
    """When the network of the api fails, all nodes seem to."""
    health, now = flapped(FAILURES_FREE)
    doubted = health.failed("broken pipe", now)
    others = [doubted] * failing + [SOUND] * (nodes - failing)
    assert many_fail(others, now) is many
    assert (held_seconds(doubted.probed(now, many), now) == 0) is many
    assert not many_fail(others, now + TOGETHER_SECONDS)
