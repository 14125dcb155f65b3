"""What would be missed without a node: before it is stopped, and before it is forgotten."""

import pytest

from tests.cluster.moving import GIB, NODES, MovingWorld
from twisted_store.api.safety import objections_to_stop, reasons_to_keep
from twisted_store.core.ids import Placement
from twisted_store.core.membership import NodeHealth
from twisted_store.core.moves import Group

FULL: Placement = NODES[:7]
PLAIN: Placement = NODES[:5]
COPIES: Placement = (*NODES[:5], *NODES[1:5], NODES[0])
GONE = NodeHealth(heard_seconds=-1000.0, doubt="")


def group(placement: Placement, objects: int = 3, auto: bool = False) -> Group:
    """Some objects there."""
    return Group(1, placement, auto, objects, 100)


def codes(world: MovingWorld, number: int, *groups: Group) -> list[str]:
    """Why a node should not be stopped."""
    found = objections_to_stop(NODES[number], groups, world.members.status())
    assert all(str(each["message"]).endswith(".") for each in found)
    return [each["code"] for each in found]


@pytest.mark.parametrize(
    ("placement", "expected"),
    [
        (FULL, []),
        (COPIES, []),
        (PLAIN, ["files_unreadable"]),
        (NODES[1:6], []),
        ((NODES[0], None, *NODES[2:6], None), ["files_unreadable"]),
        ((NODES[0], None, *NODES[2:7]), []),
    ],
)
def test_a_node_can_be_stopped_if_all_can_be_read_without_it(
    placement: Placement, expected: list[str]
) -> None:
    """By the chunks of other nodes that are up."""
    assert codes(MovingWorld(), 0, group(placement)) == expected


def test_nodes_that_are_away_already_are_not_counted_on() -> None:
    """What cannot be read anyway is no reason to keep a node up."""
    world = MovingWorld()
    world.change(1, health=GONE)
    world.change(2, health=GONE)
    assert codes(world, 0, group(FULL)) == ["files_unreadable"]
    assert codes(world, 1, group(FULL)) == []
    assert codes(world, 0, group(PLAIN)) == []


@pytest.mark.parametrize(
    "changes", [{"health": GONE}, {"draining": True}, {"reported_bytes": GIB}, {"lost": True}]
)
def test_a_node_without_which_nothing_can_be_stored_is_kept(changes: dict[str, object]) -> None:
    """Five others have to take chunks."""
    world = MovingWorld(nodes=6)
    assert codes(world, 0) == []
    world.change(1, **changes)
    assert codes(world, 0) == ["too_few_nodes"]


def kept(world: MovingWorld, number: int, *groups: Group, gone: bool = False) -> list[str]:
    """Why a node must not be forgotten."""
    status = world.members.status_of(NODES[number])
    return reasons_to_keep(status, groups, world.members.standing(), gone)


def test_a_node_that_runs_is_not_forgotten() -> None:
    """It would come back with its next heartbeat, although it is drained and empty."""
    world = MovingWorld()
    world.change(8, draining=True)
    for gone in (False, True):
        [reason] = kept(world, 8, gone=gone)
        assert "stop it first" in reason


def test_a_node_that_is_gone_for_good_is_forgotten_unless_files_depend_on_it() -> None:
    """What others can make anew is repaired without it, also before it counts as lost."""
    world = MovingWorld()
    for lost in (False, True):
        world.change(0, health=GONE, lost=lost)
        assert kept(world, 0, group(FULL, 4), gone=True) == []
        [reason] = kept(world, 0, group(FULL, 4), group(PLAIN, 1), gone=True)
        assert reason == "1 file can only be read when node 0000000000000000 is back."


def test_a_node_with_chunks_is_not_forgotten_before_it_is_lost() -> None:
    """It may be back at any moment."""
    world = MovingWorld()
    world.change(0, health=GONE)
    [reason] = kept(world, 0, group(FULL, 4), group(NODES[2:9], 5))
    assert reason.startswith("4 files still need chunks")
    assert kept(world, 1, group(NODES[2:9])) != []
    world.change(1, health=GONE)
    assert kept(world, 1, group(NODES[2:9])) == []


@pytest.mark.parametrize(
    ("placement", "expected"),
    [
        (FULL, "3 files with chunks on node 0000000000000000 are to be repaired first."),
        (PLAIN, "3 files can only be read when node 0000000000000000 is back."),
        (NODES[1:8], None),
    ],
)
def test_a_lost_node_is_kept_while_somebody_needs_it(
    placement: Placement, expected: str | None
) -> None:
    """To be repaired without it, or to be read at all."""
    world = MovingWorld()
    world.change(0, health=GONE, lost=True)
    assert kept(world, 0, group(placement)) == ([] if expected is None else [expected])


def test_a_lost_node_that_nobody_can_replace_may_be_forgotten() -> None:
    """The files survive with less until there is a spare node."""
    world = MovingWorld(nodes=7)
    world.change(0, health=GONE, lost=True)
    assert kept(world, 0, group(FULL)) == []
