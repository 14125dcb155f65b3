"""What every implementation of the catalog must do; a subclass says how to open one."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.defer import CancelledError, Deferred, DeferredList

from tests.catalog.objects import (
    OTHER_PLACEMENT,
    PLACEMENT,
    id_of,
    if_absent,
    if_match,
    manifest_of,
    objects_by_placement,
)
from tests.contract.move_contract import MoveContract
from twisted_store.catalog.catalog import Catalog
from twisted_store.catalog.entries import (
    Committed,
    Entry,
    KnownNode,
    ListedObject,
    Page,
    Totals,
)
from twisted_store.core.conditions import Conditions
from twisted_store.core.ids import NodeId
from twisted_store.core.manifest import Manifest
from twisted_store.core.reasons import NO_REASONS, Reason, Reasons
from twisted_store.core.versions import DeadVersion, Version
from twisted_store.errors import ObjectNotFoundError, PreconditionFailedError, StoppingError

REASONS = Reasons((Reason(NodeId("1" * 16), 0.25, "among the least filled"),))

Opener = Callable[[], Catalog]
CLIENTS = 32


class CatalogContract(MoveContract):
    """Subclass it and override the fixture `reopen`."""

    @pytest.fixture
    def reopen(self) -> Opener:
        """Give a function that opens one and the same catalog, which is new at first."""
        raise NotImplementedError

    @pytest.fixture
    def catalog(self, reopen: Opener) -> Iterator[Catalog]:
        """Open a new catalog and close it behind the test."""
        catalog = reopen()
        yield catalog
        pytest_twisted.blockon(Deferred.fromCoroutine(catalog.close()))

    @pytest_twisted.ensureDeferred
    async def test_a_new_catalog_is_empty(self, catalog: Catalog) -> None:
        """Nothing is found before anything is committed."""
        assert await catalog.get("a") is None
        assert await catalog.find([id_of(1)]) == {}
        assert await catalog.list("", "", "", 10) == Page((), (), None)
        assert await catalog.dead_work(0, 10) == ()
        assert catalog.known_nodes() == ()
        assert (catalog.sequence, catalog.totals) == (0, Totals(0, 0))

    @pytest_twisted.ensureDeferred
    async def test_what_is_committed_is_seen_by_every_call(self, catalog: Catalog) -> None:
        """Promise P3: read after write, list after write."""
        manifest = manifest_of("dir/ä", 1)
        committed = await catalog.commit(manifest, PLACEMENT)
        assert committed == Committed(1, manifest.etag, replaced=False)
        entry = Entry(manifest, PLACEMENT, 1)
        assert await catalog.get("dir/ä") == entry
        assert await catalog.find([id_of(1), id_of(2)]) == {id_of(1): entry}
        assert (await catalog.list("", "", "", 10)).files == (listed(manifest),)

    @pytest_twisted.ensureDeferred
    async def test_reasons_are_kept_as_long_as_an_object_has_them(self, catalog: Catalog) -> None:
        """Shared or not, replaced with the object, and unknown where none were given."""
        for name, number in (("a", 1), ("b", 2)):
            await catalog.commit(manifest_of(name, number), PLACEMENT, reasons=REASONS)
        await catalog.commit(manifest_of("c", 3), PLACEMENT)
        explained = [await catalog.explain(name) for name in ("a", "b", "c")]
        assert [each and each.reasons for each in explained] == [REASONS, REASONS, NO_REASONS]
        other = REASONS.changed(["It rained."])
        await catalog.commit(manifest_of("a", 4), OTHER_PLACEMENT, reasons=other)
        shared = await catalog.explain("b")
        assert shared is not None
        assert shared.reasons == REASONS
        await catalog.delete("b")
        replaced = await catalog.explain("a")
        assert replaced is not None
        assert (replaced.reasons, replaced.entry) == (other, await catalog.get("a"))
        assert await catalog.explain("b") is None

    @pytest_twisted.ensureDeferred
    async def test_objects_are_counted_by_placement(self, catalog: Catalog) -> None:
        """Through overwrites, deletes and refusals."""
        assert await catalog.groups() == ()
        for number, name in enumerate("abc"):
            await catalog.commit(manifest_of(name, number), PLACEMENT)
        await catalog.commit(manifest_of("a", 4), OTHER_PLACEMENT, reasons=REASONS)
        await catalog.delete("b")
        with pytest.raises(PreconditionFailedError):
            await catalog.commit(manifest_of("c", 5), OTHER_PLACEMENT, if_absent())
        assert await objects_by_placement(catalog) == {PLACEMENT: 1, OTHER_PLACEMENT: 1}
        await catalog.delete("c")
        assert await objects_by_placement(catalog) == {OTHER_PLACEMENT: 1}

    @pytest_twisted.ensureDeferred
    async def test_holes_of_a_placement_are_kept(self, catalog: Catalog) -> None:
        """A chunk index without a node stays without one."""
        placement = (None, *PLACEMENT[1:4], None)
        await catalog.commit(manifest_of("a", 1), placement)
        entry = await catalog.get("a")
        assert entry is not None
        assert entry.placement == placement

    @pytest_twisted.ensureDeferred
    async def test_an_overwrite_puts_the_old_version_into_the_outbox(
        self, catalog: Catalog
    ) -> None:
        """Nodes must hear which version died, and which one has to be safe before."""
        await catalog.commit(manifest_of("a", 1), PLACEMENT)
        committed = await catalog.commit(manifest_of("a", 2), OTHER_PLACEMENT)
        assert (committed.sequence, committed.replaced) == (2, True)
        assert await catalog.find([id_of(1)]) == {}
        assert await catalog.get("a") == Entry(manifest_of("a", 2), OTHER_PLACEMENT, 2)
        old, new = Version(id_of(1), PLACEMENT), Version(id_of(2), OTHER_PLACEMENT)
        assert await catalog.dead_work(0, 10) == (DeadVersion(2, old, new),)

    @pytest_twisted.ensureDeferred
    async def test_a_delete_leaves_only_the_outbox(self, catalog: Catalog) -> None:
        """The name is free again, and the dead version has no successor."""
        await catalog.commit(manifest_of("a", 1), PLACEMENT)
        deleted = await catalog.delete("a")
        assert deleted.sequence == 2
        assert deleted.entry == Entry(manifest_of("a", 1), PLACEMENT, 1)
        assert await catalog.get("a") is None
        old = Version(id_of(1), PLACEMENT)
        assert await catalog.dead_work(0, 10) == (DeadVersion(2, old, None),)

    @pytest.mark.parametrize("etag", [None, "e1"])
    @pytest_twisted.ensureDeferred
    async def test_deleting_nothing_is_not_found(self, catalog: Catalog, etag: str | None) -> None:
        """RFC 9110 section 13.2.1: 404 goes before the conditions."""
        with pytest.raises(ObjectNotFoundError):
            await catalog.delete("a", if_match(etag))
        assert catalog.sequence == 0

    @pytest_twisted.ensureDeferred
    async def test_the_outbox_is_read_in_pages_and_emptied(self, catalog: Catalog) -> None:
        """In order of the commits, on from any of these, until told that it is done."""
        for number in range(1, 7):
            await catalog.commit(manifest_of("a", number), PLACEMENT)
        assert [dead.sequence for dead in await catalog.dead_work(0, 2)] == [2, 3]
        assert [dead.sequence for dead in await catalog.dead_work(3, 10)] == [4, 5, 6]
        await catalog.dead_done([2, 4])
        await catalog.dead_done([])
        assert [dead.sequence for dead in await catalog.dead_work(0, 10)] == [3, 5, 6]

    @pytest_twisted.ensureDeferred
    async def test_a_version_is_dying_until_its_nodes_are_told(self, catalog: Catalog) -> None:
        """From the commit that ends it until the outbox is rid of it; a current one never is."""
        await catalog.commit(manifest_of("a", 1), PLACEMENT)
        ids = [id_of(1), id_of(2), id_of(3)]
        assert await catalog.dying(ids) == frozenset()
        overwrite = await catalog.commit(manifest_of("a", 2), PLACEMENT)
        assert await catalog.dying(ids) == {id_of(1)}
        await catalog.delete("a")
        assert await catalog.dying(ids) == {id_of(1), id_of(2)}
        await catalog.dead_done([overwrite.sequence])
        assert await catalog.dying(ids) == {id_of(2)}

    @pytest_twisted.ensureDeferred
    async def test_of_concurrent_creates_exactly_one_wins(self, catalog: Catalog) -> None:
        """Promise P4; each loser learns the winner's ETag."""
        results = await together(
            [
                Deferred.fromCoroutine(
                    catalog.commit(manifest_of("a", number), PLACEMENT, if_absent())
                )
                for number in range(CLIENTS)
            ]
        )
        [winner] = [result for result in results if isinstance(result, Committed)]
        losers = [result for result in results if isinstance(result, PreconditionFailedError)]
        assert [loser.etag for loser in losers] == [winner.etag] * (CLIENTS - 1)
        entry = await catalog.get("a")
        assert entry is not None
        assert entry.manifest.etag == winner.etag
        assert catalog.sequence == 1

    @pytest_twisted.ensureDeferred
    async def test_of_concurrent_changes_of_one_version_exactly_one_wins(
        self, catalog: Catalog
    ) -> None:
        """Promise P4 for If-Match: nobody overwrites or deletes what he has not seen."""
        await catalog.commit(manifest_of("a", 1), PLACEMENT)
        seen = if_match("e1")
        results = await together(
            [
                Deferred.fromCoroutine(catalog.commit(manifest_of("a", 2), PLACEMENT, seen)),
                Deferred.fromCoroutine(catalog.commit(manifest_of("a", 3), PLACEMENT, seen)),
            ]
        )
        assert isinstance(results[0], Committed)
        assert isinstance(results[1], PreconditionFailedError)
        assert results[1].etag == "e2"
        with pytest.raises(PreconditionFailedError):
            await catalog.delete("a", seen)

    @pytest_twisted.ensureDeferred
    async def test_a_version_newer_than_the_client_knows_stays(self, catalog: Catalog) -> None:
        """If-Unmodified-Since goes by the time at which the current version was made."""
        manifest = manifest_of("a", 1)
        await catalog.commit(manifest, PLACEMENT)
        before = Conditions(if_unmodified_since=manifest.modified_seconds - 1)
        with pytest.raises(PreconditionFailedError):
            await catalog.delete("a", before)
        with pytest.raises(PreconditionFailedError):
            await catalog.commit(manifest_of("a", 2), PLACEMENT, before)
        await catalog.delete("a", Conditions(if_unmodified_since=manifest.modified_seconds))

    @pytest_twisted.ensureDeferred
    async def test_a_refused_change_fails_its_own_caller_only(self, catalog: Catalog) -> None:
        """Those who wait together do not share their errors."""
        results = await together(
            [
                Deferred.fromCoroutine(catalog.commit(manifest_of("a", 1), PLACEMENT)),
                Deferred.fromCoroutine(catalog.commit(manifest_of("a", 2), PLACEMENT, if_absent())),
                Deferred.fromCoroutine(catalog.delete("missing")),
                Deferred.fromCoroutine(catalog.commit(manifest_of("b", 3), PLACEMENT)),
            ]
        )
        kinds = [type(result) for result in results]
        assert kinds == [Committed, PreconditionFailedError, ObjectNotFoundError, Committed]
        assert catalog.totals == Totals(2, manifest_of("a", 1).size_bytes * 2)

    @pytest_twisted.ensureDeferred
    async def test_totals_follow_every_change(self, catalog: Catalog) -> None:
        """Counted as committed, so that nobody has to count later."""
        await catalog.commit(manifest_of("a", 1, size_bytes=10), PLACEMENT)
        await catalog.commit(manifest_of("b", 2, size_bytes=5), PLACEMENT)
        assert catalog.totals == Totals(2, 15)
        await catalog.commit(manifest_of("a", 3, size_bytes=1), PLACEMENT)
        assert catalog.totals == Totals(2, 6)
        await catalog.delete("b")
        assert catalog.totals == Totals(1, 1)

    @pytest_twisted.ensureDeferred
    async def test_nodes_are_remembered(self, catalog: Catalog) -> None:
        """A node may move and grow; when it first came stays."""
        first = KnownNode(PLACEMENT[0], "http://a:1", "z1", 10, 100, 100)
        second = KnownNode(PLACEMENT[1], "http://b:1", "z2", 10, 200, 200)
        for node in (second, first, KnownNode(first.node_id, "http://c:1", "z3", 20, 300, 300)):
            await catalog.save_node(node)
        moved = KnownNode(first.node_id, "http://c:1", "z3", 20, 100, 300)
        assert catalog.known_nodes() == (moved, second)

    @pytest_twisted.ensureDeferred
    async def test_pages_of_a_listing_follow_one_another(self, catalog: Catalog) -> None:
        """Files and prefixes in one order; ``next`` leads to all that is left."""
        for number, name in enumerate(["b/2", "a", "c", "b/1", "d/e/f"]):
            await catalog.commit(manifest_of(name, number), PLACEMENT)
        first = await catalog.list("", "/", "", 2)
        assert (names(first), first.prefixes, first.next) == (["a"], ("b/",), "b/")
        second = await catalog.list("", "/", "b/", 2)
        assert (names(second), second.prefixes, second.next) == (["c"], ("d/",), None)
        inside = await catalog.list("b/", "/", "", 2)
        assert (names(inside), inside.prefixes, inside.next) == (["b/1", "b/2"], (), None)

    @pytest_twisted.ensureDeferred
    async def test_all_of_it_is_there_after_a_restart(self, reopen: Opener) -> None:
        """The cluster is the same one, the incarnation is new, the sequence goes on."""
        first = reopen()
        await first.commit(manifest_of("a", 1), PLACEMENT)
        await first.commit(manifest_of("a", 2), PLACEMENT)
        await first.close()
        second = reopen()
        assert second.cluster_id == first.cluster_id
        assert second.incarnation == first.incarnation + 1
        assert (second.sequence, second.synced_sequence) == (2, 2)
        assert second.totals == first.totals
        assert await second.get("a") == Entry(manifest_of("a", 2), PLACEMENT, 2)
        assert len(await second.dead_work(0, 10)) == 1
        assert (await second.commit(manifest_of("b", 3), PLACEMENT)).sequence == 3
        await second.close()

    @pytest_twisted.ensureDeferred
    async def test_a_commit_runs_to_its_end_without_its_caller(self, catalog: Catalog) -> None:
        """Promise P4: the client may leave, its commit may not."""
        calls = [
            Deferred.fromCoroutine(catalog.commit(manifest_of(str(number), number), PLACEMENT))
            for number in range(3)
        ]
        for call in calls:
            call.cancel()
        for result in await together(calls):
            assert isinstance(result, Committed | CancelledError)
        await catalog.commit(manifest_of("last", 9), PLACEMENT)
        assert names(await catalog.list("", "", "", 10)) == ["0", "1", "2", "last"]

    @pytest_twisted.ensureDeferred
    async def test_closing_finishes_what_waits_and_takes_no_more(self, reopen: Opener) -> None:
        """Nobody who was taken is left without an answer."""
        catalog = reopen()
        calls = [
            Deferred.fromCoroutine(catalog.commit(manifest_of(str(number), number), PLACEMENT))
            for number in range(CLIENTS)
        ]
        closed = Deferred.fromCoroutine(catalog.close())
        with pytest.raises(StoppingError):
            await catalog.commit(manifest_of("late", 99), PLACEMENT)
        with pytest.raises(StoppingError):
            await catalog.get("late")
        results = await together(calls)
        assert [type(result) for result in results] == [Committed] * CLIENTS
        await closed


async def together(calls: Sequence[Deferred[Any]]) -> list[object]:
    """The result of each call, or the error it raised."""
    results: list[tuple[bool, Any]] = await DeferredList(calls, consumeErrors=True)
    return [result if success else result.value for success, result in results]


def listed(manifest: Manifest) -> ListedObject:
    """The line of a listing for this object."""
    return ListedObject(manifest.name, manifest.size_bytes, manifest.etag, manifest.created_us)


def names(page: Page) -> list[str]:
    """Those of the files on the page."""
    return [file.name for file in page.files]
