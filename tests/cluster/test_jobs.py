"""What operators ask of repair and rebalancing is kept, and what was done is counted."""

from collections.abc import Mapping

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from tests.cluster.moving import NODES, manifest_of
from twisted_store.cluster.jobs import RATE_SETTING, Job, Jobs
from twisted_store.cluster.recent_rate import WINDOW_SECONDS
from twisted_store.cluster.throttle import Throttle
from twisted_store.core.moves import Amount, Cause, MovableObject, Plan, Step
from twisted_store.core.reasons import NO_REASONS
from twisted_store.errors import OverloadedError


class Desk:
    """Jobs, and what was made durable of what was asked."""

    def __init__(self, settings: Mapping[str, int | None], rate_bytes: int | None = 1000) -> None:
        self.clock = Clock()
        self.saved: dict[str, int | None] = {}
        self.refusing = False
        self.throttle = Throttle(self.clock, self.clock.seconds, rate_bytes)
        self.jobs = Jobs(self.throttle, self.clock.seconds, settings, self.save)

    async def save(self, name: str, value: int | None) -> None:
        """Keep it."""
        if self.refusing:
            raise OverloadedError("Too many writes wait.")
        self.saved[name] = value

    def pause(self, job: Job, paused: bool) -> "Deferred[None]":
        """Ask."""
        return Deferred.fromCoroutine(self.jobs.pause(job, paused))

    def limit(self, rate_bytes: int | None) -> "Deferred[None]":
        """Ask."""
        return Deferred.fromCoroutine(self.jobs.limit(rate_bytes))


def test_every_cause_belongs_to_one_job() -> None:
    """Or its moves would never be paused."""
    assert sorted(cause for job in Job for cause in job.causes) == sorted(Cause)
    assert Job.REBALANCE.causes == (Cause.REBALANCE,)


@pytest.mark.parametrize("job", list(Job))
def test_a_pause_outlives_the_process(job: Job) -> None:
    """So does its end; the other job is not concerned."""
    desk = Desk({})
    assert not desk.jobs.is_paused(job)
    desk.pause(job, True)
    desk.pause(job, True)
    later = Desk(desk.saved)
    assert [each for each in Job if later.jobs.is_paused(each)] == [job]
    later.pause(job, False)
    assert not later.jobs.is_paused(job)
    assert not Desk(later.saved).jobs.is_paused(job)


@pytest.mark.parametrize("rate_bytes", [7, None])
def test_a_limit_outlives_the_process(rate_bytes: int | None) -> None:
    """None as well, whatever the option says; without a word that is what holds."""
    desk = Desk({})
    assert desk.jobs.rate_bytes_max == 1000
    desk.limit(rate_bytes)
    assert (desk.jobs.rate_bytes_max, desk.throttle.rate_bytes) == (rate_bytes, rate_bytes)
    assert desk.saved == {RATE_SETTING: rate_bytes}
    assert Desk(desk.saved).jobs.rate_bytes_max == rate_bytes


def test_what_could_not_be_kept_is_not_done() -> None:
    """Or it would be undone by the next start."""
    desk = Desk({})
    desk.refusing = True
    failures: list[Failure] = []
    for refused in (desk.pause(Job.REPAIR, True), desk.limit(5)):
        refused.addErrback(failures.append)
    assert [failure.type for failure in failures] == [OverloadedError, OverloadedError]
    assert (desk.jobs.is_paused(Job.REPAIR), desk.jobs.rate_bytes_max) == (False, 1000)


def test_bytes_are_counted_for_their_job_when_they_pass() -> None:
    """Both share one limit."""
    desk = Desk({})
    for cause in (Cause.DRAIN, Cause.REBALANCE, Cause.LOST):
        Deferred.fromCoroutine(desk.jobs.take(cause, 2000))
    rates = desk.jobs.rates
    assert rates[Job.REPAIR].bytes_per_second == 2000 / WINDOW_SECONDS
    assert rates[Job.REBALANCE].bytes_per_second == 0
    desk.clock.advance(2.0)
    assert rates[Job.REBALANCE].bytes_per_second == 2000 / WINDOW_SECONDS
    desk.clock.advance(2.0)
    assert rates[Job.REPAIR].bytes_per_second == 4000 / WINDOW_SECONDS


def test_moves_are_counted_by_cause() -> None:
    """Objects, and the bytes of all chunks that were made."""
    desk, placement = Desk({}), NODES[:7]
    manifest = manifest_of(1, placement)
    subject = MovableObject(manifest, placement, 1, NO_REASONS, frozenset())
    steps = (Step(0, NODES[8], None), Step(1, NODES[9], None))
    for cause in (Cause.LOST, Cause.LOST, Cause.DRAIN):
        desk.jobs.done(Plan(subject, manifest, placement, steps, cause))
    moved = {cause: amount for cause, amount in desk.jobs.moved.items() if amount.objects}
    assert moved == {Cause.LOST: Amount(2, 40), Cause.DRAIN: Amount(1, 20)}
