"""Where chunks are, or would go, and why, as JSON."""

from dataclasses import replace

from tests.api.test_views import members_of
from tests.catalog.objects import PLACEMENT, manifest_of
from tests.cluster.test_members import World
from twisted_store.api.explain_view import dry_run_view, explain_view
from twisted_store.catalog.entries import Entry, Explained
from twisted_store.core.ids import NodeId, Placement
from twisted_store.core.layout import placement_of
from twisted_store.core.reasons import NO_REASONS, Reason, Reasons
from twisted_store.core.scheme import Scheme

NODES = tuple(NodeId(f"{number:016x}") for number in range(8))


def explained(
    placement: Placement, scheme: Scheme, reasons: Reasons = NO_REASONS, size_bytes: int = 7
) -> Explained:
    """An object of that placement."""
    manifest = replace(manifest_of("a", 1, size_bytes=size_bytes), scheme=scheme)
    return Explained(Entry(manifest, placement, 1), reasons)


def test_p0_a_file_is_explained_chunk_by_chunk() -> None:
    """Sizes differ by one byte at most."""
    view = explain_view(explained(NODES[:5], Scheme.PLAIN), members_of(5))
    assert [chunk["bytes"] for chunk in view["chunks"]] == [2, 2, 1, 1, 1]
    assert [chunk["node_id"] for chunk in view["chunks"]] == list(NODES[:5])
    third = view["chunks"][3]
    assert (third["url"], third["zone"], third["kind"]) == ("http://node3", "zone3", "data")


def test_holes_are_shown_as_such() -> None:
    """With what they cost."""
    placement = placement_of(Scheme.PARITY_2, NODES[:6])
    view = explain_view(explained(placement, Scheme.PARITY_2), members_of(7))
    assert view["chunks"][6] == {"index": 6, "kind": "parity", "bytes": 2, "hole": True}
    assert (view["chunks_wanted"], view["chunks_present"], view["losses_survived"]) == (7, 6, 1)


def test_what_is_reachable_now_is_told_apart() -> None:
    """A node that is silent keeps its chunk, which cannot be read now."""
    placement = placement_of(Scheme.PARITY_2, NODES[:7])
    view = explain_view(explained(placement, Scheme.PARITY_2), members_of(5, silent=2))
    assert (view["chunks_present"], view["chunks_reachable"]) == (7, 5)
    assert (view["losses_survived"], view["losses_survived_now"]) == (2, 0)
    assert view["chunks"][6]["membership"] == "suspect"


def test_the_stored_reasons_are_told() -> None:
    """Of the nodes that were chosen, of the others, and what became of it."""
    considered = tuple(Reason(node_id, 0.5, f"why {node_id[-1]}") for node_id in NODES[:6])
    reasons = Reasons(considered, ("Chunk 4 went elsewhere.",))
    view = explain_view(explained(NODES[:5], Scheme.PLAIN, reasons), members_of(6))
    assert [chunk["reason"] for chunk in view["chunks"]] == [f"why {i}" for i in range(5)]
    assert view["skipped"] == [{"node_id": NODES[5], "fill": 0.5, "reason": "why 5"}]
    assert view["changes"] == ["Chunk 4 went elsewhere."]


def test_a_node_that_was_never_heard_of_is_explained_as_unknown() -> None:
    """A row that names it came from elsewhere."""
    view = explain_view(explained(PLACEMENT, Scheme.PLAIN), members_of(4))
    assert (view["chunks"][4]["membership"], view["chunks_reachable"]) == ("unknown", 4)


def test_a_host_with_too_many_chunks_is_noted() -> None:
    """By their zones."""
    view = explain_view(explained(NODES[:7], Scheme.PARITY_2), members_of(8))
    assert view["note"] == ""
    world = World()
    for number in range(8):
        world.hear(number, zone=f"host{number // 3}")
    view = explain_view(explained(NODES[:7], Scheme.PARITY_2), world.members)
    assert "any 2 nodes, not of a host" in view["note"]


def test_a_dry_run_shows_every_node() -> None:
    """Those that take a chunk, by how much they fill, and why the others do not."""
    members = members_of(8)
    decision = members.preview(2**20, Scheme.PARITY_2)
    view = dry_run_view(5 * 2**20, Scheme.PARITY_2, decision, members)
    assert (view["chunks_present"], view["losses_survived"]) == (7, 2)
    taking = [node for node in view["nodes"] if node["chunks"]]
    assert sorted(index for node in taking for index in node["chunks"]) == list(range(7))
    assert all(node["fill_after"] > node["fill_before"] for node in taking)
    [other] = [node for node in view["nodes"] if not node["chunks"]]
    assert (other["reason"], other["fill_after"]) == ("filled more than those chosen", 0.0)


def test_a_dry_run_of_copies_puts_two_chunks_on_a_node() -> None:
    """Never both copies of one."""
    members = members_of(6)
    decision = members.preview(2**20, Scheme.COPIES)
    view = dry_run_view(5 * 2**20, Scheme.COPIES, decision, members)
    pairs = [node["chunks"] for node in view["nodes"] if node["chunks"]]
    assert len(pairs) == 5
    assert all(len(pair) == 2 and pair[0] % 5 != pair[1] % 5 for pair in pairs)
