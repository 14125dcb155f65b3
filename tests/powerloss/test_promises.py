"""What the proof takes for promised, on short histories."""

import pytest

from tests.powerloss.notes import Answered, Asked, Killed, PowerLost, Read
from tests.powerloss.promises import PASS_SECONDS, Allowed, Knowledge
from twisted_store.core.durability import STRICT, Durability, DurabilityMode
from twisted_store.simulation.recording import Event

RELAXED = Durability(DurabilityMode.RELAXED, 2.0)


def put(version: int) -> list[object]:
    """A version that was stored and acknowledged."""
    return [Asked(version, "a", version), Answered(version, done=True)]


def delete(request: int = 99) -> list[object]:
    """A delete that was acknowledged."""
    return [Asked(request, "a", None), Answered(request, done=True)]


def learned(notes: list[object], durability: Durability = STRICT) -> Knowledge:
    """What is known after these, one in each second, from 0 on."""
    knowledge = Knowledge(durability)
    for second, note in enumerate(notes):
        knowledge.learn(Event(float(second), "", note))
    return knowledge


@pytest.mark.parametrize(
    ("notes", "versions"),
    [
        ([], {None}),
        (put(1), {1}),
        ([*put(1), *put(2)], {2}),
        ([*put(1), Asked(2, "a", 2)], {1, 2}),
        ([Asked(1, "a", 1), *put(2)], {1, 2}),
        ([*put(1), Asked(2, "a", 2), Answered(2, done=False)], {1}),
        ([*put(1), Asked(9, "a", None)], {1, None}),
        ([*put(1), *delete()], {None}),
        ([*put(1), *delete(), *put(2)], {2}),
        ([Asked(1, "a", 1), *delete()], {1, None}),
        ([Asked(1, "a", 1), PowerLost(), Read("a", None)], {None}),
        ([Asked(1, "a", 1), PowerLost(), Read("a", 1)], {1}),
        ([Asked(1, "a", 1), Killed(), *put(2)], {2}),
    ],
)
def test_what_may_be_seen(notes: list[object], versions: set[int | None]) -> None:
    """The last that was done, and whatever was asked for and not answered."""
    assert learned(notes).allowed("a", 100.0) == Allowed(frozenset(versions), frozenset(versions))


def test_in_relaxed_durability_the_last_may_be_lost() -> None:
    """And if it is not, some of its chunks may be; what is older is safe."""
    knowledge = learned([*put(1), *put(2)], RELAXED)
    window = RELAXED.window_seconds + PASS_SECONDS
    assert knowledge.horizon_seconds(10.0) == 10.0 - window
    assert knowledge.allowed("a", 0.9) == Allowed(frozenset({None, 1, 2}), frozenset())
    assert knowledge.allowed("a", 1.0) == Allowed(frozenset({1, 2}), frozenset({1}))
    assert knowledge.allowed("a", 3.0) == Allowed(frozenset({2}), frozenset({1, 2}))


def test_what_a_power_loss_may_have_taken_stays_open() -> None:
    """Unless it was safe before."""
    knowledge = learned([*put(1), *put(2), PowerLost()], RELAXED)
    assert knowledge.allowed("a", 100.0) == Allowed(frozenset({1, 2}), frozenset({1}))


def test_what_was_not_synced_at_a_kill_is_so_a_while_later() -> None:
    """Counted from the next start."""
    knowledge = learned([*put(1), *put(2), Killed()], RELAXED)
    assert knowledge.allowed("a", 3.9) == Allowed(frozenset({1, 2}), frozenset({1}))
    assert knowledge.allowed("a", 4.0) == Allowed(frozenset({2}), frozenset({1, 2}))
