"""Marks and discards: durable before they are answered, and never those of an older catalog."""

import errno

from tests.node.bench import CHUNK, NodeBench, path, results
from tests.web.wire import Answer
from twisted_store.core.batch import CONFIRM, DEAD, pack_ids
from twisted_store.core.ids import ChunkId, object_id
from twisted_store.storage.identity import Seen

OTHER = ChunkId(object_id(1, 3, 3), 0)
ABSENT = ChunkId(object_id(1, 4, 3), 0)


def mark(
    bench: NodeBench,
    *,
    confirm: tuple[ChunkId, ...] = (),
    dead: tuple[ChunkId, ...] = (),
    incarnation: int = 1,
    sequence: int = 10,
) -> list[bytes | str]:
    """The results of these marks: packed ids of what is missing, or the code of an error."""
    headers = [f"X-Incarnation: {incarnation}", f"X-Commit-Sequence: {sequence}"]
    kinds = ((CONFIRM, confirm), (DEAD, dead))
    operations = [(kind, pack_ids(chunk_ids)) for kind, chunk_ids in kinds if chunk_ids]
    return results(bench.batch(*operations, headers=headers))


def discard(bench: NodeBench, chunk_id: ChunkId, incarnation: int = 1) -> Answer:
    """The node's answer to a discard."""
    return bench.call("DELETE", path(chunk_id), f"X-Incarnation: {incarnation}")


def test_marks_move_chunks_on_and_name_those_that_are_not_here(bench: NodeBench) -> None:
    """Both kinds in one call; repeating it changes nothing."""
    bench.hold(b"one")
    bench.hold(b"two", OTHER)
    for _ in range(2):
        missing = mark(bench, confirm=(CHUNK, ABSENT), dead=(OTHER, ABSENT))
        assert missing == [ABSENT.packed, ABSENT.packed]
        assert bench.states() == {str(CHUNK): "confirmed", str(OTHER): "dead"}


def test_marks_are_durable_before_they_are_answered(bench: NodeBench) -> None:
    """When the disk does not take them, they are not acknowledged, and come again."""
    bench.hold(b"one")
    bench.disk.failing["sync_directory"] = OSError(errno.EIO, "Input/output error")
    assert mark(bench, dead=(CHUNK,)) == ["node_failed"]
    bench.disk.failing.clear()
    assert mark(bench, dead=(CHUNK,)) == [b""]


def test_an_older_catalog_is_refused_and_what_it_asks_not_done(bench: NodeBench) -> None:
    """It does not know of objects that have chunks here."""
    bench.hold(b"one")
    assert mark(bench, dead=(ABSENT,), incarnation=2) == [ABSENT.packed]
    for incarnation, sequence in ((2, 9), (1, 11), (3, 9)):
        told = mark(bench, dead=(CHUNK,), incarnation=incarnation, sequence=sequence)
        assert told == ["catalog_rolled_back"]
    assert discard(bench, CHUNK, incarnation=1).json()["error"] == "catalog_rolled_back"
    assert bench.states() == {str(CHUNK): "provisional"}


def test_the_latest_catalog_is_remembered(bench: NodeBench) -> None:
    """Across restarts of either side; an incarnation may begin without a commit of its own."""
    for incarnation in (2, 3):
        assert mark(bench, dead=(ABSENT,), incarnation=incarnation) == [ABSENT.packed]
    assert bench.identity.seen == Seen(3, 10)
    assert '"incarnation": 3' in (bench.root / "seen.json").read_text()


def test_a_discard_removes_a_provisional_chunk_and_may_be_repeated(bench: NodeBench) -> None:
    """The upload failed: nothing of it is left."""
    bench.hold(b"one")
    for _ in range(2):
        assert discard(bench, CHUNK).status == 204
        assert bench.states() == {}


def test_a_confirmed_chunk_cannot_be_discarded(bench: NodeBench) -> None:
    """It ends by a dead mark only, which follows a commit."""
    bench.hold(b"one")
    mark(bench, confirm=(CHUNK,))
    assert discard(bench, CHUNK).status == 409
    assert bench.states() == {str(CHUNK): "confirmed"}


def test_who_discards_must_be_known(bench: NodeBench) -> None:
    """Or an older catalog could not be told."""
    bench.hold(b"one")
    assert bench.call("DELETE", path()).status == 400
    assert bench.call("DELETE", path(), "X-Incarnation: new").status == 400
    assert bench.states() == {str(CHUNK): "provisional"}
