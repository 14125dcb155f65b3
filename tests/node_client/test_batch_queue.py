"""The queue of a node: what goes together, what waits, and who hears of what."""

import json
from collections.abc import Callable

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock

from tests.catalog.seams import result_of
from twisted_store.core.batch import (
    CONFIRM,
    ERROR,
    GET,
    OK,
    PUT,
    Record,
    decode_operations,
    result_head,
)
from twisted_store.core.ids import PACKED_BYTES, NodeId
from twisted_store.errors import ChecksumError, ChunkNotFoundError, NodeFailedError, NodeSlowError
from twisted_store.node_client.batch_queue import BATCH_BYTES, BatchLimits, BatchQueue, Numbers
from twisted_store.node_client.watchdog import LATE_SECONDS_MAX

NODE = NodeId("a" * 16)
STALL_SECONDS = 10.0


class Node:
    """Takes batches, and answers them when told."""

    def __init__(self) -> None:
        self.batches: list[list[Record]] = []
        self.numbers: list[Numbers] = []
        self.progressed: Callable[[], None]
        self.left = 0
        self._answers: list[Deferred[bytes]] = []

    def send(
        self, body: bytes, numbers: Numbers, progressed: Callable[[], None]
    ) -> "Deferred[bytes]":
        """A batch comes."""
        self.batches.append(decode_operations(body))
        self.numbers.append(numbers)
        self.progressed = progressed
        self._answers.append(Deferred(self._hung_up))
        return self._answers[-1]

    @property
    def payloads(self) -> list[list[bytes]]:
        """Those of each batch so far."""
        return [[bytes(each.payload) for each in batch] for batch in self.batches]

    def answer(self, number: int = -1) -> None:
        """Give back each payload."""
        results = [
            result_head(OK, 0, each.payload) + bytes(each.payload) for each in self.batches[number]
        ]
        self.give(b"".join(results), number)

    def give(self, body: bytes, number: int = -1) -> None:
        """Answer just so."""
        self._answers[number].callback(body)

    def fail(self, number: int = -1) -> None:
        """Break off."""
        self._answers[number].errback(NodeFailedError("gone"))

    def _hung_up(self, _: object) -> None:
        self.left += 1


class World:
    """A queue, its node, and a clock that is moved by hand."""

    def __init__(self, operations: int = 64, batches: int = 1) -> None:
        self.clock = Clock()
        self.node = Node()
        limits = BatchLimits(operations, batches)
        self.queue = BatchQueue(NODE, self.node.send, limits, self.clock, STALL_SECONDS)

    def put(self, payload: bytes, size_bytes: int = 0) -> "Deferred[memoryview]":
        """Add a put."""
        return self.queue.add(PUT, payload, size_bytes=size_bytes)

    def get(self, patience_seconds: float | None = None) -> "Deferred[memoryview]":
        """Add a get."""
        packed = bytes(PACKED_BYTES)
        return self.queue.add(GET, packed, ids=1, patience_seconds=patience_seconds)

    def turn(self) -> None:
        """The reactor's turn ends."""
        self.clock.advance(0)

    @property
    def idle(self) -> bool:
        """Whether nothing is left to be called."""
        return not self.clock.getDelayedCalls()


def outcome(waiter: "Deferred[memoryview]") -> object:
    """The payload or the error that a waiter has by now, None while it has none; asked once."""
    found: list[object] = []
    if waiter.called:
        waiter.addCallbacks(lambda payload: found.append(bytes(payload)))
        waiter.addErrback(lambda failure: found.append(failure.value))
    return found[0] if found else None


def test_what_comes_in_one_turn_goes_together() -> None:
    """And nothing leaves before the turn ends."""
    world = World()
    waiters = [world.put(payload) for payload in (b"one", b"two")]
    assert world.node.batches == []
    world.turn()
    assert world.node.payloads == [[b"one", b"two"]]
    world.node.answer()
    assert [outcome(waiter) for waiter in waiters] == [b"one", b"two"]
    assert world.idle


def test_what_comes_while_a_batch_is_under_way_goes_together_in_the_next() -> None:
    """However long that takes."""
    world = World()
    first = world.put(b"first")
    world.turn()
    later = [world.put(payload) for payload in (b"one", b"two")]
    world.clock.advance(1)
    later.append(world.put(b"three"))
    world.clock.advance(1)
    assert len(world.node.batches) == 1
    world.node.answer()
    assert outcome(first) == b"first"
    world.turn()
    assert world.node.payloads[1] == [b"one", b"two", b"three"]
    world.node.answer()
    assert [outcome(waiter) for waiter in later] == [b"one", b"two", b"three"]
    assert world.idle


def test_what_is_added_when_an_answer_comes_goes_with_the_next_batch() -> None:
    """Who hears of a result often has something to ask for at once."""
    world = World()
    world.put(b"first").addCallback(lambda _: world.put(b"more"))
    world.turn()
    world.put(b"waiting")
    world.node.answer()
    world.turn()
    assert world.node.payloads[1] == [b"waiting", b"more"]


@pytest.mark.parametrize(("operations", "sizes"), [(2, [2, 2, 1]), (3, [3, 2]), (5, [5])])
def test_a_batch_has_so_many_operations_at_most(operations: int, sizes: list[int]) -> None:
    """The rest goes in the next ones, in order."""
    world = World(operations)
    for number in range(5):
        world.put(b"%d" % number)
    for _ in sizes:
        world.turn()
        world.node.answer()
    assert [len(batch) for batch in world.node.batches] == sizes
    assert sum(world.node.payloads, []) == [b"%d" % number for number in range(5)]


def test_a_batch_has_so_many_bytes_at_most() -> None:
    """Unless a single operation has more."""
    world = World()
    for size_bytes in (BATCH_BYTES // 2, BATCH_BYTES // 2, 1, BATCH_BYTES + 1):
        world.put(b"x", size_bytes)
    for _ in range(3):
        world.turn()
        world.node.answer()
    assert [len(batch) for batch in world.node.batches] == [2, 1, 1]


def test_single_operations_may_be_under_way_at_the_same_time() -> None:
    """As many as there may be batches."""
    world = World(operations=1, batches=2)
    waiters = [world.put(payload) for payload in (b"one", b"two", b"three")]
    world.turn()
    assert world.node.payloads == [[b"one"], [b"two"]]
    world.node.answer(1)
    world.turn()
    assert world.node.payloads[2:] == [[b"three"]]
    world.node.answer(0)
    world.node.answer(2)
    assert [outcome(waiter) for waiter in waiters] == [b"one", b"two", b"three"]


def test_each_hears_of_its_own_result() -> None:
    """An error, or a payload that arrives damaged, is nobody else's."""
    world = World()
    waiters = [world.get() for _ in range(4)]
    world.turn()
    error = json.dumps({"error": "chunk_not_found", "message": "not here"}).encode()
    damaged = result_head(OK, 0, b"content") + b"Content"
    results = (result_head(ERROR, 0, error) + error, damaged, result_head(ERROR, 0, b"?") + b"?")
    world.node.give(b"".join(results) + result_head(OK, 0, b""))
    missing, bad, unknown, good = map(outcome, waiters)
    assert isinstance(missing, ChunkNotFoundError)
    assert "not here" in str(missing)
    assert isinstance(bad, ChecksumError)
    assert isinstance(unknown, NodeFailedError)
    assert good == b""


@pytest.mark.parametrize("body", [b"", b"no results", result_head(OK, 0, b"") * 2])
def test_an_answer_that_does_not_fit_is_a_failure_of_the_node(body: bytes) -> None:
    """Too few results, too many, or something else."""
    world = World()
    waiter = world.put(b"one")
    world.turn()
    world.node.give(body)
    assert isinstance(outcome(waiter), NodeFailedError)


def test_a_node_that_fails_fails_for_all_in_the_batch_only() -> None:
    """What waits behind it tries its own luck: the node may have been restarted."""
    world = World()
    waiters = [world.put(b"one"), world.put(b"two")]
    world.turn()
    behind = world.put(b"three")
    world.node.fail()
    assert [type(outcome(waiter)) for waiter in waiters] == [NodeFailedError] * 2
    world.turn()
    world.node.answer()
    assert outcome(behind) == b"three"
    assert world.idle


def test_a_node_that_makes_no_progress_has_failed() -> None:
    """After the stall time, and what waits behind it when its own is over."""
    world = World()
    first = world.put(b"first")
    world.turn()
    world.clock.advance(3)
    second = world.put(b"second")
    world.clock.advance(STALL_SECONDS - 3.1)
    assert outcome(first) is None
    world.clock.advance(0.1)
    assert isinstance(outcome(first), NodeSlowError)
    assert (world.node.left, outcome(second)) == (1, None)
    world.turn()
    assert world.node.payloads[1] == [b"second"]
    world.clock.advance(2.9)
    assert outcome(second) is None
    world.clock.advance(0.1)
    assert isinstance(outcome(second), NodeSlowError)
    world.turn()
    assert (world.node.left, world.idle) == (2, True)


def test_progress_gives_a_node_more_time() -> None:
    """It is slow then, not stalled."""
    world = World()
    waiter = world.put(b"one")
    world.turn()
    for _ in range(3):
        world.clock.advance(STALL_SECONDS - 1)
        world.node.progressed()
    world.clock.advance(STALL_SECONDS - 1)
    assert outcome(waiter) is None
    world.node.answer()
    assert world.idle


def test_time_in_which_this_process_stood_still_does_not_count() -> None:
    """What the node sent may be waiting here."""
    world = World()
    waiter = world.put(b"one")
    world.turn()
    world.clock.advance(100)
    assert (outcome(waiter), world.node.left) == (None, 0)
    world.clock.advance(LATE_SECONDS_MAX)
    assert isinstance(outcome(waiter), NodeSlowError)


def test_a_reader_without_patience_gives_up_alone() -> None:
    """The batch goes on for the others."""
    world = World()
    hasty, patient = world.get(0.5), world.get()
    world.turn()
    world.clock.advance(0.4)
    world.node.progressed()
    world.clock.advance(0.1)
    assert isinstance(outcome(hasty), NodeSlowError)
    assert (outcome(patient), world.node.left) == (None, 0)
    world.node.answer()
    assert world.idle


def test_the_next_to_lose_patience_is_the_next_to_give_up() -> None:
    """Whoever came first, in a batch or behind it; nobody is left to wait then."""
    world = World()
    first, second = world.get(2), world.get(1)
    world.turn()
    behind = world.get(0.5)
    seen = []
    for _ in range(4):
        world.clock.advance(0.5)
        seen.append([waiter.called for waiter in (first, second, behind)])
    assert seen == [
        [False, False, True],
        [False, True, True],
        [False, True, True],
        [True, True, True],
    ]
    for waiter in (first, second, behind):
        assert isinstance(outcome(waiter), NodeSlowError)
    world.turn()
    assert (world.node.left, len(world.node.batches), world.idle) == (1, 1, True)


def test_who_cancels_before_the_batch_has_left_takes_it_back() -> None:
    """The others go without it."""
    world = World()
    taken_back, stays = world.put(b"one"), world.put(b"two")
    taken_back.cancel()
    world.turn()
    assert world.node.payloads == [[b"two"]]
    world.node.answer()
    assert isinstance(outcome(taken_back), CancelledError)
    assert outcome(stays) == b"two"
    world.put(b"alone").addErrback(lambda _: None).cancel()
    world.turn()
    assert (len(world.node.batches), world.idle) == (1, True)


def test_who_cancels_later_only_stops_waiting() -> None:
    """The batch goes on, even when nobody is left."""
    world = World()
    waiters = [world.put(b"one"), world.put(b"two")]
    world.turn()
    for waiter in waiters:
        waiter.cancel()
        assert isinstance(outcome(waiter), CancelledError)
    assert world.node.left == 0
    world.node.answer()
    assert world.idle


def test_a_batch_tells_of_the_latest_commit_of_its_marks() -> None:
    """Puts know of none."""
    world = World()
    packed = bytes(PACKED_BYTES)
    for sequence in (7, 9, 8):
        world.queue.add(CONFIRM, packed, ids=1, numbers=(2, sequence))
    world.put(b"one")
    world.turn()
    assert world.node.numbers == [(2, 9)]
    world.node.answer()


def test_results_of_puts_are_those_of_their_places() -> None:
    """However many there are."""
    world = World()
    waiters = [world.put(b"%d" % number) for number in range(64)]
    world.turn()
    world.node.answer()
    assert [bytes(result_of(waiter)) for waiter in waiters] == [b"%d" % n for n in range(64)]
