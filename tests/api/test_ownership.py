"""What a node hears of its provisional chunks, from a real catalog."""

import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from tests.catalog.objects import NODES, PLACEMENT, manifest_of
from tests.catalog.seams import now, opened
from twisted_store.api.in_flight import InFlight
from twisted_store.api.ownership import Ownership
from twisted_store.catalog.catalog import Catalog
from twisted_store.cluster.sweep import Fates
from twisted_store.core.durability import Durability, DurabilityMode
from twisted_store.core.ids import ChunkId, ObjectId, object_id

NOBODY = Fates([], [])


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    """An empty one, in its first incarnation."""
    catalog = opened(tmp_path / "catalog.db")
    yield catalog
    now(catalog.close())


def ownership(catalog: Catalog) -> tuple[Ownership, InFlight]:
    """That of an api on this catalog."""
    in_flight = InFlight(catalog.incarnation, Random(1))
    return Ownership(catalog, in_flight), in_flight


def rule(catalog: Catalog, chunk_id: ChunkId, node: int = 0) -> Fates:
    """What the node of that number is to do with the chunk."""
    return now(ownership(catalog)[0].rule(NODES[node], [chunk_id]))


def committed(catalog: Catalog, number: int) -> ObjectId:
    """Commit version ``number`` of the object ``a``."""
    manifest = manifest_of("a", number)
    now(catalog.commit(manifest, PLACEMENT))
    return manifest.object_id


def test_a_chunk_of_a_committed_object_is_confirmed_where_it_belongs(catalog: Catalog) -> None:
    """P10: by its index on its node; the same chunk on another node is of no use."""
    first = ChunkId(committed(catalog, 1), 0)
    assert rule(catalog, first) == Fates([first], [])
    assert rule(catalog, first, node=1) == Fates([], [first])
    beyond = ChunkId(first.object_id, 7)
    assert rule(catalog, beyond) == Fates([], [beyond])


def test_a_chunk_of_no_object_is_dropped(catalog: Catalog) -> None:
    """Its upload failed, in this life of the api or an earlier one."""
    chunk_id = ChunkId(object_id(0, 1, 1), 2)
    assert rule(catalog, chunk_id) == Fates([], [chunk_id])


def test_p4_a_chunk_in_flight_is_left_alone(catalog: Catalog) -> None:
    """Its commit may come at any moment, also one that is in doubt."""
    rules, in_flight = ownership(catalog)
    chunk_id = ChunkId(in_flight.begin(), 0)
    assert now(rules.rule(NODES[0], [chunk_id])) == NOBODY
    in_flight.end(chunk_id.object_id)
    assert now(rules.rule(NODES[0], [chunk_id])) == Fates([], [chunk_id])


def test_p2_an_overwritten_version_is_not_dropped_but_declared_dead_in_its_turn(
    catalog: Catalog,
) -> None:
    """Its successor may not be safe yet."""
    old = ChunkId(committed(catalog, 1), 0)
    committed(catalog, 2)
    assert rule(catalog, old) == NOBODY
    [row] = now(catalog.dead_work(0, 10))
    now(catalog.dead_done([row.sequence]))
    assert rule(catalog, old) == Fates([], [old])


def test_p10_a_catalog_that_was_rolled_back_drops_nothing_of_its_later_life(
    catalog: Catalog,
) -> None:
    """What it does not know may have been acknowledged."""
    later = ChunkId(object_id(catalog.incarnation + 1, 1, 1), 0)
    assert rule(catalog, later) == NOBODY


def test_p2_a_commit_that_a_power_loss_may_undo_confirms_nothing(tmp_path: Path) -> None:
    """In relaxed durability, until the sync."""
    relaxed = Durability(DurabilityMode.RELAXED, 1.0)
    catalog = opened(tmp_path / "relaxed.db", relaxed)
    chunk_id = ChunkId(committed(catalog, 1), 0)
    assert rule(catalog, chunk_id) == NOBODY
    now(catalog.close())


def test_a_node_may_ask_about_as_many_chunks_as_fit_into_a_call(catalog: Catalog) -> None:
    """What is done for each does not grow with their number."""
    chunk_ids = [ChunkId(object_id(0, number, 1), 0) for number in range(20_000)]
    before = time.process_time()
    assert now(ownership(catalog)[0].rule(NODES[0], chunk_ids)).drop == chunk_ids
    assert time.process_time() - before < 3
