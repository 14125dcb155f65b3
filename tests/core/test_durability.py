"""The durability header."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twisted_store.core.durability import NONE, STRICT, Durability, DurabilityMode
from twisted_store.errors import BadRequestError


@pytest.mark.parametrize(
    ("text", "durability"),
    [
        ("strict", STRICT),
        ("none", NONE),
        ("relaxed;window=1", Durability(DurabilityMode.RELAXED, 1)),
        ("relaxed;window=0.25", Durability(DurabilityMode.RELAXED, 0.25)),
    ],
)
def test_the_header_has_one_form(text: str, durability: Durability) -> None:
    """The forms that the wire knows, in both directions."""
    assert Durability.parse(text) == durability
    assert str(durability) == text


@given(st.integers(1, 10**9))
def test_a_window_survives_the_wire(microseconds: int) -> None:
    """To the microsecond, tiny and huge ones too."""
    durability = Durability(DurabilityMode.RELAXED, microseconds / 10**6)
    assert Durability.parse(str(durability)) == durability


@pytest.mark.parametrize(
    "text",
    ["", "Strict", "strict;window=1", "none;window=1", "relaxed", "relaxed;window=0",
     "relaxed;window=", "relaxed;window=-1", "relaxed;window=1e3", "relaxed;window=nan",
     "relaxed;window=" + "9" * 400, "relaxed; window=1", "strict\n"],
)  # fmt: skip
def test_anything_else_is_refused(text: str) -> None:
    """Nobody gets less durability by a typing error."""
    with pytest.raises(BadRequestError):
        Durability.parse(text)


def test_only_relaxed_has_a_window() -> None:
    """A window elsewhere, or none there, is a mistake of ours."""
    with pytest.raises(ValueError, match="window"):
        Durability(DurabilityMode.STRICT, 1)
    with pytest.raises(ValueError, match="window"):
        Durability(DurabilityMode.RELAXED)
