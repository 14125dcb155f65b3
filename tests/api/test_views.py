"""What the api tells as JSON."""

from typing import Any

import pytest

from tests.catalog.objects import manifest_of
from tests.cluster.test_members import GIB, World
from twisted_store.api.views import (
    file_view,
    losses_view,
    nodes_view,
    page_view,
    readiness_view,
)
from twisted_store.catalog.entries import ListedObject, Page
from twisted_store.cluster.member import Member
from twisted_store.cluster.members import Members
from twisted_store.core.ids import NodeId, Placement
from twisted_store.core.moves import Group
from twisted_store.core.peer import Peer
from twisted_store.core.scheme import Scheme

CREATED = "2023-11-14T22:13:20.000007Z"


def members_of(up: int, silent: int = 0) -> Members:
    """So many nodes that are up, and so many not heard of since the start."""
    known = [
        Member(Peer(NodeId(f"{number:016x}"), f"http://node{number}"), f"zone{number}", GIB)
        for number in range(up + silent)
    ]
    world = World(known=known)
    for number in range(up):
        world.hear(number)
    return world.members


def test_a_file_is_described_for_its_sender() -> None:
    """Times in UTC, with all that is known of them."""
    assert file_view(manifest_of("a/b", 7)) == {
        "name": "a/b",
        "size": 100,
        "etag": "e7",
        "content_type": "text/plain",
        "modified": CREATED,
    }


def test_a_page_tells_where_the_next_one_begins() -> None:
    """Or that there is none."""
    page = Page((ListedObject("a", 1, "e", 1_700_000_000_000_007),), ("b/",), "b/")
    assert page_view(page) == {
        "files": [{"name": "a", "size": 1, "etag": "e", "modified": CREATED}],
        "prefixes": ["b/"],
        "next": "b/",
    }
    assert page_view(Page((), (), None))["next"] is None


@pytest.mark.parametrize(
    ("up", "silent", "ready", "codes"),
    [
        (0, 0, False, ["too_few_nodes"]),
        (4, 1, False, ["node_suspect", "too_few_nodes"]),
        (5, 0, True, ["no_spare_node"]),
        (5, 1, True, ["node_suspect", "no_spare_node"]),
        (6, 0, True, []),
    ],
)
def test_p11_readiness_has_reasons(up: int, silent: int, ready: bool, codes: list[str]) -> None:
    """For programs; the messages are for people."""
    view = readiness_view(members_of(up, silent).status(), Scheme.PLAIN)
    assert view["ready"] == ready
    assert [reason["code"] for reason in view["reasons"]] == codes
    assert all(reason["message"] for reason in view["reasons"])


def test_p11_full_nodes_are_reported_and_take_nothing() -> None:
    """Five that are up are too few when one of them is full."""
    world = World()
    for number in range(5):
        world.hear(number, capacity_bytes=1000, used_bytes=1000 if number == 0 else 10)
    view = readiness_view(world.members.status(), Scheme.PLAIN)
    assert not view["ready"]
    assert [reason["code"] for reason in view["reasons"]] == ["node_full", "too_few_nodes"]


def test_the_nodes_are_told_with_their_fill() -> None:
    """And what all of them can take."""
    world = World()
    for number in range(6):
        world.hear(number, capacity_bytes=1000, used_bytes=500)
    view = nodes_view(world.members, Scheme.PLAIN)
    assert (view["spread"], view["capacity_bytes"], view["usable_bytes"]) == (0, 6000, 6000)
    assert {(node["fill"], node["membership"]) for node in view["nodes"]} == {(0.5, "up")}


def test_an_empty_cluster_has_a_view_too() -> None:
    """Before the first node came."""
    view: dict[str, Any] = nodes_view(members_of(0), Scheme.PLAIN)
    assert (view["nodes"], view["spread"], view["usable_bytes"]) == ([], 0, 0)


def test_a_node_without_capacity_is_full() -> None:
    """Rather than a division by zero."""
    world = World()
    world.hear(1, capacity_bytes=0)
    assert nodes_view(world.members, Scheme.PLAIN)["nodes"][0]["fill"] == 1.0


@pytest.mark.parametrize(
    ("scheme", "up", "codes"),
    [
        (Scheme.PARITY_2, 5, ["redundancy_reduced", "no_spare_node"]),
        (Scheme.PARITY_2, 6, ["redundancy_reduced"]),
        (Scheme.PARITY_2, 7, []),
        (Scheme.PARITY_1, 4, ["too_few_nodes"]),
        (Scheme.COPIES, 6, []),
    ],
)
def test_p1_less_redundancy_than_wanted_is_reported(
    scheme: Scheme, up: int, codes: list[str]
) -> None:
    """Files are taken all the same, as long as there are 5 nodes."""
    view = readiness_view(members_of(up).status(), scheme)
    assert (view["ready"], [reason["code"] for reason in view["reasons"]]) == (up >= 5, codes)


@pytest.mark.parametrize(
    ("up", "survived"), [(5, "5 chunks and survive no loss: 5+2"), (6, "the loss of any 1 node:")]
)
def test_p1_what_new_files_survive_is_told(up: int, survived: str) -> None:
    """In words, with what it would take."""
    reason = readiness_view(members_of(up).status(), Scheme.PARITY_2)["reasons"][0]
    assert survived in reason["message"]
    assert f"wants 7 nodes with room, {up} are up" in reason["message"]


@pytest.mark.parametrize(
    ("scheme", "zones", "together"),
    [
        (Scheme.PARITY_2, "abababa", 4),
        (Scheme.PARITY_2, "aaaabcd", 4),
        (Scheme.PARITY_2, "aaaaaaaa", 7),
        (Scheme.PARITY_2, "aabbccd", None),
        (Scheme.PARITY_1, "abcdef", None),
        (Scheme.PARITY_1, "abcdee", 2),
        (Scheme.COPIES, "abcdd", 2),
        (Scheme.COPIES, "abcde", None),
        (Scheme.PLAIN, "aaaaaa", None),
    ],
)
def test_p7_what_no_host_may_be_lost_of_is_reported(
    scheme: Scheme, zones: str, together: int | None
) -> None:
    """Zones may be too few, or too small but for one; without parity nothing is new in it."""
    world = World()
    for number, zone in enumerate(zones):
        world.hear(number, zone=zone)
    view = readiness_view(world.members.status(), scheme)
    found = [each for each in view["reasons"] if each["code"] == "host_not_survived"]
    assert view["ready"]
    assert [f"{together} at least are in one zone" in each["message"] for each in found] == (
        [] if together is None else [True]
    )


def test_objects_are_counted_by_what_they_survive() -> None:
    """Holes count, and the scheme is known by the number of chunks."""
    nodes = tuple(NodeId(f"{number:016x}") for number in range(7))
    placements: list[tuple[Placement, int]] = [(nodes, 4), ((*nodes[1:], nodes[0]), 2)]
    placements += [((*nodes[:5], None, nodes[6]), 3), (nodes[:5], 10)]
    placements += [((*nodes[:5], *nodes[1:5], nodes[0]), 20)]
    groups = [
        Group(number, placement, True, objects, 0)
        for number, (placement, objects) in enumerate(placements)
    ]
    survived = {"0": 10, "1": 23, "2": 6}
    assert losses_view(groups, nodes) == {"objects_by_losses_survived": survived}
    survived = {"-1": 10, "0": 23, "1": 6}
    assert losses_view(groups, nodes[1:]) == {"objects_by_losses_survived": survived}


def test_the_room_depends_on_the_scheme() -> None:
    """Parity and copies take theirs."""
    world = World()
    for number in range(10):
        world.hear(number, capacity_bytes=8400, used_bytes=0)
    rooms = [nodes_view(world.members, scheme)["usable_bytes"] for scheme in Scheme]
    assert rooms == [84_000, 70_000, 60_000, 52_500, 42_000]
