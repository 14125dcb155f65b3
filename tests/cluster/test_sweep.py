"""Sweeps: what becomes of chunks that no mark came for, and of those that are damaged."""

from collections.abc import Iterable, Sequence

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from twisted_store.cluster.sweep import ASK_CHUNKS_MAX, SWEEP_SECONDS, Fates, Sweep
from twisted_store.core.ids import ChunkId, object_id
from twisted_store.errors import UnavailableError

AGE_SECONDS = 60.0
GRACE_SECONDS = 600.0


def chunks(count: int) -> list[ChunkId]:
    """So many different ones."""
    return [ChunkId(object_id(1, number, 0), 0) for number in range(count)]


class Store:
    """Holds provisional and damaged chunks and writes down what is done to them."""

    def __init__(self, provisional: Sequence[ChunkId], quarantined: Sequence[ChunkId] = ()) -> None:
        self.provisional = list(provisional)
        self.quarantined = list(quarantined)
        self.asked_ages: list[float] = []
        self.confirmed: list[ChunkId] = []
        self.dropped: dict[ChunkId, float] = {}
        self.buried: list[ChunkId] = []
        self.graces: list[float] = []

    def provisional_older_than(self, seconds: float) -> Sequence[ChunkId]:
        """All of them."""
        self.asked_ages.append(seconds)
        return tuple(self.provisional)

    async def mark(self, confirm: Iterable[ChunkId]) -> None:
        """Write down what is confirmed."""
        self.confirmed += confirm

    async def drop(self, chunk_id: ChunkId, older_than_seconds: float) -> None:
        """Write it down, with the age."""
        self.dropped[chunk_id] = older_than_seconds

    async def bury_quarantined(self, chunk_ids: Iterable[ChunkId]) -> None:
        """Write down what is buried."""
        self.buried += chunk_ids

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
        self.reports_max = 1000
        self.clock = Clock()
        self.answer_seconds = 0.0
        self.questions: list[Sequence[ChunkId]] = []
        self.reports: list[Sequence[ChunkId]] = []

    async def ask(self, chunk_ids: Sequence[ChunkId]) -> Fates:
        """Answer for the chunks asked about."""
        if len(self.questions) >= self.calls_max:
            raise UnavailableError("nobody there")
        self.questions.append(chunk_ids)
        self.clock.advance(self.answer_seconds)
        return Fates(
            [chunk_id for chunk_id in chunk_ids if chunk_id in self.confirm],
            [chunk_id for chunk_id in chunk_ids if chunk_id in self.drop],
        )

    async def report_quarantined(self, chunk_ids: Sequence[ChunkId]) -> Sequence[ChunkId]:
        """Name those that no file needs."""
        if len(self.reports) >= self.reports_max:
            raise UnavailableError("no such call")
        self.reports.append(chunk_ids)
        return [chunk_id for chunk_id in chunk_ids if chunk_id in self.drop]


def swept(api: Api, store: Store) -> float:
    """Sweep once; the delay until the next sweep."""
    delays: list[float] = []
    sweep = Sweep(api, store, api.clock.seconds, AGE_SECONDS, GRACE_SECONDS)
    Deferred.fromCoroutine(sweep.sweep()).addCallback(delays.append)
    [delay] = delays
    return delay


def test_the_api_decides_over_chunks_that_no_mark_came_for() -> None:
    """Committed ones are confirmed, those of failed uploads dropped, those in flight left alone."""
    committed, failed, in_flight = chunks(3)
    store = Store([committed, failed, in_flight])
    assert swept(Api(confirm=[committed], drop=[failed]), store) == SWEEP_SECONDS
    assert (store.confirmed, list(store.dropped)) == ([committed], [failed])
    assert store.asked_ages == [AGE_SECONDS]


def test_many_chunks_are_asked_about_in_bounded_batches() -> None:
    """So that neither question nor answer outgrows its limit."""
    many = chunks(2 * ASK_CHUNKS_MAX + 1)
    api, store = Api(drop=many), Store(many)
    swept(api, store)
    assert [len(question) for question in api.questions] == [ASK_CHUNKS_MAX, ASK_CHUNKS_MAX, 1]
    assert list(store.dropped) == many


def test_without_old_chunks_nobody_is_asked() -> None:
    """The usual case costs nothing, with damaged chunks as little as with old ones."""
    api = Api()
    swept(api, Store([]))
    assert not api.questions
    assert not api.reports


def test_an_api_that_is_away_ends_the_round_but_not_the_sweeping() -> None:
    """What was answered before counts, the rest is asked again the next time."""
    many = chunks(ASK_CHUNKS_MAX + 1)
    store = Store(many)
    assert swept(Api(drop=many, calls_max=1), store) == SWEEP_SECONDS
    assert list(store.dropped) == many[:ASK_CHUNKS_MAX]


def test_dead_chunks_are_reclaimed_even_when_the_api_is_away() -> None:
    """The grace runs on the node's own clock."""
    store = Store(chunks(1))
    swept(Api(calls_max=0), store)
    assert store.graces == [GRACE_SECONDS]


def test_a_chunk_is_dropped_only_if_it_is_as_old_as_when_it_was_asked_about() -> None:
    """One that was written again while the api thought about it is younger, however long it did."""
    [failed] = chunks(1)
    api, store = Api(drop=[failed]), Store([failed])
    api.answer_seconds = 10.0
    swept(api, store)
    assert store.dropped == {failed: AGE_SECONDS + 10.0}


def test_the_api_is_told_of_damaged_chunks_and_ends_those_that_no_file_needs() -> None:
    """The others stay, and are told of again."""
    needed, unneeded = chunks(2)
    api, store = Api(drop=[unneeded]), Store([], quarantined=[needed, unneeded])
    swept(api, store)
    assert api.reports == [[needed, unneeded]]
    assert store.buried == [unneeded]


def test_many_damaged_chunks_are_told_of_in_bounded_batches() -> None:
    """A whole disk may be bad."""
    api = Api()
    swept(api, Store([], quarantined=chunks(ASK_CHUNKS_MAX + 1)))
    assert [len(report) for report in api.reports] == [ASK_CHUNKS_MAX, 1]


def test_an_api_that_hears_of_no_damage_is_still_asked_about_old_chunks() -> None:
    """And one that answers no question is told of damage."""
    [old, damaged] = chunks(2)
    api, store = Api(drop=[old]), Store([old], quarantined=[damaged])
    api.reports_max = 0
    assert swept(api, store) == SWEEP_SECONDS
    assert list(store.dropped) == [old]
    api = Api(calls_max=0)
    swept(api, store)
    assert api.reports == [[damaged]]
