"""What a node holds is compared with the catalog, in both directions and to the end."""

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from tests.cluster.moving import NODES, Rows
from tests.cluster.moving import id_of as object_id_of
from twisted_store.cluster.merge import PAGE_CHUNKS, SETTLE_SECONDS, Merge
from twisted_store.cluster.sweep import Fates
from twisted_store.core.ids import ChunkId, NodeId, Placement
from twisted_store.core.peer import Marks, Peer
from twisted_store.errors import NodeFailedError, StoreError

NODE = NODES[2]
PEER = Peer(NODE, "http://node2")
FULL: Placement = NODES[:7]


@dataclass(frozen=True)
class Page:
    """What a node answers."""

    chunks: Sequence[tuple[ChunkId, str]]
    next_after: ChunkId | None


@dataclass
class World(Rows):
    """A node with chunks, a catalog, and who rules over them."""

    incarnation: int = 4
    synced_sequence: int = 1_000_000
    held: dict[ChunkId, str] = field(default_factory=dict)
    undecided: set[ChunkId] = field(default_factory=set)
    marks: list[Marks] = field(default_factory=list)
    asked: list[ChunkId] = field(default_factory=list)
    absent: list[tuple[NodeId, ChunkId]] = field(default_factory=list)
    page_chunks: int = 3
    lists: int = 0
    down: bool = False

    def __post_init__(self) -> None:
        Rows.__init__(self)
        self.clock = Clock()

    def list(self, peer: Peer, after: ChunkId | None, limit: int) -> Awaitable[Page]:
        """A few at a time, whatever is asked for."""
        assert limit == PAGE_CHUNKS
        self.lists += 1
        chunks = sorted(each for each in self.held.items() if after is None or each[0] > after)
        page = chunks[: self.page_chunks]
        return succeed(Page(page, page[-1][0] if len(page) < len(chunks) else None))

    def mark(self, peer: Peer, marks: Marks) -> Awaitable[frozenset[ChunkId]]:
        """Take them, if what is to be confirmed is held soundly."""
        assert peer == PEER
        if self.down:
            raise NodeFailedError("It rained.")
        self.marks.append(marks)
        self.held.update(dict.fromkeys(marks.dead, "dead"))
        sound = {each for each, state in self.held.items() if state in ("confirmed", "provisional")}
        self.held.update(dict.fromkeys(sound.intersection(marks.confirm), "confirmed"))
        return succeed(frozenset(marks.confirm) - sound)

    def rule(self, node_id: NodeId, chunk_ids: Sequence[ChunkId]) -> Awaitable[Fates]:
        """What the catalog has is confirmed, and the rest dropped, but for what is under way."""
        assert node_id == NODE
        assert len(chunk_ids) <= PAGE_CHUNKS
        self.asked += chunk_ids
        decided = [each for each in chunk_ids if each not in self.undecided]
        needed = [each for each in decided if self.needs(each)]
        return succeed(Fates(needed, [each for each in decided if each not in needed]))

    def needs(self, chunk_id: ChunkId) -> bool:
        """Whether the node should hold it."""
        found = self.objects.get(chunk_id.object_id)
        return found is not None and found.placement[chunk_id.index] == NODE

    def note_absence(self, node_id: NodeId, chunk_id: ChunkId) -> None:
        """Keep it."""
        self.absent.append((node_id, chunk_id))

    def merge(self) -> "Deferred[None]":
        """Begin to compare."""
        merge = Merge(self, self, self, self.note_absence, self.clock)
        return Deferred.fromCoroutine(merge.merge(PEER))

    def told(self, kind: str) -> Sequence[ChunkId]:
        """The chunks that the node was told of."""
        return [chunk_id for marks in self.marks for chunk_id in getattr(marks, kind)]


def ended(merging: "Deferred[None]") -> bool:
    """Whether it has."""
    done: list[None] = []
    merging.addCallback(done.append)
    return bool(done)


def chunk(number: int, index: int = 2) -> ChunkId:
    """Of an object, the one that the node holds in all of them."""
    return ChunkId(object_id_of(number), index)


def test_p7_chunks_are_confirmed_dead_or_absent() -> None:
    """Those that are needed and there, those that nobody needs, those that are missing."""
    world = World()
    for number in (1, 2, 3, 4):
        world.add(number, FULL)
    world.add(5, (*NODES[:2], NODES[8], *NODES[3:7]))
    world.held = {
        chunk(1): "confirmed",
        chunk(2): "provisional",
        chunk(4): "quarantined",
        chunk(5): "confirmed",
        chunk(6): "confirmed",
        chunk(1, 5): "provisional",
        chunk(7): "dead",
    }
    assert ended(world.merge())
    assert sorted(world.told("confirm")) == [chunk(1), chunk(2), chunk(3), chunk(4)]
    assert sorted(world.told("dead")) == [chunk(1, 5), chunk(5), chunk(6)]
    assert sorted(world.absent) == [(NODE, chunk(3)), (NODE, chunk(4))]
    assert chunk(7) not in world.asked
    assert {(marks.incarnation, marks.sequence) for marks in world.marks} == {(4, 1_000_000)}


def test_an_empty_node_hears_of_all_that_it_should_hold() -> None:
    """More than fit into one call, and in more than one placement."""
    world = World()
    others = (*NODES[3:9], NODE)
    for number in range(2 * PAGE_CHUNKS + 3):
        world.add(number, FULL)
    world.add(5000, others)
    world.add(6000, NODES[3:10])
    assert ended(world.merge())
    assert len(world.absent) == 2 * PAGE_CHUNKS + 4
    assert len(set(world.absent)) == len(world.absent)
    assert (NODE, chunk(5000, 6)) in world.absent
    assert max(len([*marks.confirm]) for marks in world.marks) <= PAGE_CHUNKS


def test_both_copies_that_a_node_holds_are_compared() -> None:
    """Under ``5x2`` it has two chunks of an object."""
    world = World()
    world.add(1, (*NODES[:5], *NODES[1:5], NODES[0]))
    world.held = {chunk(1, 2): "provisional"}
    assert ended(world.merge())
    assert world.told("confirm") == [chunk(1, 2), chunk(1, 6)]
    assert world.absent == [(NODE, chunk(1, 6))]


def test_all_pages_of_a_node_are_read() -> None:
    """To the last one, however they are cut."""
    world = World()
    world.held = {chunk(number): "confirmed" for number in range(10)}
    assert ended(world.merge())
    assert (world.lists, sorted(world.told("dead"))) == (4, sorted(world.held))


def test_what_is_under_way_is_looked_at_again() -> None:
    """Until it is decided; only then the node is done."""
    world = World()
    world.add(1, FULL)
    world.held = {chunk(1): "provisional", chunk(2): "provisional", chunk(3): "confirmed"}
    world.undecided = {chunk(1), chunk(2)}
    merging = world.merge()
    assert not ended(merging)
    assert (world.told("dead"), world.told("confirm")) == ([chunk(3)], [])
    world.undecided = {chunk(2)}
    world.clock.advance(SETTLE_SECONDS)
    assert not ended(merging)
    world.undecided = set()
    world.clock.advance(SETTLE_SECONDS)
    assert ended(merging)
    assert world.told("dead") == [chunk(3), chunk(2)]
    assert world.told("confirm") == [chunk(1)]
    assert world.asked.count(chunk(3)) == 1


def test_a_node_that_fails_is_not_compared() -> None:
    """Whoever asked hears of it."""
    world = World(down=True)
    world.held = {chunk(3): "confirmed"}
    failures: list[Failure] = []
    world.merge().addErrback(failures.append)
    assert [failure.check(StoreError) for failure in failures] == [StoreError]


def test_a_comparison_can_be_ended_while_it_waits() -> None:
    """Nothing is left of it."""
    world = World()
    world.held = {chunk(1): "provisional"}
    world.undecided = {chunk(1)}
    merging = world.merge()
    merging.addErrback(lambda _: None)
    merging.cancel()
    assert (world.clock.getDelayedCalls(), world.marks) == ([], [])
