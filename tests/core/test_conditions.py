"""Conditional requests as values: RFC 9110 section 13."""

import pytest

from twisted_store.core.conditions import NO_CONDITIONS, Conditions, EntityTag, EntityTags
from twisted_store.errors import PreconditionFailedError

ANY = EntityTags(any_tag=True)
CURRENT = EntityTags((EntityTag("other"), EntityTag("current")))
WEAK = EntityTags((EntityTag("current", weak=True),))
OTHER = EntityTags((EntityTag("other"),))
MODIFIED = 1000

WRITES = [
    # conditions, may replace the current object, may create one
    (NO_CONDITIONS, True, True),
    (Conditions(if_match=ANY), True, False),
    (Conditions(if_match=CURRENT), True, False),
    (Conditions(if_match=WEAK), False, False),
    (Conditions(if_match=OTHER), False, False),
    (Conditions(if_none_match=ANY), False, True),
    (Conditions(if_none_match=CURRENT), False, True),
    (Conditions(if_none_match=WEAK), False, True),
    (Conditions(if_none_match=OTHER), True, True),
    (Conditions(if_unmodified_since=MODIFIED - 1), False, True),
    (Conditions(if_unmodified_since=MODIFIED), True, True),
    (Conditions(if_match=CURRENT, if_unmodified_since=MODIFIED - 1), True, False),
    (Conditions(if_match=CURRENT, if_none_match=ANY), False, False),
    (Conditions(if_modified_since=MODIFIED), True, True),
    (Conditions(if_range=EntityTag("other")), True, True),
]


def holds(conditions: Conditions, etag: str | None, modified_seconds: int | None) -> bool:
    """Whether a write may go on."""
    try:
        conditions.check_write(etag, modified_seconds)
    except PreconditionFailedError:
        return False
    return True


@pytest.mark.parametrize(("conditions", "may_replace", "may_create"), WRITES)
def test_a_write_goes_on_where_its_conditions_hold(
    conditions: Conditions, may_replace: bool, may_create: bool
) -> None:
    """``If-Match`` compares strongly and goes before dates, ``If-None-Match`` compares weakly."""
    assert holds(conditions, "current", MODIFIED) is may_replace
    assert holds(conditions, None, None) is may_create


def test_a_refusal_tells_the_current_etag() -> None:
    """So that the client need not ask for it; None where there is no object."""
    with pytest.raises(PreconditionFailedError) as caught:
        Conditions(if_none_match=ANY).check_write("current")
    assert caught.value.etag == "current"
    with pytest.raises(PreconditionFailedError) as caught:
        Conditions(if_match=ANY).check_write(None)
    assert caught.value.etag is None


def test_a_date_without_an_object_date_is_ignored() -> None:
    """Section 13.1.4."""
    assert holds(Conditions(if_unmodified_since=0), "current", None)


READS = [
    (NO_CONDITIONS, "serve"),
    (Conditions(if_match=ANY), "serve"),
    (Conditions(if_match=CURRENT), "serve"),
    (Conditions(if_match=WEAK), "failed"),
    (Conditions(if_match=OTHER), "failed"),
    (Conditions(if_none_match=ANY), "not_modified"),
    (Conditions(if_none_match=CURRENT), "not_modified"),
    (Conditions(if_none_match=WEAK), "not_modified"),
    (Conditions(if_none_match=OTHER), "serve"),
    (Conditions(if_modified_since=MODIFIED - 1), "serve"),
    (Conditions(if_modified_since=MODIFIED), "not_modified"),
    (Conditions(if_modified_since=MODIFIED + 1), "not_modified"),
    (Conditions(if_unmodified_since=MODIFIED - 1), "failed"),
    (Conditions(if_unmodified_since=MODIFIED), "serve"),
    # The order of section 13.2.2: tags go before dates, failing before not modified.
    (Conditions(if_match=CURRENT, if_unmodified_since=MODIFIED - 1), "serve"),
    (Conditions(if_match=OTHER, if_none_match=CURRENT), "failed"),
    (Conditions(if_match=CURRENT, if_none_match=CURRENT), "not_modified"),
    (Conditions(if_none_match=OTHER, if_modified_since=MODIFIED), "serve"),
    (Conditions(if_unmodified_since=MODIFIED, if_none_match=CURRENT), "not_modified"),
    (Conditions(if_unmodified_since=MODIFIED - 1, if_modified_since=MODIFIED), "failed"),
]


@pytest.mark.parametrize(("conditions", "verdict"), READS)
def test_a_read_has_its_verdict(conditions: Conditions, verdict: str) -> None:
    """Serve it, say that it is not modified, or fail."""
    if verdict == "failed":
        with pytest.raises(PreconditionFailedError):
            conditions.check_read("current", MODIFIED)
    else:
        assert conditions.check_read("current", MODIFIED) == verdict


@pytest.mark.parametrize(
    ("if_range", "applies"),
    [
        (None, True),
        (EntityTag("current"), True),
        (EntityTag("other"), False),
        (EntityTag("current", weak=True), False),
        (MODIFIED, True),
        (MODIFIED - 1, False),
        (MODIFIED + 1, False),
    ],
)
def test_a_range_is_sent_of_the_very_same_object(
    if_range: EntityTag | int | None, applies: bool
) -> None:
    """Otherwise the client would glue bytes of two objects together (section 13.1.5)."""
    assert Conditions(if_range=if_range).range_applies("current", MODIFIED) is applies
