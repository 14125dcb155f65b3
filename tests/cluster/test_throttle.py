"""How fast bytes pass: as fast as is said, whoever asks, and from the moment on that it is said."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from twisted_store.cluster.throttle import BURST_SECONDS, Throttle

PIECE_BYTES = 256 * 1024
RATE_BYTES = 8 * 1024 * 1024
WINDOW_SECONDS = 10.0


class Road:
    """A throttle, and takers that want the next piece as soon as they have one."""

    def __init__(self, rate_bytes: int | None) -> None:
        self.clock = Clock()
        self.throttle = Throttle(self.clock, self.clock.seconds, rate_bytes)
        self.passed: list[tuple[float, int]] = []
        self.order: list[int] = []

    def take(self, size_bytes: int, number: int = 0) -> "Deferred[None]":
        """One piece."""
        return Deferred.fromCoroutine(self._take(size_bytes, number))

    def take_forever(self, size_bytes: int, number: int) -> None:
        """One piece after the other; never without waiting."""

        async def run() -> None:
            while True:
                await self._take(size_bytes, number)

        Deferred.fromCoroutine(run())

    def pass_time(self, seconds: float, step_seconds: float = 0.01) -> None:
        """In small steps."""
        for _ in range(round(seconds / step_seconds)):
            self.clock.advance(step_seconds)

    def passed_bytes(self, begin: float, seconds: float) -> int:
        """What passed from one moment to the other."""
        return sum(size for when, size in self.passed if begin <= when < begin + seconds)

    async def _take(self, size_bytes: int, number: int) -> None:
        await self.throttle.take(size_bytes)
        self.passed.append((self.clock.seconds(), size_bytes))
        self.order.append(number)


def test_without_a_limit_all_passes_at_once() -> None:
    """However much it is."""
    road = Road(None)
    for number in range(100):
        road.take(RATE_BYTES, number)
    assert road.order == list(range(100))


def test_the_first_after_a_pause_does_not_wait() -> None:
    """Nor is the whole pause made up for."""
    road = Road(RATE_BYTES)
    road.pass_time(60.0, 1.0)
    for _ in range(100):
        road.take(PIECE_BYTES)
    assert 1 <= len(road.passed) <= 1 + BURST_SECONDS * RATE_BYTES / PIECE_BYTES + 1
    road.pass_time(1.0)
    assert len(road.passed) == pytest.approx(RATE_BYTES * (1 + BURST_SECONDS) / PIECE_BYTES, abs=2)


def test_bytes_pass_in_the_order_in_which_they_are_asked_for() -> None:
    """A small piece does not overtake a large one."""
    road = Road(1000)
    for number, size_bytes in enumerate([500, 2000, 1, 100]):
        road.take(size_bytes, number)
    assert road.order == [0]
    road.pass_time(0.5)
    assert road.order == [0, 1]
    road.pass_time(1.9)
    assert road.order == [0, 1]
    road.pass_time(0.5)
    assert road.order == [0, 1, 2, 3]


@given(
    takers=st.lists(st.integers(1, PIECE_BYTES), min_size=1, max_size=20),
    rate_bytes=st.integers(1024 * 1024, RATE_BYTES),
)
@settings(max_examples=15)
def test_the_rate_is_kept_over_any_ten_seconds(takers: list[int], rate_bytes: int) -> None:
    """Within a tenth, with many takers that want as much as they can get."""
    takers.append(PIECE_BYTES)
    road = Road(rate_bytes)
    for number, size_bytes in enumerate(takers):
        road.take_forever(max(size_bytes, 20_000), number)
    road.pass_time(30.0, 0.02)
    for begin in range(0, 20, 3):
        passed = road.passed_bytes(begin, WINDOW_SECONDS)
        assert passed == pytest.approx(rate_bytes * WINDOW_SECONDS, rel=0.1)


@pytest.mark.parametrize("after", [RATE_BYTES // 8, RATE_BYTES * 4])
def test_another_rate_is_kept_from_the_moment_on_that_it_is_set(after: int) -> None:
    """For those that wait already as well."""
    road = Road(RATE_BYTES)
    for number in range(8):
        road.take_forever(PIECE_BYTES, number)
    road.pass_time(10.0)
    road.throttle.rate_bytes = after
    assert road.throttle.rate_bytes == after
    began = road.clock.seconds()
    road.pass_time(10.0)
    passed = road.passed_bytes(began, 10.0)
    assert passed == pytest.approx(after * 10, rel=0.1)


@pytest.mark.parametrize("after", [RATE_BYTES, None])
def test_a_rate_that_was_far_too_low_holds_nobody_for_hours(after: int | None) -> None:
    """An operator who mistyped it corrects it."""
    road = Road(1)
    for number in range(8):
        road.take(PIECE_BYTES, number)
    road.pass_time(5.0)
    assert road.order == [0]
    road.throttle.rate_bytes = after
    road.pass_time(0.5)
    assert road.order == list(range(8))
    road.take(PIECE_BYTES, 8)
    road.pass_time(0.1)
    assert road.order[-1] == 8


def test_a_taker_that_gives_up_takes_nothing() -> None:
    """Those behind it do not wait for its bytes."""
    road = Road(1000)
    road.take(1000, 0)
    failures: list[Failure] = []
    gone = road.take(1_000_000, 1)
    gone.addErrback(failures.append)
    road.take(1000, 2)
    gone.cancel()
    assert [failure.type for failure in failures] == [CancelledError]
    road.pass_time(1.1)
    assert road.order == [0, 2]


def test_a_limit_that_is_set_applies_after_none() -> None:
    """From the next bytes on."""
    road = Road(None)
    for _ in range(10):
        road.take(1000)
    road.throttle.rate_bytes = 1000
    for _ in range(10):
        road.take(1000)
    road.pass_time(4.0)
    assert len(road.passed) == pytest.approx(15, abs=1)
