"""Reasons come back as they were stored."""

import pytest

from twisted_store.core.ids import NodeId
from twisted_store.core.reasons import Reason, Reasons
from twisted_store.errors import FormatError

A, B = NodeId("a" * 16), NodeId("b" * 16)
REASONS = Reasons((Reason(A, 0.25, "among the least filled"), Reason(B, 1.0, "full: 0 B free")))


def test_they_come_back() -> None:
    """With what became of them, and without."""
    changed = REASONS.changed(["Chunk 3 became a hole. It rained \u2603."])
    for reasons in (REASONS, changed, Reasons(())):
        assert Reasons.decode(reasons.encoded) == reasons
    assert changed.text_of(B) == "full: 0 B free"
    assert changed.text_of(NodeId("c" * 16)) == ""


def test_without_changes_the_value_is_shared() -> None:
    """And its text made once."""
    assert REASONS.changed([]) is REASONS
    assert REASONS.encoded is REASONS.encoded


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", "[[[1]], []]", "[1, 2]"])
def test_what_is_none_is_refused(text: str) -> None:
    """With one error."""
    with pytest.raises(FormatError):
        Reasons.decode(text)


def test_a_later_reason_for_a_node_replaces_the_one_that_it_had() -> None:
    """It comes last; the others, and what was told of the upload, stay as they were."""
    changed = REASONS.changed(["It rained."])
    later = Reason(A, 0.5, "took chunk 3: node b was lost")
    replaced = changed.with_reason(later)
    assert replaced.considered == (Reason(B, 1.0, "full: 0 B free"), later)
    assert replaced.changes == ("It rained.",)
    new = Reason(NodeId("c" * 16), 0.0, "took chunk 1: it was on no node")
    assert changed.with_reason(new).considered == (*REASONS.considered, new)
    assert changed.considered == REASONS.considered
    assert Reasons.decode(replaced.encoded) == replaced
