"""Lost nodes, seen from outside: what they held is made anew, and nobody reads a wrong byte."""

import pytest

from tests.simulation.healing import LOST_SECONDS, Patient, patient
from twisted_store.core.ids import ChunkId
from twisted_store.simulation.setting import API

SMALL = 20_000


def lose(run: Patient, *names: str) -> None:
    """Kill nodes for good, one after the other is declared lost."""
    for name in names:
        run.cluster.kill(name)
        run.pass_time(LOST_SECONDS)


def test_p7_a_lost_node_is_made_good_elsewhere() -> None:
    """All files are at their target again, chunk by chunk, without a word of anybody."""
    with patient(8) as run:
        run.put_some(12)
        lose(run, "node3")
        run.heal()
        assert run.memberships()["node3"] == "lost"
        assert run.survived() == {"2": 12}
        assert run.job()["moved"]["lost"]["objects"] > 0
        run.check_reads()
        run.check_chunks()


def test_p7_losses_one_after_the_other_are_healed_as_far_as_nodes_allow() -> None:
    """Of eight nodes three: six chunks on five nodes cannot be, five are what is left."""
    with patient(8) as run:
        run.put_some(8)
        for number, survived in enumerate((2, 1, 0)):
            lose(run, f"node{number}")
            run.heal()
            assert run.survived() == {str(survived): 8}
            run.check_reads()
        run.check_chunks()
        assert run.job()["state"] == "idle"


@pytest.mark.parametrize(("scheme", "nodes"), [("5+1", 7), ("5+3", 9), ("5x2", 6)])
def test_each_scheme_heals_what_it_lost(scheme: str, nodes: int) -> None:
    """With one node to spare; the copies of a chunk stay apart."""
    with patient(nodes) as run:
        for number in range(4):
            run.put(f"file{number}", SMALL * number, scheme)
        before = run.survived()
        lose(run, "node1")
        run.heal()
        assert run.survived() == before
        run.check_reads()
        run.check_chunks()


def test_without_a_spare_node_a_fixed_scheme_waits_for_one() -> None:
    """It is told what is missing, and goes on as soon as a node joins."""
    with patient(7) as run:
        run.put("a", SMALL, "5+2")
        lose(run, "node0")
        job = run.job()
        assert (job["state"], job["queued"]) == ("waiting", {})
        assert job["blocked"]["lost"]["objects"] == 1
        codes = [each["code"] for each in run.calls.call("GET", "/health/ready").json["reasons"]]
        assert "repair_blocked" in codes
        run.cluster.add_node()
        run.pass_time(10)
        run.heal()
        assert run.survived() == {"2": 1}
        run.check_reads()
        run.check_chunks()


def test_p8_files_are_upgraded_when_nodes_join() -> None:
    """From 5+0 to 5+1 and 5+2; those whose upload asked for a scheme stay as they are."""
    with patient(5) as run:
        run.put_some(5)
        run.put("plain", SMALL, "5+0")
        assert run.survived() == {"0": 6}
        for survived in ("1", "2"):
            run.cluster.add_node()
            run.pass_time(10)
            run.heal()
            assert run.survived() == {"0": 1, survived: 5}
        where = run.calls.call("GET", "/explain/file1").json
        assert (where["scheme"], len(where["chunks"])) == ("5+2", 7)
        run.check_reads()
        run.check_chunks()
        lose(run, "node0")
        run.calls.call("DELETE", "/files/plain")
        del run.files["plain"]
        run.check_reads()


def test_a_node_joins_during_repair() -> None:
    """And takes its part of what is made."""
    with patient(8, move_rate_bytes=2**20) as run:
        run.put_some(6, 4_000_000)
        run.cluster.kill("node2")
        run.pass_time(65)
        run.cluster.add_node()
        run.heal()
        assert run.survived() == {"2": 6}
        run.check_reads()
        run.check_chunks()


def test_a_second_loss_during_repair() -> None:
    """What is most endangered goes first; both are made good."""
    with patient(9, move_rate_bytes=2**19) as run:
        run.put_some(8, 4_000_000)
        run.cluster.kill("node2")
        run.pass_time(70)
        run.cluster.kill("node5")
        run.check_reads()
        run.pass_time(LOST_SECONDS)
        run.heal()
        assert run.survived() == {"2": 8}
        run.check_reads()
        run.check_chunks()


def test_a_returning_node_brings_what_is_needed_and_loses_what_is_stale() -> None:
    """One file was made good without it, one could not be, one was deleted, one overwritten."""
    with patient(8) as run:
        run.put("healed", SMALL)
        run.put("deleted", SMALL)
        run.put("overwritten", SMALL)
        run.cluster.kill("node1")
        run.pass_time(LOST_SECONDS)
        run.heal()
        run.calls.call("DELETE", "/files/deleted")
        del run.files["deleted"]
        run.put("overwritten", SMALL)
        for name in ("node2", "node3"):  # now some chunk of each has no place
            lose(run, name)
            run.heal()
        run.put("late", SMALL)
        run.cluster.start_node("node1")
        run.cluster.start_node("node2")
        run.pass_time(30)
        run.heal()
        assert run.memberships()["node1"] == "up"
        assert run.survived() == {"2": 3}
        run.check_reads()
        run.check_chunks()


def test_a_returning_node_that_lacks_a_chunk_is_found_out() -> None:
    """Somebody removed a file from its disk while it was away, and nobody has read it since."""
    with patient(7, needle_bytes_max=0) as run:
        run.put("a", SMALL, "5+2")
        run.pass_time(10)
        run.cluster.kill("node4")
        run.pass_time(LOST_SECONDS)
        index = run.holders("a").index("node4")
        chunk_id = run.chunk_id("a", index)
        shard = f"/data/chunks/{chunk_id.object_id[-2:]}"
        run.cluster.disk("node4").remove(f"{shard}/{chunk_id}.confirmed")
        run.cluster.start_node("node4")
        run.pass_time(60)
        run.heal()
        assert run.survived() == {"2": 1}
        run.check_reads()
        run.check_chunks()


def test_p9_a_chunk_that_is_gone_is_made_anew_when_it_is_missed() -> None:
    """A reader finds out, and is served by others."""
    with patient(8, needle_bytes_max=0) as run:
        run.put("a", SMALL)
        name = run.holders("a")[2]
        chunk_id = run.chunk_id("a", 2)
        run.pass_time(10)
        disk = run.cluster.disk(name)
        disk.remove(f"/data/chunks/{chunk_id.object_id[-2:]}/{chunk_id}.confirmed")
        run.check_reads()
        run.pass_time(10)
        run.heal()
        assert run.survived() == {"2": 1}
        run.check_chunks()


def test_p9_rot_is_found_set_aside_and_made_anew() -> None:
    """Some chunks of one node, by its scrub alone."""
    with patient(8, scrub_rate_bytes=2**24) as run:
        run.put_some(10)
        victims = [
            ChunkId(run.chunk_id(name, 0).object_id, run.holders(name).index("node6"))
            for name in run.files
            if "node6" in run.holders(name) and name != "file0"
        ]
        run.pass_time(10)
        for chunk_id in victims[:3]:
            run.cluster.corrupt("node6", chunk_id, 0)
        run.pass_time(200)
        run.heal()
        assert run.job()["moved"]["hole"]["objects"] == 3
        assert run.survived() == {"2": 10}
        run.check_reads()
        run.check_chunks()


def test_all_nodes_silent_at_once_are_not_lost() -> None:
    """It is rather the api that is cut off; nothing is repaired, and health says so."""
    with patient(8) as run:
        run.put_some(4)
        run.cluster.partition(API)
        run.pass_time(900)
        run.cluster.heal()
        memberships = run.memberships()
        assert "lost" not in memberships.values()
        assert run.job()["state"] == "halted"
        codes = [each["code"] for each in run.calls.call("GET", "/health/ready").json["reasons"]]
        assert "repair_halted" in codes
        run.pass_time(30)
        assert set(run.memberships().values()) == {"up"}
        assert run.job() == run.job() | {"state": "idle", "moved": {}}
        run.check_reads()


def test_a_suspended_observer_declares_nobody_lost() -> None:
    """It heard nobody because it stood still."""
    with patient(8) as run:
        run.put_some(2)
        run.cluster.pause(API)
        run.pass_time(600)
        run.cluster.resume(API)
        run.pass_time(30)
        assert set(run.memberships().values()) == {"up"}
        assert run.job()["moved"] == {}


def test_a_named_zone_that_falls_silent_is_not_lost() -> None:
    """Two nodes of one rack: a switch, most probably."""
    with patient(8, zones={"node0": "rack", "node1": "rack"}) as run:
        run.put_some(2)
        run.cluster.kill("node0")
        run.cluster.kill("node1")
        run.pass_time(900)
        assert [run.memberships()[name] for name in ("node0", "node1")] == ["suspect", "suspect"]
        assert run.job()["state"] == "halted"
        run.cluster.start_node("node1")
        run.pass_time(30)
        assert run.memberships()["node0"] == "lost"
        run.heal()
        assert run.survived() == {"2": 2}
        run.check_reads()


def test_hours_of_a_cluster_in_which_nodes_come_and_go(full: bool) -> None:
    """A node dies every twenty minutes, another one comes back or joins; nothing is ever lost."""
    with patient(9, seed=5) as run:
        run.put_some(6, 500_000)
        away: list[str] = []
        for hour in range(24 if full else 2):
            victim = run.cluster.random.choice(sorted(set(run.cluster.services) - {API}))
            run.cluster.kill(victim)
            away.append(victim)
            run.pass_time(600)
            run.heal()
            assert run.survived() == {"2": 6 + hour}
            run.put(f"hour{hour}", SMALL)
            if len(away) > 1:
                run.cluster.start_node(away.pop(0))
            else:
                run.cluster.add_node()
            run.pass_time(600)
            run.check_reads()
        run.check_chunks()
