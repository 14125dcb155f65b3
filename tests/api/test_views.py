"""What the api tells as JSON."""

from typing import Any

import pytest

from tests.catalog.objects import PLACEMENT, manifest_of
from tests.cluster.test_members import GIB, World
from twisted_store.api.views import (
    explain_view,
    file_view,
    nodes_view,
    page_view,
    readiness_view,
)
from twisted_store.catalog.entries import Entry, ListedObject, Page
from twisted_store.cluster.members import Member, Members
from twisted_store.core.ids import NodeId
from twisted_store.core.peer import Peer
from twisted_store.errors import NodeFailedError

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


def test_p0_a_file_is_explained_chunk_by_chunk() -> None:
    """Sizes differ by one byte at most."""
    view = explain_view(Entry(manifest_of("a", 1, size_bytes=7), PLACEMENT, 1), members_of(5))
    assert [chunk["bytes"] for chunk in view["chunks"]] == [2, 2, 1, 1, 1]
    assert [chunk["node_id"] for chunk in view["chunks"]] == list(PLACEMENT)
    assert view["chunks"][3]["url"] == "http://node3"


def test_a_hole_is_not_explained() -> None:
    """There is no chunk."""
    placement = (*PLACEMENT[:4], None)
    view = explain_view(Entry(manifest_of("a", 1), placement, 1), members_of(5))
    assert [chunk["index"] for chunk in view["chunks"]] == [0, 1, 2, 3]


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
    view = readiness_view(members_of(up, silent).status())
    assert view["ready"] == ready
    assert [reason["code"] for reason in view["reasons"]] == codes
    assert all(reason["message"] for reason in view["reasons"])


def test_p11_full_nodes_are_reported_and_take_nothing() -> None:
    """Five that are up are too few when one of them is full."""
    world = World()
    for number in range(5):
        world.hear(number, capacity_bytes=1000, used_bytes=1000 if number == 0 else 10)
    view = readiness_view(world.members.status())
    assert not view["ready"]
    assert [reason["code"] for reason in view["reasons"]] == ["node_full", "too_few_nodes"]


def test_the_nodes_are_told_with_their_fill() -> None:
    """And what all of them can take."""
    world = World()
    for number in range(6):
        world.hear(number, capacity_bytes=1000, used_bytes=500)
    view = nodes_view(world.members)
    assert (view["spread"], view["capacity_bytes"], view["usable_bytes"]) == (0, 6000, 6000)
    assert {(node["fill"], node["membership"]) for node in view["nodes"]} == {(0.5, "up")}


def test_an_empty_cluster_has_a_view_too() -> None:
    """Before the first node came."""
    view: dict[str, Any] = nodes_view(members_of(0))
    assert (view["nodes"], view["spread"], view["usable_bytes"]) == ([], 0, 0)


def test_a_node_without_capacity_is_full() -> None:
    """Rather than a division by zero."""
    world = World()
    world.hear(1, capacity_bytes=0)
    assert nodes_view(world.members)["nodes"][0]["fill"] == 1.0


def test_a_node_that_was_never_heard_of_cannot_be_explained() -> None:
    """A row that names it came from elsewhere."""
    with pytest.raises(NodeFailedError, match="not known"):
        explain_view(Entry(manifest_of("a", 1), PLACEMENT, 1), members_of(4))
