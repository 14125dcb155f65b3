"""The judge of the torture test is judged: it must see what it is there for."""

import pytest

from tests.integration.client import Answer
from tests.integration.oracle import File, Version, ViolationError

OLD, NEW = Version(1, 100), Version(2, 100)
UNAVAILABLE = Answer(503, {}, b'{"error": "node_failed"}')


def shown(version: Version) -> Answer:
    """A GET that gives that version."""
    return Answer(200, {"etag": f'"{version.etag}"'}, version.content)


def stored(status: int, version: Version) -> Answer:
    """The answer to its PUT."""
    return Answer(status, {"etag": f'"{version.etag}"'}, b"{}")


@pytest.fixture
def file() -> File:
    """A file that holds the old version."""
    file = File("name")
    file.begin(OLD)
    file.put_answered(OLD, "", stored(201, OLD))
    return file


@pytest.fixture
def doubtful(file: File) -> File:
    """One whose overwrite broke off."""
    file.begin(NEW)
    file.lose_answer(NEW)
    return file


@pytest.mark.parametrize(
    "answer",
    [
        shown(NEW),
        Answer(404, {}, b""),
        Answer(200, {"etag": OLD.etag}, OLD.content[:-1]),
        Answer(200, {"etag": NEW.etag}, OLD.content),
        Answer(500, {}, b"{}"),
    ],
    ids=["other", "lost", "short", "mistagged", "failed"],
)
def test_a_wrong_answer_to_a_read_is_seen(file: File, answer: Answer) -> None:
    """Whoever reads."""
    with pytest.raises(ViolationError):
        file.read_by_writer(answer)
    with pytest.raises(ViolationError):
        file.read_since(file.moment, answer)


@pytest.mark.parametrize(("seen", "unseen"), [(OLD, NEW), (NEW, OLD)])
def test_doubt_ends_with_the_first_read(doubtful: File, seen: Version, unseen: Version) -> None:
    """Old or new, but then for good; an error ends nothing."""
    doubtful.read_by_writer(UNAVAILABLE)
    doubtful.read_by_writer(shown(seen))
    doubtful.read_by_writer(shown(seen))
    with pytest.raises(ViolationError):
        doubtful.read_by_writer(shown(unseen))


def test_a_refused_upload_changes_nothing(file: File) -> None:
    """It must not show up later."""
    file.begin(NEW)
    file.put_answered(NEW, "", UNAVAILABLE)
    with pytest.raises(ViolationError):
        file.read_by_writer(shown(NEW))


def test_a_reader_may_see_what_was_there_while_it_read(file: File) -> None:
    """Not what was replaced before."""
    moment = file.moment
    file.begin(NEW)
    file.read_since(moment, shown(OLD))
    file.read_since(moment, shown(NEW))
    file.put_answered(NEW, "", stored(200, NEW))
    file.read_since(moment, shown(OLD))
    with pytest.raises(ViolationError):
        file.read_since(file.moment, shown(OLD))


def test_ranges_are_compared_with_their_part(file: File) -> None:
    """Not with any part."""
    asked = range(10, 20)
    file.read_by_writer(Answer(206, {"etag": OLD.etag}, OLD.content[10:20]), asked)
    file.read_by_writer(Answer(416, {}, b""), range(100, 101))
    with pytest.raises(ViolationError):
        file.read_by_writer(Answer(206, {"etag": OLD.etag}, OLD.content[11:21]), asked)
    with pytest.raises(ViolationError):
        file.read_by_writer(Answer(416, {}, b""), asked)


def test_conditions_must_be_decided_as_they_are(file: File) -> None:
    """A create does not replace, a match does not fail, and a 412 names what is there."""
    for condition, answer in [
        ("*", stored(201, NEW)),
        ("*", stored(200, NEW)),
        (OLD.etag, stored(412, OLD)),
        (NEW.etag, stored(412, NEW)),
    ]:
        with pytest.raises(ViolationError):
            file.put_answered(NEW, condition, answer)
    file.put_answered(NEW, "*", stored(412, OLD))
    file.put_answered(NEW, OLD.etag, stored(200, NEW))
    file.read_by_writer(shown(NEW))


def test_whether_something_was_there_must_be_told_right(file: File) -> None:
    """By 200 and 201, and by 204 and 404."""
    with pytest.raises(ViolationError):
        file.put_answered(NEW, "", stored(201, NEW))
    with pytest.raises(ViolationError):
        file.delete_answered(Answer(404, {}, b""))
    file.delete_answered(Answer(204, {}, b""))
    with pytest.raises(ViolationError):
        file.put_answered(NEW, "", stored(200, NEW))


def test_a_listing_must_show_what_is_there(doubtful: File) -> None:
    """And ends doubt as a read does."""
    with pytest.raises(ViolationError):
        doubtful.listed("")
    doubtful.listed(NEW.etag)
    with pytest.raises(ViolationError):
        doubtful.read_by_writer(shown(OLD))
