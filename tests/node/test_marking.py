"""Marks and discards: durable before they are answered, and never those of an older catalog."""

import errno
from typing import Any

import pytest

from tests.node.bench import CHUNK, NodeBench, path
from tests.web.wire import Answer
from twisted_store.core.ids import ChunkId, object_id
from twisted_store.node.resource import MARKS_BYTES_MAX
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
) -> Answer:
    """The node's answer to these marks."""
    marks = {
        "incarnation": incarnation,
        "sequence": sequence,
        "confirm": [str(chunk_id) for chunk_id in confirm],
        "dead": [str(chunk_id) for chunk_id in dead],
    }
    return bench.post("/chunks/marks", marks)


def discard(bench: NodeBench, chunk_id: ChunkId, incarnation: int = 1) -> Answer:
    """The node's answer to a discard."""
    return bench.call("DELETE", path(chunk_id), f"X-Incarnation: {incarnation}")


def test_marks_move_chunks_on_and_name_those_that_are_not_here(bench: NodeBench) -> None:
    """Both kinds in one call; repeating it changes nothing."""
    bench.hold(b"one")
    bench.hold(b"two", OTHER)
    for _ in range(2):
        answer = mark(bench, confirm=(CHUNK, ABSENT), dead=(OTHER, ABSENT))
        assert answer.status == 200
        assert answer.json() == {"missing": {"confirm": [str(ABSENT)], "dead": [str(ABSENT)]}}
        assert bench.states() == {str(CHUNK): "confirmed", str(OTHER): "dead"}


def test_marks_are_durable_before_they_are_answered(bench: NodeBench) -> None:
    """When the disk does not take them, they are not acknowledged, and come again."""
    bench.hold(b"one")
    bench.disk.failing["sync_directory"] = OSError(errno.EIO, "Input/output error")
    assert mark(bench, dead=(CHUNK,)).status == 503
    bench.disk.failing.clear()
    assert mark(bench, dead=(CHUNK,)).status == 200


def test_an_older_catalog_is_refused_and_what_it_asks_not_done(bench: NodeBench) -> None:
    """It does not know of objects that have chunks here."""
    bench.hold(b"one")
    assert mark(bench, incarnation=2, sequence=10).status == 200
    for incarnation, sequence in ((2, 9), (1, 11), (3, 9)):
        answer = mark(bench, dead=(CHUNK,), incarnation=incarnation, sequence=sequence)
        assert (answer.status, answer.json()["error"]) == (409, "catalog_rolled_back")
    assert discard(bench, CHUNK, incarnation=1).json()["error"] == "catalog_rolled_back"
    assert bench.states() == {str(CHUNK): "provisional"}


def test_the_latest_catalog_is_remembered(bench: NodeBench) -> None:
    """Across restarts of either side; an incarnation may begin without a commit of its own."""
    mark(bench, incarnation=2, sequence=10)
    assert mark(bench, incarnation=3, sequence=10).status == 200
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


SOUND: dict[str, Any] = {"incarnation": 1, "sequence": 1, "confirm": [], "dead": []}


@pytest.mark.parametrize(
    "body",
    [
        [],
        {},
        SOUND | {"incarnation": "1"},
        SOUND | {"incarnation": True},
        SOUND | {"sequence": -1},
        SOUND | {"confirm": "all"},
        SOUND | {"dead": ["not a chunk"]},
        SOUND | {"dead": [17]},
    ],
    ids=str,
)
def test_marks_that_make_no_sense_are_refused_whole(bench: NodeBench, body: object) -> None:
    """Nothing of them is done."""
    assert bench.post("/chunks/marks", body).status == 400
    assert bench.identity.seen == Seen()


def test_marks_have_a_limit(bench: NodeBench) -> None:
    """A body beyond it is not read into memory."""
    answer = bench.call("POST", "/chunks/marks", body=b" " * (MARKS_BYTES_MAX + 1))
    assert (answer.status, answer.json()["error"]) == (413, "too_large")
