"""What every implementation of the catalog must do when chunks move; a part of its contract."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import pytest_twisted

from tests.catalog.objects import (
    NODES,
    PLACEMENT,
    id_of,
    if_absent,
    if_match,
    manifest_of,
    objects_by_placement,
)
from twisted_store.catalog.catalog import Catalog
from twisted_store.catalog.entries import Entry, KnownNode, Totals
from twisted_store.core.ids import NodeId, Placement
from twisted_store.core.moves import Group, MovableObject
from twisted_store.core.reasons import NO_REASONS, Reason, Reasons
from twisted_store.core.scheme import Scheme
from twisted_store.core.versions import DeadVersion, Version
from twisted_store.errors import PreconditionFailedError

REASONS = Reasons((Reason(NodeId("1" * 16), 0.25, "among the least filled"),))
MOVED = Reasons((Reason(NODES[5], 0.5, "took chunk 2: it was on no node"),))


def put(placement: Placement, index: int, node_id: NodeId | None) -> Placement:
    """The placement with that chunk elsewhere."""
    return (*placement[:index], node_id, *placement[index + 1 :])


def left(index: int, node_id: NodeId, width: int = 5) -> Placement:
    """Just that chunk."""
    return put((None,) * width, index, node_id)


A = manifest_of("a", 1)
FIRST = put(PLACEMENT, 2, NODES[5])
SECOND = put(FIRST, 3, NODES[6])


async def reasons_of(catalog: Catalog, name: str) -> Reasons:
    """Those of an object that is there."""
    explained = await catalog.explain(name)
    assert explained is not None
    return explained.reasons


class MoveContract:
    """The fixtures `catalog` and `reopen` are those of the whole contract."""

    @pytest_twisted.ensureDeferred
    async def test_a_move_changes_where_the_chunks_are(self, catalog: Catalog) -> None:
        """By a commit of its own; the object is the same one, and nobody counts it twice."""
        await catalog.commit(A, PLACEMENT, auto=False)
        await catalog.commit(manifest_of("b", 2), PLACEMENT, auto=False)
        assert await catalog.move(A, PLACEMENT, FIRST) == 3
        assert catalog.sequence == 3
        entry = Entry(A, FIRST, 3, auto=False)
        assert await catalog.get("a") == entry
        assert await catalog.find([id_of(1)]) == {id_of(1): entry}
        assert catalog.totals == Totals(2, 200)
        assert await objects_by_placement(catalog) == {PLACEMENT: 1, FIRST: 1}
        assert [file.name for file in (await catalog.list("", "", "", 9)).files] == ["a", "b"]

    @pytest_twisted.ensureDeferred
    async def test_what_a_move_leaves_behind_dies_after_the_object_itself(
        self, catalog: Catalog
    ) -> None:
        """Chunks that only the old placement had; those that were nowhere need no word."""
        await catalog.commit(A, PLACEMENT)
        await catalog.move(A, PLACEMENT, FIRST)
        moved = Version(id_of(1), FIRST)
        assert await catalog.dead_work(0, 9) == (
            DeadVersion(2, Version(id_of(1), left(2, NODES[2])), moved),
        )
        assert await catalog.dying([id_of(1)]) == {id_of(1)}
        await catalog.dead_done([2])
        hole = put(FIRST, 0, None)
        await catalog.commit(manifest_of("b", 2), hole)
        await catalog.move(manifest_of("b", 2), hole, put(hole, 0, NODES[8]))
        assert await catalog.dead_work(0, 9) == ()

    @pytest_twisted.ensureDeferred
    async def test_a_move_can_make_an_object_wider(self, catalog: Catalog) -> None:
        """With another scheme in its manifest; nothing of it is left behind."""
        await catalog.commit(A, PLACEMENT)
        wider, target = replace(A, scheme=Scheme.PARITY_2), NODES[:7]
        assert await catalog.move(wider, PLACEMENT, target) == 2
        assert await catalog.get("a") == Entry(wider, target, 2)
        assert await catalog.dead_work(0, 9) == ()
        assert await objects_by_placement(catalog) == {target: 1}

    @pytest_twisted.ensureDeferred
    async def test_what_a_wider_object_leaves_behind_is_as_wide(self, catalog: Catalog) -> None:
        """So that its scheme can be told."""
        await catalog.commit(A, PLACEMENT)
        target = put(NODES[:7], 0, NODES[9])
        await catalog.move(replace(A, scheme=Scheme.PARITY_2), PLACEMENT, target)
        [dead] = await catalog.dead_work(0, 9)
        assert dead.version.placement == left(0, NODES[0], width=7)
        assert dead.successor == Version(id_of(1), target)

    @pytest_twisted.ensureDeferred
    async def test_a_move_that_was_overtaken_changes_nothing(self, catalog: Catalog) -> None:
        """By another move, an overwrite or a delete, whatever was made meanwhile."""
        await catalog.commit(A, PLACEMENT)
        assert await catalog.move(A, FIRST, SECOND) is None
        await catalog.move(A, PLACEMENT, FIRST)
        assert await catalog.move(A, PLACEMENT, put(PLACEMENT, 4, NODES[7])) is None
        await catalog.commit(manifest_of("a", 2), FIRST)
        assert await catalog.move(A, FIRST, SECOND) is None
        await catalog.delete("a")
        before = await catalog.dead_work(0, 9)
        assert await catalog.move(manifest_of("a", 2), FIRST, SECOND) is None
        assert await catalog.move(manifest_of("b", 3), FIRST, SECOND) is None
        assert (catalog.sequence, await catalog.dead_work(0, 9)) == (4, before)
        assert await catalog.groups() == ()

    @pytest_twisted.ensureDeferred
    async def test_no_chunk_goes_where_it_is_about_to_die(self, catalog: Catalog) -> None:
        """The node would hear of its end after it was written again; other chunks may go there."""
        await catalog.commit(A, PLACEMENT)
        await catalog.move(A, PLACEMENT, FIRST)
        assert await catalog.move(A, FIRST, PLACEMENT) is None
        assert await catalog.move(A, FIRST, put(FIRST, 4, NODES[2])) == 3
        await catalog.dead_done([2, 3])
        back = put(put(FIRST, 4, NODES[4]), 2, NODES[2])
        assert await catalog.move(A, put(FIRST, 4, NODES[2]), back) == 4

    @pytest_twisted.ensureDeferred
    async def test_what_was_left_behind_follows_later_moves(self, catalog: Catalog) -> None:
        """Its successor is the object where it is now: the chunks it had between may be dead."""
        await catalog.commit(A, PLACEMENT)
        await catalog.move(A, PLACEMENT, FIRST)
        await catalog.move(A, FIRST, SECOND)
        now = Version(id_of(1), SECOND)
        assert await catalog.dead_work(0, 9) == (
            DeadVersion(2, Version(id_of(1), left(2, NODES[2])), now),
            DeadVersion(3, Version(id_of(1), left(3, NODES[3])), now),
        )

    @pytest_twisted.ensureDeferred
    async def test_p2_the_predecessors_of_an_object_follow_its_moves(
        self, catalog: Catalog
    ) -> None:
        """They wait for chunks that are there, not for those that have left."""
        await catalog.commit(manifest_of("a", 9), NODES[5:])
        await catalog.commit(A, PLACEMENT)
        await catalog.move(A, PLACEMENT, FIRST)
        first, second = await catalog.dead_work(0, 9)
        assert first == DeadVersion(2, Version(id_of(9), NODES[5:]), Version(id_of(1), FIRST))
        assert second.successor == first.successor

    @pytest_twisted.ensureDeferred
    async def test_an_overwrite_after_a_move_is_the_successor_of_all(
        self, catalog: Catalog
    ) -> None:
        """What was left behind need not wait for an object that is dead itself."""
        await catalog.commit(A, PLACEMENT)
        await catalog.move(A, PLACEMENT, FIRST)
        await catalog.commit(manifest_of("a", 2), NODES[5:])
        successor = Version(id_of(2), NODES[5:])
        assert await catalog.dead_work(0, 9) == (
            DeadVersion(2, Version(id_of(1), left(2, NODES[2])), successor),
            DeadVersion(3, Version(id_of(1), FIRST), successor),
        )

    @pytest_twisted.ensureDeferred
    async def test_a_delete_after_a_move_leaves_no_successor(self, catalog: Catalog) -> None:
        """All may die at once."""
        await catalog.commit(A, PLACEMENT)
        await catalog.move(A, PLACEMENT, FIRST)
        deleted = await catalog.delete("a")
        assert deleted.entry == Entry(A, FIRST, 2)
        assert await catalog.dead_work(0, 9) == (
            DeadVersion(2, Version(id_of(1), left(2, NODES[2])), None),
            DeadVersion(3, Version(id_of(1), FIRST), None),
        )
        assert (await catalog.groups(), catalog.totals) == ((), Totals(0, 0))

    @pytest_twisted.ensureDeferred
    async def test_clients_notice_nothing_of_a_move(self, catalog: Catalog) -> None:
        """Promise P4: what they have seen is still what is there."""
        await catalog.commit(A, PLACEMENT)
        await catalog.move(A, PLACEMENT, FIRST)
        with pytest.raises(PreconditionFailedError):
            await catalog.commit(manifest_of("a", 2), PLACEMENT, if_absent())
        committed = await catalog.commit(manifest_of("a", 2), PLACEMENT, if_match("e1"))
        assert (committed.sequence, committed.replaced) == (3, True)

    @pytest.mark.parametrize("had", [REASONS, NO_REASONS])
    @pytest_twisted.ensureDeferred
    async def test_reasons_are_kept_or_replaced(self, catalog: Catalog, had: Reasons) -> None:
        """As the move says; those that others share stay theirs."""
        await catalog.commit(A, PLACEMENT, reasons=had)
        await catalog.commit(manifest_of("b", 2), PLACEMENT, reasons=had)
        await catalog.move(A, PLACEMENT, FIRST)
        assert await reasons_of(catalog, "a") == had
        await catalog.move(A, FIRST, SECOND, MOVED)
        assert await reasons_of(catalog, "a") == MOVED
        await catalog.move(A, SECOND, put(SECOND, 4, NODES[7]))
        assert await reasons_of(catalog, "a") == MOVED
        assert await reasons_of(catalog, "b") == had

    @pytest_twisted.ensureDeferred
    async def test_groups_say_how_much_there_is(self, catalog: Catalog) -> None:
        """Objects, and the sum of a chunk of each; those that asked for a scheme apart."""
        for number, (size_bytes, auto) in enumerate([(0, True), (11, True), (1000, False)]):
            manifest = manifest_of(str(number), number, size_bytes)
            await catalog.commit(manifest, PLACEMENT, auto=auto)
        assert await sizes(catalog) == {(PLACEMENT, True): (2, 3), (PLACEMENT, False): (1, 200)}
        await catalog.move(manifest_of("1", 1, 11), PLACEMENT, FIRST)
        assert await sizes(catalog) == {
            (PLACEMENT, True): (1, 0),
            (FIRST, True): (1, 3),
            (PLACEMENT, False): (1, 200),
        }
        await catalog.commit(manifest_of("2", 5, 21), FIRST)
        await catalog.delete("0")
        assert await sizes(catalog) == {(FIRST, True): (2, 8)}

    @pytest_twisted.ensureDeferred
    async def test_what_a_group_counts_goes_to_nothing_with_its_last_object(
        self, catalog: Catalog
    ) -> None:
        """Whatever the sizes, of files whose length was known or not."""
        unit_bytes = 256 * 1024
        for number in range(40):
            manifest = replace(
                manifest_of(str(number), number, number * 123_457), unit_bytes=unit_bytes
            )
            await catalog.commit(manifest, PLACEMENT)
            [group] = await catalog.groups()
            assert (group.objects, group.chunk_bytes) == (1, manifest.chunk_bytes(0))
            await catalog.delete(str(number))
        await catalog.commit(manifest_of("last", 99, 0), PLACEMENT)
        assert await sizes(catalog) == {(PLACEMENT, True): (1, 0)}

    @pytest_twisted.ensureDeferred
    async def test_movable_objects_are_read_in_pages(self, catalog: Catalog) -> None:
        """In order of their commits, each with its reasons; of that placement only."""
        for number in range(5):
            manifest = manifest_of(str(number), number)
            placement = FIRST if number == 3 else PLACEMENT
            await catalog.commit(manifest, placement, reasons=REASONS if number else NO_REASONS)
        [group] = [group for group in await catalog.groups() if group.placement == PLACEMENT]
        first = await catalog.movable(group.placement_id, 0, 2)
        assert first == (
            MovableObject(manifest_of("0", 0), PLACEMENT, 1, NO_REASONS, frozenset()),
            MovableObject(manifest_of("1", 1), PLACEMENT, 2, REASONS, frozenset()),
        )
        rest = await catalog.movable(group.placement_id, 2, 9)
        assert [found.sequence for found in rest] == [3, 5]
        assert await catalog.movable(group.placement_id, 5, 9) == ()
        assert await catalog.movable(12345, 0, 9) == ()

    @pytest_twisted.ensureDeferred
    async def test_a_movable_object_names_the_nodes_that_it_leaves(self, catalog: Catalog) -> None:
        """Until they know of it; those of earlier versions of the name are no concern of it."""
        await catalog.commit(manifest_of("a", 9), NODES[5:])
        await catalog.commit(A, PLACEMENT)
        await catalog.move(A, PLACEMENT, FIRST)
        await catalog.move(A, FIRST, SECOND)

        async def leaving() -> frozenset[NodeId]:
            [group] = await catalog.groups()
            [found] = await catalog.movable(group.placement_id, 0, 9)
            assert (found.placement, found.sequence) == (SECOND, 4)
            return found.leaving

        assert await leaving() == {NODES[2], NODES[3]}
        await catalog.dead_done([3])
        assert await leaving() == {NODES[3]}
        await catalog.dead_done([4])
        assert await leaving() == frozenset()

    @pytest_twisted.ensureDeferred
    async def test_what_is_said_of_nodes_is_remembered(self, reopen: Callable[[], Catalog]) -> None:
        """And taken back, across restarts; a node can be forgotten, whoever it was."""
        catalog = reopen()
        node = KnownNode(NODES[0], "http://a:1", "z", 10, 1, 1)
        flags = [
            replace(node, zone_named=True),
            replace(node, lost=True),
            replace(node, draining=True),
            replace(node, zone_named=True, lost=True, draining=True),
            node,
        ]
        for flagged in flags:
            await catalog.save_node(flagged)
            assert catalog.known_nodes() == (flagged,)
        other = KnownNode(NODES[1], "http://b:1", "z", 10, 1, 1, draining=True)
        await catalog.save_node(other)
        await catalog.forget_node(NODES[0])
        await catalog.forget_node(NODES[7])
        await catalog.close()
        again = reopen()
        assert again.known_nodes() == (other,)
        await again.close()

    @pytest_twisted.ensureDeferred
    async def test_settings_are_remembered(self, reopen: Callable[[], Catalog]) -> None:
        """The last value of each, that there is no limit too; moves are there as well."""
        catalog = reopen()
        assert catalog.settings() == {}
        for name, value in [("a", 1), ("b", 2**62), ("a", 0), ("b", None), ("c", 7)]:
            await catalog.save_setting(name, value)
        await catalog.commit(A, PLACEMENT)
        await catalog.move(A, PLACEMENT, FIRST, MOVED)
        groups = await catalog.groups()
        await catalog.close()
        again = reopen()
        assert again.settings() == {"a": 0, "b": None, "c": 7}
        assert (again.sequence, again.synced_sequence) == (2, 2)
        assert await again.get("a") == Entry(A, FIRST, 2)
        assert (await again.groups(), await reasons_of(again, "a")) == (groups, MOVED)
        assert await again.move(A, FIRST, SECOND) == 3
        await again.close()


async def sizes(catalog: Catalog) -> dict[tuple[Placement, bool], tuple[int, int]]:
    """Objects and bytes of the groups, by placement and whether they follow the nodes."""
    groups: tuple[Group, ...] = await catalog.groups()
    return {(group.placement, group.auto): (group.objects, group.chunk_bytes) for group in groups}
