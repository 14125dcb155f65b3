"""A simulated cluster that is hurt, and what it must look like once it has healed."""

import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from twisted.internet.defer import Deferred

from tests.simulation.calls import Answer, Calls, content_of
from twisted_store.core.ids import ChunkId, parse_object_id
from twisted_store.core.whole_chunk import decode_whole
from twisted_store.node_client.body import QueuedBody
from twisted_store.simulation.cluster import NODE_ROOT, SimulatedCluster
from twisted_store.simulation.setting import API, Setting
from twisted_store.simulation.wire import NetworkEvent
from twisted_store.storage.contents import chunks_in
from twisted_store.storage.directory import ChunkState

LOST_AFTER_SECONDS = 60.0
LOST_SECONDS = 80.0
"""In so much time a node that is gone has been declared lost."""

SETTLE_SECONDS = 150.0
"""In so much time nodes have asked about what is old, and were told of all commits."""

Places = set[tuple[str, str]]
"""Names of nodes, and chunks."""


@dataclass
class Patient:
    """A cluster, its files as they should be read, and ways to look at it."""

    cluster: SimulatedCluster
    calls: Calls
    files: dict[str, bytes] = field(default_factory=dict)

    def put(self, name: str, size_bytes: int, scheme: str | None = None) -> Answer:
        """Store a file."""
        content = content_of(size_bytes + len(self.files) + 1)[len(self.files) + 1 :]
        headers = {} if scheme is None else {"X-Scheme": scheme}
        answer = self.calls.put(name, content, headers)
        assert answer.status in (200, 201), answer
        self.files[name] = content
        return answer

    def put_some(self, count: int, size_bytes: int = 3_000_000, seed: int = 1) -> None:
        """Files of all sizes up to that one, empty ones included."""
        random = Random(seed)
        for number in range(count):
            self.put(f"file{number}", int(size_bytes * random.random() ** 3) if number else 0)

    def pass_time(self, seconds: float) -> None:
        """Let it live on."""
        self.cluster.clock.run_for(seconds)

    def state(self) -> Any:
        """All there is to know of the cluster."""
        return self.calls.call("GET", "/cluster").json

    def job(self, name: str = "repair") -> Any:
        """The state of a job."""
        return self.state()["jobs"][name]

    def survived(self) -> dict[str, int]:
        """How many files survive how many losses."""
        found: dict[str, int] = self.state()["objects_by_losses_survived"]
        return found

    def memberships(self) -> dict[str, str]:
        """The verdict on each node, by its name."""
        return {
            self.cluster.node_name(node["url"]): node["membership"]
            for node in self.state()["nodes"]
        }

    def node_id(self, name: str) -> str:
        """The id of a node."""
        nodes = self.state()["nodes"]
        ids = [node["node_id"] for node in nodes if self.cluster.node_name(node["url"]) == name]
        return str(ids[0])

    def call(self, method: str, path: str, body: Any = None) -> Answer:
        """A call of an operator."""
        content = json.dumps(body).encode()
        sent = QueuedBody(len(content))
        sent.send([content])
        sent.end()
        return self.calls.wait(self.calls.begin(method, path, None, sent))

    def drain(self, name: str, draining: bool = True) -> Answer:
        """Move all away from a node."""
        path = f"/nodes/{self.node_id(name)}/drain"
        return self.call("POST", path, {"draining": draining})

    def holders(self, name: str) -> list[str]:
        """The names of the nodes of a file by chunk, empty for a hole."""
        chunks = self.calls.call("GET", f"/explain/{name}").json["chunks"]
        return [self.cluster.node_name(chunk.get("url", "")) for chunk in chunks]

    def heal(self, limit_seconds: float = 3600.0) -> float:
        """Live on until no job has anything to do; for how long that was."""
        began = self.cluster.clock.seconds()
        while any(job["state"] == "running" for job in self.state()["jobs"].values()):
            self.pass_time(1)
            assert self.cluster.clock.seconds() - began < limit_seconds, self.state()["jobs"]
        return self.cluster.clock.seconds() - began

    def check_reads(self) -> None:
        """Every file has its bytes."""
        for name, content in self.files.items():
            answer = self.calls.get(name)
            assert (answer.status, answer.body == content) == (200, True), name

    def check_chunks(self) -> None:
        """After a while nodes hold, whole and confirmed, just what the catalog says."""
        self.pass_time(SETTLE_SECONDS)
        assert self.held() == self.expected()

    def expected(self) -> Places:
        """Which node should hold which chunk."""
        expected: Places = set()
        for name in self.files:
            where = self.calls.call("GET", f"/explain/{name}").json
            expected |= {
                (self.cluster.node_name(chunk["url"]), f"{where['object_id']}-{chunk['index']}")
                for chunk in where["chunks"]
                if not chunk["hole"] and chunk["membership"] != "lost"
            }
        return expected

    def held(self) -> Places:
        """Which node that runs holds which chunk, those apart that are dead."""
        found: Places = set()
        for name in self.cluster.services:
            if name != API:
                found |= {(name, text) for text in self._held_by(name)}
        return found

    def _held_by(self, name: str) -> Iterator[str]:
        disk = self.cluster.disk(name)
        for chunk_id, found in chunks_in(disk, NODE_ROOT).items():
            if found.state is ChunkState.CONFIRMED:
                decode_whole(found.content(disk), chunk_id)
                yield str(chunk_id)
            elif found.state is not ChunkState.DEAD:
                yield f"{chunk_id}, but {found.state.value}"

    def chunk_id(self, name: str, index: int) -> ChunkId:
        """A chunk of a file."""
        where = self.calls.call("GET", f"/explain/{name}").json
        return ChunkId(parse_object_id(where["object_id"]), index)

    def at_event(self, number: int, strike: Callable[[], object]) -> Callable[[], int]:
        """Let something happen at that event from now on; gives how many there were so far."""
        seen = 0

        def count(_: NetworkEvent) -> None:
            nonlocal seen
            seen += 1
            if seen == number:
                strike()

        self.cluster.observers.append(count)
        return lambda: seen

    def begin(self, method: str, path: str) -> "Deferred[Answer]":
        """A call that goes on while time passes."""
        return self.calls.begin(method, path)


@contextmanager
def patient(nodes: int, seed: int = 1, **setting: Any) -> Iterator[Patient]:
    """A cluster in which nodes are lost after a minute."""
    values = {"lost_after_seconds": LOST_AFTER_SECONDS, **setting}
    with (
        tempfile.TemporaryDirectory() as directory,
        SimulatedCluster(Path(directory), seed, nodes, Setting(**values)) as cluster,
    ):
        yield Patient(cluster, Calls(cluster))
