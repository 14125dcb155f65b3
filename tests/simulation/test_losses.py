"""
The promises P5 to P7 by trial: nodes are lost at telling moments of uploads and of downloads.

Every set of nodes of a small cluster, for every scheme. What a client gets is right, or 503, or an
aborted connection; which of them it must be follows from what is left.
"""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from random import Random
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.web.client import RequestTransmissionFailed, ResponseFailed

from tests.simulation.calls import Answer, Calls, content_of
from twisted_store.core.ids import ChunkId, NodeId, Placement
from twisted_store.core.redundancy import losses_survived
from twisted_store.core.scheme import Scheme, SchemeRules
from twisted_store.core.striping import DATA_CHUNKS, UNSIZED_UNIT_BYTES
from twisted_store.errors import ChecksumError
from twisted_store.simulation.cluster import API_PORT, SimulatedCluster
from twisted_store.simulation.setting import Setting
from twisted_store.simulation.wire import NetworkEvent

UNIT = UNSIZED_UNIT_BYTES
STRIPE = DATA_CHUNKS * UNIT
SIZE = 3 * STRIPE + 7
CONTENT = content_of(SIZE)
SIZES = [0, 1, 4, 5, 6, STRIPE - 1, STRIPE, STRIPE + 1]
"""Those of `twisted-store check`, besides `SIZE`."""

MOMENTS = {"before": None, "first stripe": 0.1, "middle": 0.5, "last stripe": 0.97}
"""After which part of the body has come to where it is counted."""

SCHEMES = [Scheme.PARITY_1, Scheme.PARITY_2, Scheme.PARITY_3, Scheme.COPIES]
LOSSES_MAX = {Scheme.PARITY_1: 1, Scheme.PARITY_2: 2, Scheme.PARITY_3: 3, Scheme.COPIES: 2}

ANSWER_SECONDS_MAX = 45.0
"""Simulated: three deadlines of 10 seconds one after the other, and what goes on besides."""

Strike = Callable[[], object]


@dataclass
class Trial:
    """A cluster with just the nodes that a scheme wants, and a client."""

    cluster: SimulatedCluster
    calls: Calls
    scheme: Scheme

    def holders(self, name: str) -> list[str]:
        """The names of the nodes by chunk; a hole has an empty one."""
        chunks = self.calls.call("GET", f"/explain/{name}").json["chunks"]
        return [_node_name(chunk.get("url", "")) for chunk in chunks]

    def object_id(self, name: str) -> Any:
        """Of the file."""
        return self.calls.call("GET", f"/explain/{name}").json["object_id"]

    def at(self, host: str, moment: float | None, size_bytes: int, strike: Strike) -> None:
        """Let something happen when such a part of so many bytes has come to a host."""
        if moment is None:
            strike()
            return
        left_bytes = moment * size_bytes

        def count(event: NetworkEvent) -> None:
            nonlocal left_bytes
            ports = (event.destination.port, event.source.port)
            if event.destination.host == host and API_PORT in ports:
                left_bytes -= event.size_bytes
                if left_bytes <= 0:
                    self.cluster.observers.remove(count)
                    strike()

        self.cluster.observers.append(count)

    def get(self, name: str = "a", headers: dict[str, str] | None = None) -> Answer | None:
        """Read a file; None when the connection is aborted."""
        return self.outcome(self.calls.begin("GET", f"/files/{name}", headers))

    def outcome(self, call: "Deferred[Answer]") -> Answer | None:
        """The answer, None when the connection is aborted; in time in any case."""
        try:
            return self.cluster.run(call, ANSWER_SECONDS_MAX)
        except (ResponseFailed, RequestTransmissionFailed):
            return None  # the latter: refused while it was still sending
        finally:
            self.cluster.observers.clear()


@contextmanager
def trial(scheme: Scheme, spare_nodes: int = 0, seed: int = 1) -> Iterator[Trial]:
    """With so many nodes more than the scheme wants."""
    with tempfile.TemporaryDirectory() as directory:
        setting = Setting(rules=SchemeRules(scheme))
        nodes = scheme.nodes + spare_nodes
        with SimulatedCluster(Path(directory), seed, nodes, setting) as cluster:
            yield Trial(cluster, Calls(cluster), scheme)


def _node_name(url: str) -> str:
    return f"node{int(url.rpartition(':')[0].rpartition('.')[2]) - 2}" if url else ""


def _left(scheme: Scheme, holders: Sequence[str], lost: Sequence[str]) -> int:
    """How many losses more are survived without these nodes; below 0 it cannot be read."""
    placement: Placement = tuple(
        None if not name or name in lost else NodeId(name) for name in holders
    )
    return losses_survived(scheme, placement)


def check_read(answer: Answer | None, readable: bool, status: int, expected: bytes) -> None:
    """Right, or refused, or aborted, the latter two only where it must be."""
    if readable:
        assert answer is not None, "aborted though it can be read"
        assert (answer.status, answer.body == expected) == (status, True)
    else:
        assert answer is None or answer.status == 503 or answer.body == expected


def sets_of(names: Sequence[str], sizes: range, full: bool, seed: str) -> list[tuple[str, ...]]:
    """All sets of names of these sizes, or some of them."""
    sets = [chosen for size in sizes for chosen in combinations(names, size)]
    return sets if full else Random(seed).sample(sets, min(2, len(sets)))


@pytest.mark.parametrize("way", ["killed", "paused"])
@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_p6_p7_downloads_survive_what_the_scheme_promises(
    scheme: Scheme, moment: str, way: str, full: bool
) -> None:
    """
    Every set of up to m nodes, both copies' worth for ``5x2``, and samples of one node more.

    A node that is paused is as good as dead, but costs a delay.
    """
    names = [f"node{number}" for number in range(scheme.nodes)]
    losses = LOSSES_MAX[scheme]
    seed = f"{scheme} {moment} {way}"
    sets = sets_of(names, range(1, losses + 1), full, seed)
    for lost in [*sets, *sets_of(names, range(losses + 1, losses + 2), False, seed)[:1]]:
        with trial(scheme) as run:
            _lose_during_download(run, lost, moment, way)


def _lose_during_download(run: Trial, lost: Sequence[str], moment: str, way: str) -> None:
    sizes = [SIZE, *(SIZES if moment == "before" else [])]
    for size in sizes:
        assert run.calls.put(f"{size}", CONTENT[:size], sized=size % 2 == 0).status == 201

    def strike() -> None:
        for name in lost:
            run.cluster.kill(name) if way == "killed" else run.cluster.pause(name)

    readable = {size: _left(run.scheme, run.holders(f"{size}"), lost) >= 0 for size in sizes}
    run.at("127.0.1.1", MOMENTS[moment], SIZE, strike)
    for size in sizes:
        check_read(run.get(f"{size}"), readable[size] or not size, 200, CONTENT[:size])
    first, end = 2 * STRIPE - 70_000, 2 * STRIPE + UNIT + 70_000
    part = run.get(f"{SIZE}", {"Range": f"bytes={first}-{end - 1}"})
    check_read(part, readable[SIZE], 206, CONTENT[first:end])
    if way == "paused":
        for name in lost:
            run.cluster.resume(name)


@pytest.mark.parametrize("spare_nodes", [0, 2])
@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_p1_p5_uploads_are_acknowledged_or_leave_the_name_free(
    scheme: Scheme, moment: str, spare_nodes: int, full: bool
) -> None:
    """Sets of nodes are killed; what is acknowledged survives what P1 says, and can be read."""
    names = [f"node{number}" for number in range(scheme.nodes + spare_nodes)]
    seed = f"{scheme} {moment} {spare_nodes}"
    for lost in sets_of(names, range(1, LOSSES_MAX[scheme] + 2), full, seed):
        for size, sized in ((STRIPE, True), (SIZE, False)):
            with trial(scheme, spare_nodes) as run:

                def strike(run: Trial = run, lost: Sequence[str] = lost) -> None:
                    for name in lost:
                        run.cluster.kill(name)

                run.at("127.0.0.1", MOMENTS[moment], size, strike)
                content = CONTENT[:size]
                answer = run.outcome(run.calls.begin_put("a", content, sized=sized))
                _check_upload(run, answer, content, len(names) - len(lost))


def _check_upload(run: Trial, answer: Answer | None, content: bytes, alive: int) -> None:
    read = run.get()
    assert read is not None
    if answer is None or answer.status != 201:
        assert (answer is None or answer.status == 503, read.status) == (True, 404)
        return
    assert (read.status, read.body == content) == (200, True)
    holders = run.holders("a")
    survived = _left(run.scheme, holders, ())
    assert answer.json["losses_survived"] == survived
    assert answer.json["chunks_present"] == sum(bool(name) for name in holders)
    assert survived >= (1 if alive > DATA_CHUNKS or run.scheme is Scheme.COPIES else 0)
    one_node = next(name for name in holders if name in run.cluster.services)
    run.cluster.kill(one_node)
    check_read(run.get(), survived >= 1, 200, content)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_p5_a_body_of_one_stripe_goes_to_other_nodes(scheme: Scheme) -> None:
    """Whole, while there are some; nothing of it is a hole."""
    for moment in (0.2, 0.5, 0.9):
        # Two different chunks at most go to a node, so four of copies may need a third node.
        with trial(scheme, spare_nodes=3) as run:
            lost: list[str] = []

            def strike(run: Trial = run, lost: list[str] = lost) -> None:
                api: Any = run.cluster.services["api"]
                busy = [each for each in api.members.status() if each.member.traffic.assigned_bytes]
                lost += [_node_name(each.member.peer.url) for each in busy[1:3]]
                for name in lost:
                    run.cluster.kill(name)

            run.at("127.0.0.1", moment, STRIPE, strike)
            answer = run.outcome(run.calls.begin_put("a", CONTENT[:STRIPE]))
            assert answer is not None
            assert answer.status == 201, answer.body
            assert answer.json["chunks_present"] == scheme.width
            assert len(lost) == 2
            explained = run.calls.call("GET", "/explain/a").json
            assert len([each for each in explained["changes"] if "went to node" in each]) >= 2
            assert not set(run.holders("a")) & set(lost)


def test_p1_holes_are_told_and_counted() -> None:
    """With six nodes a ``5+2`` file has six chunks, and everybody can see it."""
    with trial(Scheme.PARITY_2) as run:
        run.cluster.kill("node0")
        answer = run.calls.put("a", CONTENT)
        assert (answer.status, answer.json["chunks_present"]) == (201, 6)
        run.cluster.clock.run_for(20)
        answer = run.calls.put("b", CONTENT)
        assert (answer.json["chunks_wanted"], answer.json["chunks_present"]) == (7, 6)
        ready = run.calls.call("GET", "/health/ready").json
        assert [each["code"] for each in ready["reasons"]] == [
            *("node_suspect", "redundancy_reduced", "repair_blocked")
        ]
        losses = run.calls.call("GET", "/cluster").json["objects_by_losses_survived"]
        assert losses == {"1": 2}
        run.cluster.kill("node1")
        run.cluster.clock.run_for(20)
        answer = run.calls.put("c", CONTENT)
        assert (answer.status, answer.json["losses_survived"]) == (201, 0)
        run.cluster.kill("node2")
        assert run.calls.put("d", CONTENT).status == 503


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("size", [1, 4, 6, 100_000, STRIPE - 1, STRIPE + 1, SIZE])
def test_p9_a_flipped_byte_is_never_served(
    scheme: Scheme, size: int, expected_failures: Callable[..., list[Failure]]
) -> None:
    """Anywhere in a chunk, besides as many lost nodes as can be survived with it."""
    random = Random(f"{scheme} {size}")
    content = CONTENT[:size]
    for turn in range(3):
        with trial(scheme, seed=turn) as run:
            assert run.calls.put("a", content).status == 201
            explained = run.calls.call("GET", "/explain/a").json
            holders = run.holders("a")
            chunk = random.choice([each for each in explained["chunks"] if each["bytes"]])
            index = chunk["index"]
            chunk_id = ChunkId(explained["object_id"], index)
            run.cluster.corrupt(
                holders[index], chunk_id, random.randrange(chunk["bytes"]), random.randint(1, 255)
            )
            left = [name if i != index else "" for i, name in enumerate(holders)]
            others = [name for name in dict.fromkeys(left) if name and name != holders[index]]
            lost = random.sample(others, max(_left(scheme, left, ()), 0))
            for name in lost:
                run.cluster.kill(name)
            check_read(run.get(), readable=True, status=200, expected=content)
            first = random.randrange(size)
            part = run.get("a", {"Range": f"bytes={first}-"})
            check_read(part, readable=True, status=206, expected=content[first:])
    expected_failures(ChecksumError)  # nodes say so in their logs


def test_p6_a_slow_node_costs_a_bounded_extra_once() -> None:
    """Others are asked after the hedging delay, and first of all from then on."""
    with trial(Scheme.PARITY_2) as run:
        run.calls.put("a", CONTENT)
        for _ in range(20):
            run.get()
        holders = run.holders("a")
        run.cluster.pause(holders[1])
        times = []
        for _ in range(4):
            began = run.cluster.clock.seconds()
            answer = run.get()
            times.append(run.cluster.clock.seconds() - began)
            check_read(answer, readable=True, status=200, expected=CONTENT)
            assert answer is not None
            assert answer.header("X-Degraded") == "1"
        assert times[0] < 1.0
        assert max(times[1:]) < times[0]
        metrics = run.calls.call("GET", "/metrics").body.decode()
        assert 'read_sources_lost_total{cause="slow"} 1.0' in metrics
        assert "degraded_reads_total 4.0" in metrics
        run.cluster.resume(holders[1])
        run.cluster.clock.run_for(5)
        answer = run.get()
        assert answer is not None
        assert answer.header("X-Degraded") == ""


def test_p6_when_all_are_slow_they_are_waited_for() -> None:
    """As long as for any node; hedging does not make a slow store a broken one."""
    with trial(Scheme.PARITY_2) as run:
        run.calls.put("a", CONTENT)
        names = [f"node{number}" for number in range(7)]
        for name in names:
            run.cluster.pause(name)
        reading = run.calls.begin("GET", "/files/a")
        run.cluster.clock.run_for(6)
        for name in names:
            run.cluster.resume(name)
        answer = run.outcome(reading)
        check_read(answer, readable=True, status=200, expected=CONTENT)


def test_p6_a_partition_is_lived_through() -> None:
    """Two nodes that cannot be reached are as good as dead, and come back."""
    with trial(Scheme.PARITY_2) as run:
        run.calls.put("a", CONTENT)
        run.cluster.partition("node0", "node1")
        check_read(run.get(), readable=True, status=200, expected=CONTENT)
        run.cluster.clock.run_for(30)
        assert run.calls.put("b", CONTENT).json["chunks_present"] == DATA_CHUNKS
        run.cluster.heal()
        run.cluster.clock.run_for(15)
        assert run.calls.put("c", CONTENT).json["chunks_present"] == 7
        answer = run.get()
        assert answer is not None
        assert answer.header("X-Degraded") == ""


def test_one_seed_gives_one_history() -> None:
    """Faults included."""

    def history() -> list[NetworkEvent]:
        events: list[NetworkEvent] = []
        with trial(Scheme.PARITY_2) as run:
            run.cluster.observers.append(events.append)
            run.calls.put("a", CONTENT[:STRIPE])
            run.cluster.kill("node2")
            run.cluster.pause("node4")
            run.calls.get("a")
            run.cluster.resume("node4")
            return list(events)  # a role that stops hangs up in any order

    assert history() == history()
