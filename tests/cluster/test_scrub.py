"""The scrub: all confirmed chunks are read, slowly, round after round, from a place of chance."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

import pytest
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from twisted_store.cluster.loop import Loop
from twisted_store.cluster.scrub import PAUSE_SECONDS, READ_BLOCKS_MAX, Scrub, ScrubCounters
from twisted_store.core.checksums import BLOCK_BYTES
from twisted_store.core.ids import ChunkId, object_id
from twisted_store.errors import ChecksumError, ChunkNotFoundError, NodeFailedError

MIB = 2**20
RATE_BYTES = MIB
PAGE_CHUNKS = 2


@dataclass(frozen=True)
class Held:
    """A chunk in a listing."""

    chunk_id: ChunkId
    is_confirmed: bool = True


@dataclass(frozen=True)
class Page:
    """A part of a listing."""

    chunks: Sequence[Held]
    next_after: ChunkId | None


class Reader:
    """Reads zeros, and no further than to ``damaged_block``."""

    def __init__(self, store: "Store", chunk_bytes: int, damaged_block: int | None) -> None:
        self.chunk_bytes = chunk_bytes
        self._store = store
        self._damaged_block = damaged_block

    async def read(self, first_block: int, blocks: int) -> tuple[bytes, object]:
        """As a chunk reader does."""
        end = min((first_block + blocks) * BLOCK_BYTES, self.chunk_bytes)
        if self._damaged_block in range(first_block, first_block + blocks):
            raise ChecksumError("damaged")
        size_bytes = max(end - first_block * BLOCK_BYTES, 0)
        self._store.reads.append(size_bytes)
        return bytes(size_bytes), ()

    def close(self) -> None:
        """Note it."""
        self._store.open_readers -= 1


class Store:
    """Chunks by number, each with its length; lists two at a time."""

    def __init__(self, *sizes: int) -> None:
        self.sizes = dict(enumerate(sizes))
        self.unconfirmed: set[int] = set()
        self.damaged: dict[int, int] = {}
        self.failing: dict[int, Exception] = {}
        self.lists: list[ChunkId | None] = []
        self.opened: list[int] = []
        self.reads: list[int] = []
        self.open_readers = 0

    async def list(self, after: ChunkId | None, limit: int) -> Page:
        """Two chunks at most."""
        assert limit >= PAGE_CHUNKS
        self.lists.append(after)
        chunk_ids = [chunk_id for each in self.sizes if _behind(chunk_id := chunk(each), after)]
        held = [Held(each, _number(each) not in self.unconfirmed) for each in chunk_ids]
        some = held[:PAGE_CHUNKS]
        return Page(some, some[-1].chunk_id if len(held) > PAGE_CHUNKS else None)

    async def open(self, chunk_id: ChunkId) -> Reader:
        """A reader of zeros."""
        number = _number(chunk_id)
        self.opened.append(number)
        if number in self.failing:
            raise self.failing[number]
        self.open_readers += 1
        return Reader(self, self.sizes[number], self.damaged.get(number))


def chunk(number: int) -> ChunkId:
    """In the order of their numbers."""
    return ChunkId(object_id(number, 0, 0), 0)


def _number(chunk_id: ChunkId) -> int:
    return int(chunk_id.object_id[:8], 16)


def _behind(chunk_id: ChunkId, after: ChunkId | None) -> bool:
    return after is None or chunk_id > after


class FirstPlace(Random):
    """Chance that begins at the beginning."""

    def getrandbits(self, k: int, /) -> int:
        """Zeros."""
        return 0


class Scene:
    """A scrub that runs in a loop."""

    def __init__(self, store: Store, random: Random | None = None) -> None:
        self.clock = Clock()
        self.scrub = Scrub(store, self.clock, random or FirstPlace(), RATE_BYTES)
        self.loop = Loop(self.clock, Random(1), self.scrub.scrub, PAUSE_SECONDS)
        self.loop.start()

    def pass_time(self, seconds: float) -> None:
        """In small steps, as timers are set one by one."""
        for _ in range(round(seconds * 100)):
            self.clock.advance(0.01)


def test_all_chunks_are_read_again_and_again() -> None:
    """Page by page, with a pause between the rounds; the first place is that of chance."""
    store = Store(100, 200, 300, 400, 500)
    store.sizes[0] = 0
    scene = Scene(store)
    scene.pass_time(2)
    assert store.opened == [1, 2, 3, 4]  # the first place is that of chunk 0, it goes on behind it
    scene.pass_time(2 * PAUSE_SECONDS)
    assert store.opened[4:9] == [0, 1, 2, 3, 4]
    assert scene.scrub.counters == ScrubCounters(chunks=9, bytes=2 * 1400)
    assert store.open_readers == 0


def test_the_first_place_is_one_of_chance() -> None:
    """Else a node that is restarted every hour would read the same chunks all the time."""
    first_places = set()
    for seed in range(20):
        store = Store(100)
        Scene(store, Random(seed))
        first_places.add(store.lists[0])
    assert len(first_places) == 20


def test_an_empty_node_does_not_spin() -> None:
    """One look in a pause."""
    store = Store()
    scene = Scene(store)
    scene.pass_time(10 * PAUSE_SECONDS)
    assert 9 <= len(store.lists) <= 12


def test_the_rate_is_kept_and_a_read_is_bounded() -> None:
    """Large chunks take their time, piece by piece."""
    store = Store(0, 10 * MIB, 10 * MIB)
    scene = Scene(store)
    for seconds in (1, 4, 9, 19):
        scene.pass_time(seconds - scene.clock.seconds() + 0.1)
        assert scene.scrub.counters.bytes == pytest.approx(seconds * RATE_BYTES, abs=1.1 * MIB)
    assert set(store.reads) == {READ_BLOCKS_MAX * BLOCK_BYTES}


def test_a_small_chunk_takes_the_time_of_a_block() -> None:
    """Files cost a disk its seeks, whatever is in them; empty ones, too."""
    store = Store(*[0, 1] * 100)
    scene = Scene(store)
    scene.pass_time(5)
    assert len(store.opened) == pytest.approx(5 * RATE_BYTES / BLOCK_BYTES, rel=0.2)


def test_only_confirmed_chunks_are_read() -> None:
    """Dead ones go, provisional ones are new, those set aside are known."""
    store = Store(*[100] * 6)
    store.unconfirmed = {1, 2, 4}
    scene = Scene(store)
    scene.pass_time(2)
    assert store.opened == [3, 5]


def test_damage_is_counted_and_the_scrub_goes_on() -> None:
    """The store sets the chunk aside when it is read; a chunk that went is none."""
    store = Store(0, 3 * MIB, 3 * MIB, 100, 200)
    store.damaged = {1: 20}
    store.failing = {2: ChecksumError("no footer"), 3: ChunkNotFoundError("gone")}
    scene = Scene(store)
    scene.pass_time(5)
    assert scene.scrub.counters == ScrubCounters(chunks=1, bytes=MIB + 200, damaged_chunks=2)
    assert store.open_readers == 0


def test_many_damaged_chunks_are_not_found_all_at_once() -> None:
    """A disk that reads nothing any more is not asked faster than one that does."""
    store = Store(*[100] * 1000)
    store.failing = dict.fromkeys(range(1000), ChecksumError("damaged"))
    scene = Scene(store)
    scene.pass_time(5)
    assert scene.scrub.counters.damaged_chunks == pytest.approx(80, rel=0.2)


def test_a_failure_of_the_node_does_not_stop_at_the_same_chunk_for_ever(
    expected_failures: Callable[..., list[Failure]],
) -> None:
    """The next attempt begins behind it."""
    store = Store(*[100] * 6)
    store.failing = {2: NodeFailedError("no memory")}
    scene = Scene(store)
    scene.pass_time(1.2 * PAUSE_SECONDS)
    assert store.opened == [1, 2, 3, 4, 5]
    assert expected_failures(NodeFailedError)


def test_a_scrub_that_is_stopped_lets_its_chunk_go() -> None:
    """In the middle of a long one."""
    store = Store(0, 100 * MIB)
    scene = Scene(store)
    scene.pass_time(3)
    assert store.open_readers == 1
    stopped: list[None] = []
    scene.loop.stop().addCallback(stopped.append)
    assert stopped == [None]
    assert store.open_readers == 0
    assert not scene.clock.getDelayedCalls()
