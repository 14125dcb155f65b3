"""Nodes are made even, drained and forgotten; jobs are steered, all in simulated time."""

import pytest

from tests.simulation.healing import LOST_AFTER_SECONDS, LOST_SECONDS, Patient, patient
from twisted_store.simulation.disk import MemoryDisk
from twisted_store.storage.disk import Disk, OsDisk

MIB = 2**20
DISK_BYTES = 40 * MIB
SMALL = 100_000


def small_disk(role: str) -> Disk:
    """Room for some files."""
    return OsDisk() if role == "api" else MemoryDisk(DISK_BYTES)


def fill_to(run: Patient, part: float) -> None:
    """Store files until nodes are as full as that."""
    number = 0
    while max(node["fill"] for node in run.state()["nodes"]) < part:
        run.put(f"file{number}", 600_000 + 50_000 * (number % 7))
        number += 1
    run.pass_time(5)


def fills(run: Patient) -> list[float]:
    """Of all nodes."""
    return [node["fill"] for node in run.state()["nodes"]]


def moved_bytes(run: Patient) -> int:
    """By rebalancing."""
    moved: int = run.job("rebalance")["moved"].get("rebalance", {"bytes": 0})["bytes"]
    return moved


def test_p8_a_cluster_is_made_even_when_an_empty_node_joins() -> None:
    """Seven nodes 40 % full: the spread falls below 2 %, and no more moves than has to."""
    with patient(7, disk=small_disk, dead_grace_seconds=20.0) as run:
        fill_to(run, 0.4)
        before = sum(node["used_bytes"] for node in run.state()["nodes"])
        run.cluster.add_node()
        run.pass_time(10)
        run.heal()
        run.pass_time(60)  # until what was moved is reclaimed at its old place
        state = run.state()
        assert state["spread"] < 0.02, state["nodes"]
        assert moved_bytes(run) <= 1.1 * before / 8
        run.check_reads()
        run.check_chunks()


def test_a_cluster_that_is_nearly_even_is_left_alone_until_it_is_asked_for() -> None:
    """Small differences are not worth moving anything."""
    with patient(7, disk=small_disk, dead_grace_seconds=20.0) as run:
        fill_to(run, 0.05)
        run.cluster.add_node()
        run.pass_time(60)
        assert moved_bytes(run) == 0
        job = run.call("POST", "/jobs/rebalance", {"start": True}).json
        assert job["queued"]["rebalance"]["bytes"] > 0
        run.pass_time(5)
        run.heal()
        run.pass_time(60)
        assert run.state()["spread"] < 0.02
        run.check_reads()


def test_a_paused_job_rests_and_stays_paused_over_a_restart() -> None:
    """Until an operator lets it go on."""
    with patient(8) as run:
        run.put_some(4)
        assert run.call("POST", "/jobs/repair", {"paused": True}).json["state"] == "paused"
        run.cluster.stop("api")
        run.cluster.start_api()
        run.cluster.kill("node1")
        run.pass_time(2 * LOST_SECONDS)
        job = run.job()
        assert (job["state"], job["moved"]) == ("paused", {})
        assert job["queued"]["lost"]["objects"] > 0
        run.call("POST", "/jobs/repair", {"paused": False})
        run.pass_time(5)
        run.heal()
        assert run.survived() == {"2": 4}


@pytest.mark.parametrize("way", ["drain", "loss"])
def test_the_throttle_holds_over_any_ten_seconds(way: str) -> None:
    """Bytes of chunks that are made, whether copied or decoded."""
    rate_bytes = MIB // 4
    with patient(8, move_rate_bytes=rate_bytes) as run:
        for number in range(8):
            run.put(f"file{number}", 30 * rate_bytes)
        if way == "drain":
            run.drain("node1")
        else:
            run.cluster.kill("node1")
            run.pass_time(LOST_AFTER_SECONDS)
        run.pass_time(13)
        for _ in range(3):
            rate = run.job()["rate_bytes"]
            assert rate == pytest.approx(rate_bytes, rel=0.1)
            run.pass_time(3)
        run.call("POST", "/jobs/repair", {"rate_bytes_max": rate_bytes * 2})
        run.pass_time(11)
        assert run.job()["rate_bytes"] == pytest.approx(2 * rate_bytes, rel=0.1)


def test_a_drained_node_can_be_forgotten_and_nobody_misses_it() -> None:
    """Not while files need it, nor while it runs; a new start of it is that of a new node."""
    with patient(8) as run:
        run.put_some(6)
        run.put("plain", SMALL, "5+0")
        node_id = run.node_id("node2")
        assert run.call("DELETE", f"/nodes/{node_id}").json["error"] == "node_needed"
        assert run.drain("node2").json["draining"]
        run.pass_time(5)
        run.heal()
        assert all("node2" not in run.holders(name) for name in run.files)
        run.put("late", SMALL)
        assert "node2" not in run.holders("late")
        run.pass_time(60)
        run.cluster.stop("node2")
        run.pass_time(20)
        assert run.call("DELETE", f"/nodes/{node_id}").status == 204
        assert "node2" not in run.memberships()
        run.check_reads()
        run.cluster.start_node("node2")
        run.pass_time(30)
        assert run.memberships()["node2"] == "up"
        run.check_chunks()


def test_a_drain_that_is_undone_stops() -> None:
    """What was moved stays where it is."""
    with patient(8, move_rate_bytes=MIB) as run:
        for number in range(16):
            run.put(f"file{number}", 3 * MIB)
        run.drain("node2")
        run.pass_time(3)
        assert run.job()["state"] == "running"
        run.drain("node2", draining=False)
        run.pass_time(15)
        run.heal()
        assert any("node2" in run.holders(name) for name in run.files)
        run.check_reads()
        run.check_chunks()


def test_a_lost_node_is_forgotten_once_nothing_is_to_be_repaired() -> None:
    """With seven nodes a file has chunks on all of them, and none can be made anew."""
    with patient(7) as run:
        run.put_some(3)
        node_id = run.node_id("node2")
        run.cluster.kill("node2")
        run.pass_time(30)
        assert run.call("DELETE", f"/nodes/{node_id}").status == 409
        run.pass_time(LOST_SECONDS)
        assert run.survived() == {"1": 3}
        assert run.call("DELETE", f"/nodes/{node_id}").status == 204
        assert run.survived() == {"1": 3}
        run.check_reads()
        run.cluster.add_node()
        run.pass_time(10)
        run.heal()
        assert run.survived() == {"2": 3}
        run.cluster.start_node("node2")
        run.pass_time(30)
        run.check_reads()
        run.check_chunks()


def test_it_is_told_whether_a_node_can_be_stopped() -> None:
    """With parity any, while all others are up; never one that a file cannot do without."""
    with patient(8) as run:
        run.put("a", SMALL)
        path = f"/nodes/{run.node_id('node1')}/safe-to-stop"
        assert run.calls.call("GET", path).status == 200
        run.put("plain", SMALL, "5+0")
        holders = [name for name in run.holders("plain") if name]
        answer = run.calls.call("GET", f"/nodes/{run.node_id(holders[0])}/safe-to-stop")
        assert answer.status == 412
        assert [each["code"] for each in answer.json["reasons"]] == ["files_unreadable"]
        assert run.calls.call("GET", f"/nodes/{'0' * 16}/safe-to-stop").status == 404
        for name in [name for name in run.cluster.services if name not in ("api", "node1")][:3]:
            run.cluster.kill(name)
        run.pass_time(20)
        codes = {each["code"] for each in run.calls.call("GET", path).json["reasons"]}
        assert "too_few_nodes" in codes


def test_an_operator_ends_a_doubt_by_saying_which_nodes_are_gone() -> None:
    """Three of nine are silent at once, so none is lost; with two of them forgotten one may be."""
    with patient(9) as run:
        run.put("a", SMALL, "5+3")
        ids = {name: run.node_id(name) for name in ("node0", "node1", "node2")}
        for name in ids:
            run.cluster.kill(name)
        run.pass_time(2 * LOST_SECONDS)
        assert run.job()["state"] == "halted"
        assert run.call("DELETE", f"/nodes/{ids['node0']}").status == 409
        assert run.call("DELETE", f"/nodes/{ids['node0']}?gone=maybe").status == 400
        assert run.call("DELETE", f"/nodes/{ids['node0']}?gone=true").status == 204
        run.pass_time(10)
        assert {run.memberships()[name] for name in ("node1", "node2")} == {"lost"}
        run.check_reads()
        for _ in range(2):
            run.cluster.add_node()
        run.pass_time(10)
        run.heal()
        assert run.survived() == {"3": 1}
        run.check_reads()
        run.check_chunks()
