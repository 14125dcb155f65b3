"""What repair and rebalancing do, as it is told, and as it is counted."""

from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families
from twisted.internet.defer import Deferred

from tests.cluster.moving import NODES, MovingWorld, id_of
from twisted_store.api.cluster_metrics import ClusterCollector
from twisted_store.api.jobs_view import FAILED_SHOWN_MAX, job_view
from twisted_store.api.metrics import Metrics
from twisted_store.cluster.jobs import Job
from twisted_store.core.hedging import HedgingDelay
from twisted_store.core.ids import Placement
from twisted_store.core.moves import Cause

FULL: Placement = NODES[:7]
HOLE: Placement = (None, *NODES[1:7])
CAPACITY_BYTES = 100_000


def view(world: MovingWorld, job: Job = Job.REPAIR) -> dict[str, Any]:
    """What is told of a job."""
    return job_view(
        job,
        world.jobs,
        world.worklist,
        world.setbacks,
        [*world.mover.moving],
        world.losses.doubt,
    )


@pytest.mark.parametrize("job", list(Job))
def test_a_job_without_work_is_idle(job: Job) -> None:
    """And nobody knows when it ends."""
    world = MovingWorld()
    world.rows.add(1, FULL)
    world.look()
    told = view(world, job)
    assert (told["state"], told["reason"], told["bytes_left"]) == ("idle", "", 0)
    assert (told["queued"], told["blocked"], told["moved"], told["failed"]) == ({}, {}, {}, [])
    assert (told["eta_seconds"], told["failed_objects"]) == (None, 0)


def test_repair_tells_what_is_left_and_for_how_long() -> None:
    """By cause, in chunks to be made, at the rate of the last seconds."""
    world = MovingWorld()
    for number in range(3):
        world.rows.add(number, HOLE)
    world.rows.add(9, NODES[:6])
    world.run()
    Deferred.fromCoroutine(world.jobs.take(Cause.HOLE, 100))
    told = view(world)
    assert told["state"] == "running"
    assert told["queued"] == {
        "hole": {"objects": 3, "bytes": 30},
        "upgrade": {"objects": 1, "bytes": 10},
    }
    assert (told["bytes_left"], told["rate_bytes"], told["eta_seconds"]) == (40, 10.0, 4.0)
    world.maker.finish()
    world.look()
    told = view(world)
    assert (told["state"], told["moved"]["hole"]) == ("idle", {"objects": 3, "bytes": 30})
    assert view(world, Job.REBALANCE)["moved"] == {}


def test_repair_that_needs_a_spare_node_waits_for_it() -> None:
    """And says so."""
    world = MovingWorld(nodes=7)
    world.rows.add(1, FULL)
    world.rows.auto = False
    world.change(0, lost=True)
    world.look()
    told = view(world)
    assert (told["state"], told["blocked"]) == ("waiting", {"lost": {"objects": 1, "bytes": 10}})
    assert "spare node" in told["reason"]
    assert view(world, Job.REBALANCE)["state"] == "idle"


def test_a_doubt_halts_and_a_pause_goes_before_it() -> None:
    """The reason is a sentence."""
    world = MovingWorld()
    world.losses.doubt = "3 of 7 nodes are silent at once"
    for job in Job:
        told = view(world, job)
        assert (told["state"], told["reason"]) == ("halted", "3 of 7 nodes are silent at once.")
        Deferred.fromCoroutine(world.jobs.pause(job, True))
        assert (view(world, job)["state"], view(world, job)["reason"]) == ("paused", "")


def test_some_of_the_objects_that_failed_are_named() -> None:
    """With the reason and when they are tried again; all are counted."""
    world = MovingWorld()
    for number in range(FAILED_SHOWN_MAX + 3):
        world.setbacks.add(id_of(number), str(number), Cause.LOST, "It rained.")
    told = view(world)
    assert told["failed_objects"] == FAILED_SHOWN_MAX + 3
    assert len(told["failed"]) == FAILED_SHOWN_MAX
    assert told["failed"][0] == {"name": "0", "reason": "It rained.", "retry_seconds": 5.0}
    assert view(world, Job.REBALANCE)["failed"] == []


def test_rebalancing_tells_the_bytes_that_are_left() -> None:
    """Of objects only those that are under way."""
    world = MovingWorld(nodes=8)
    for number in range(8):
        world.change(number, capacity_bytes=CAPACITY_BYTES)
    for number in range(60):
        world.rows.add(number, FULL, size_bytes=5000)
    world.run()
    told = view(world, Job.REBALANCE)
    assert told["state"] == "running"
    assert told["queued"]["rebalance"]["objects"] == 8
    assert 0 < told["bytes_left"] <= 52_500
    assert view(world)["state"] == "idle"


def samples(world: MovingWorld) -> dict[tuple[str, str], float]:
    """All figures, by name and label, as they are exposed."""
    metrics = Metrics(HedgingDelay())
    metrics.add(ClusterCollector(world.members, world.worklist, world.mover, world.jobs))
    text = metrics.exposition().decode()
    return {
        (sample.name.removeprefix("twisted_store_"), "".join(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_a_cluster_is_counted_for_prometheus() -> None:
    """Nodes, files by safety, work by cause, what was moved and what failed."""
    world = MovingWorld(nodes=9)
    world.rows.add(1, HOLE)
    world.rows.add(2, FULL)
    world.rows.add(3, HOLE)
    world.maker.failing = {"3"}
    world.run()
    found = samples(world)
    assert (found["nodes", "up"], found["nodes", "lost"], found["nodes", "suspect"]) == (9, 0, 0)
    assert (found["objects", "1"], found["objects", "2"]) == (2, 1)
    assert found["move_queued_objects", "hole"] == 2
    assert found["move_queued_bytes", "hole"] == 20
    assert found["moved_objects_total", "hole"] == 0
    world.maker.finish()
    world.change(4, lost=True)
    for number in (0, 7, 8):
        world.change(number, reported_bytes=2**30)
    world.look()
    found = samples(world)
    assert (found["moved_objects_total", "hole"], found["moved_bytes_total", "hole"]) == (1, 10)
    assert found["move_failures_total", ""] == 1
    assert found["nodes", "suspect"] == 1
    assert found["move_blocked_objects", "lost"] >= 1
    assert ("move_rate_bytes", "repair") in found


def test_a_collector_can_be_registered_alone() -> None:
    """It has no names twice."""
    world = MovingWorld()
    registry = CollectorRegistry()
    registry.register(ClusterCollector(world.members, world.worklist, world.mover, world.jobs))
    names = [family.name for family in registry.collect()]
    assert len(set(names)) == len(names)
