"""An older catalog is noticed by the nodes, and the latest one never taken for an older one."""

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.simulation.calls import Calls
from twisted_store.api.service import ApiService
from twisted_store.core.durability import STRICT, Durability, DurabilityMode
from twisted_store.core.striping import DATA_CHUNKS
from twisted_store.node.service import NodeService
from twisted_store.simulation.cluster import NODE_ROOT, SimulatedCluster
from twisted_store.simulation.setting import API, Setting
from twisted_store.storage.contents import chunks_in
from twisted_store.storage.identity import Seen

RELAXED = Durability(DurabilityMode.RELAXED, 5.0)
TOLD_SECONDS = 12.0
"""In so much time a commit is synced, and all its nodes know."""


class Scene:
    """A cluster of as many nodes as a file needs, so that all know of every commit."""

    def __init__(self, cluster: SimulatedCluster, directory: Path) -> None:
        self.cluster = cluster
        self.calls = Calls(cluster)
        self._catalog = directory / "api" / "catalog.sqlite"

    def restart(self) -> None:
        """Stop the api cleanly and start it again."""
        self.cluster.stop(API)
        self.cluster.start_api()

    def back_up(self, copy: Path) -> None:
        """As the documentation says, while the api runs."""
        with (
            closing(sqlite3.connect(self._catalog)) as catalog,
            closing(sqlite3.connect(copy)) as to,
        ):
            catalog.backup(to)

    def put_back(self, copy: Path) -> None:
        """Start the api on that catalog."""
        self.cluster.stop(API)
        shutil.copy(copy, self._catalog)
        self.cluster.start_api()

    def settle(self) -> None:
        """Let the nodes hear what there is to hear."""
        self.cluster.clock.run_for(TOLD_SECONDS)

    def seen(self) -> set[Seen]:
        """What the nodes have seen of the catalog."""
        services = self.cluster.services.values()
        return {each.identity.seen for each in services if isinstance(each, NodeService)}

    def catalog(self) -> Seen:
        """How far the api's own is."""
        api = self.cluster.services[API]
        assert isinstance(api, ApiService)
        return Seen(api.catalog.incarnation, api.catalog.sequence)

    def states(self) -> list[str]:
        """Those of all chunks on the nodes."""
        disks = [self.cluster.disk(name) for name in self.cluster.services if name != API]
        return sorted(
            found.state.value for disk in disks for found in chunks_in(disk, NODE_ROOT).values()
        )

    def alarms(self) -> list[str]:
        """Messages of the nodes that hold the catalog for an older one."""
        reasons = self.calls.call("GET", "/health/ready").json["reasons"]
        return [each["message"] for each in reasons if each["code"] == "catalog_rolled_back"]


@contextmanager
def scene_of(directory: Path, durability: Durability) -> Iterator[Scene]:
    """A scene that ends."""
    setting = Setting(durability=durability)
    with SimulatedCluster(directory, seed=5, nodes=DATA_CHUNKS, setting=setting) as cluster:
        yield Scene(cluster, directory)


@pytest.mark.parametrize("durability", [STRICT, RELAXED], ids=str)
def test_an_api_that_was_restarted_is_obeyed(tmp_path: Path, durability: Durability) -> None:
    """What it says first, of commits from before, and all that follows."""
    with scene_of(tmp_path, durability) as scene:
        for number in (1, 2):
            scene.calls.put("a", b"first")
            scene.settle()
            scene.calls.call("DELETE", "/files/a")
            scene.cluster.kill(API)  # before the nodes hear of it
            scene.cluster.start_api()
            scene.settle()
            assert scene.states() == ["dead"] * DATA_CHUNKS * number
            assert (scene.seen(), scene.alarms()) == ({scene.catalog()}, [])
        for content in (b"one", b"two"):
            scene.calls.put("b", content)
        scene.settle()
        assert (scene.seen(), scene.alarms()) == ({scene.catalog()}, [])
        assert scene.states().count("confirmed") == DATA_CHUNKS


def test_commits_that_a_power_loss_took_raise_no_alarm(tmp_path: Path) -> None:
    """In relaxed durability nodes were told of none of them."""
    with scene_of(tmp_path, RELAXED) as scene:
        scene.calls.put("a", b"content")
        scene.settle()
        scene.back_up(tmp_path / "synced.sqlite")
        scene.calls.put("b", b"content")
        scene.calls.call("DELETE", "/files/a")
        scene.cluster.clock.run_for(RELAXED.window_seconds - 1)
        scene.put_back(tmp_path / "synced.sqlite")
        scene.settle()
        scene.calls.call("DELETE", "/files/a")
        scene.settle()
        assert (scene.seen(), scene.alarms()) == ({scene.catalog()}, [])
        assert scene.states().count("dead") == DATA_CHUNKS


def test_a_copy_made_since_the_last_start_is_noticed_when_it_is_put_back(tmp_path: Path) -> None:
    """Its incarnation is new to the nodes, its commits are fewer; the right catalog ends it."""
    with scene_of(tmp_path, STRICT) as scene:
        scene.calls.put("a", b"content")
        scene.settle()
        scene.back_up(tmp_path / "old.sqlite")
        for content in (b"one", b"two", b"three"):
            scene.calls.put("b", content)
        scene.settle()
        seen = scene.seen()
        scene.back_up(tmp_path / "latest.sqlite")
        scene.put_back(tmp_path / "old.sqlite")
        scene.calls.call("DELETE", "/files/a")
        scene.settle()
        assert len(scene.alarms()) == DATA_CHUNKS
        assert "older than the chunks" in scene.alarms()[0]
        assert (scene.states().count("confirmed"), scene.seen()) == (2 * DATA_CHUNKS, seen)
        scene.put_back(tmp_path / "latest.sqlite")
        scene.calls.call("DELETE", "/files/a")
        scene.settle()
        assert (scene.alarms(), scene.seen()) == ([], {scene.catalog()})
        assert scene.states().count("confirmed") == DATA_CHUNKS
