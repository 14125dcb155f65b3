"""Sweeps: what becomes of chunks that no mark came for."""

from collections.abc import Iterable, Sequence

from twisted.internet.defer import Deferred

from twisted_store.cluster.sweep import ASK_CHUNKS_MAX, SWEEP_SECONDS, Fates, Sweep
from twisted_store.core.ids import ChunkId, object_id
from twisted_store.errors import UnavailableError

AGE_SECONDS = 60.0
GRACE_SECONDS = 600.0


def chunks(count: int) -> list[ChunkId]:
    """So many different ones."""
    return [ChunkId(object_id(1, number, 0), 0) for number in range(count)]


class Store:
    """Holds provisional chunks and writes down what is done to them."""

    def __init__(self, provisional: Sequence[ChunkId]) -> None:
        self.provisional = list(provisional)
        self.asked_ages: list[float] = []
        self.confirmed: list[ChunkId] = []
        self.discarded: list[ChunkId] = []
        self.graces: list[float] = []

    def provisional_older_than(self, seconds: float) -> Sequence[ChunkId]:
        """All of them."""
        self.asked_ages.append(seconds)
        return tuple(self.provisional)

    async def mark(self, confirm: Iterable[ChunkId]) -> None:
        """Write down what is confirmed."""
        self.confirmed += confirm

    async def discard(self, chunk_id: ChunkId) -> None:
        """Write it down."""
        self.discarded.append(chunk_id)

    async def reclaim(self, grace_seconds: float) -> None:
        """Write it down."""
        self.graces.append(grace_seconds)


class Api:
    """Knows which chunks are of committed objects and which of none; refuses from some call on."""

    def __init__(
        self,
        confirm: Iterable[ChunkId] = (),
        drop: Iterable[ChunkId] = (),
        calls_max: int = 1000,
    ) -> None:
        self.confirm = set(confirm)
        self.drop = set(drop)
        self.calls_max = calls_max
        self.questions: list[Sequence[ChunkId]] = []

    async def ask(self, chunk_ids: Sequence[ChunkId]) -> Fates:
        """Answer for the chunks asked about."""
        if len(self.questions) >= self.calls_max:
            raise UnavailableError("nobody there")
        self.questions.append(chunk_ids)
        return Fates(
            [chunk_id for chunk_id in chunk_ids if chunk_id in self.confirm],
            [chunk_id for chunk_id in chunk_ids if chunk_id in self.drop],
        )


def swept(api: Api, store: Store) -> float:
    """Sweep once; the delay until the next sweep."""
    delays: list[float] = []
    sweep = Sweep(api, store, AGE_SECONDS, GRACE_SECONDS)
    Deferred.fromCoroutine(sweep.sweep()).addCallback(delays.append)
    [delay] = delays
    return delay


def test_the_api_decides_over_chunks_that_no_mark_came_for() -> None:
    """Committed ones are confirmed, those of failed uploads dropped, those in flight left alone."""
    committed, failed, in_flight = chunks(3)
    store = Store([committed, failed, in_flight])
    assert swept(Api(confirm=[committed], drop=[failed]), store) == SWEEP_SECONDS
    assert (store.confirmed, store.discarded) == ([committed], [failed])
    assert store.asked_ages == [AGE_SECONDS]


def test_many_chunks_are_asked_about_in_bounded_batches() -> None:
    """So that neither question nor answer outgrows its limit."""
    many = chunks(2 * ASK_CHUNKS_MAX + 1)
    api, store = Api(drop=many), Store(many)
    swept(api, store)
    assert [len(question) for question in api.questions] == [ASK_CHUNKS_MAX, ASK_CHUNKS_MAX, 1]
    assert store.discarded == many


def test_without_old_chunks_nobody_is_asked() -> None:
    """The usual case costs nothing."""
    api = Api()
    swept(api, Store([]))
    assert not api.questions


def test_an_api_that_is_away_ends_the_round_but_not_the_sweeping() -> None:
    """What was answered before counts, the rest is asked again the next time."""
    many = chunks(ASK_CHUNKS_MAX + 1)
    store = Store(many)
    assert swept(Api(drop=many, calls_max=1), store) == SWEEP_SECONDS
    assert store.discarded == many[:ASK_CHUNKS_MAX]


def test_dead_chunks_are_reclaimed_even_when_the_api_is_away() -> None:
    """The grace runs on the node's own clock."""
    store = Store(chunks(1))
    swept(Api(calls_max=0), store)
    assert store.graces == [GRACE_SECONDS]
