"""What operators ask of repair and rebalancing, and what has been done since the start."""

from collections.abc import Awaitable, Callable, Mapping
from enum import StrEnum

from twisted_store.cluster.recent_rate import RecentRate
from twisted_store.cluster.throttle import Throttle
from twisted_store.core.moves import Amount, Cause, Plan

RATE_SETTING = "move_rate_bytes"

SaveSetting = Callable[[str, int | None], Awaitable[None]]


class Job(StrEnum):
    """What can be paused."""

    REPAIR = "repair"
    REBALANCE = "rebalance"

    @property
    def causes(self) -> tuple[Cause, ...]:
        """Why it moves chunks."""
        if self is Job.REBALANCE:
            return (Cause.REBALANCE,)
        return tuple(cause for cause in Cause if cause is not Cause.REBALANCE)

    @property
    def setting(self) -> str:
        """The name under which its pause is kept."""
        return f"{self.value}_paused"


class Jobs:
    """
    Both jobs: whether they are paused, how fast they may go, how much they moved.

    ``settings`` are what operators asked for in earlier lives of the api.
    """

    def __init__(
        self,
        throttle: Throttle,
        monotonic: Callable[[], float],
        settings: Mapping[str, int | None],
        save: SaveSetting,
    ) -> None:
        self.moved = {cause: Amount() for cause in Cause}
        self.rates = {job: RecentRate(monotonic) for job in Job}
        self.failures = 0
        self._throttle = throttle
        self._save = save
        self._paused = {job for job in Job if settings.get(job.setting)}
        if RATE_SETTING in settings:
            throttle.rate_bytes = settings[RATE_SETTING]

    @property
    def rate_bytes_max(self) -> int | None:
        """How many bytes of chunks may be made in a second, None without a limit."""
        return self._throttle.rate_bytes

    def is_paused(self, job: Job) -> bool:
        """Whether an operator stopped it."""
        return job in self._paused

    async def pause(self, job: Job, paused: bool) -> None:
        """Stop a job after the moves under way, or let it go on."""
        await self._save(job.setting, int(paused))
        (self._paused.add if paused else self._paused.discard)(job)

    async def limit(self, rate_bytes: int | None) -> None:
        """Let so many bytes pass in a second."""
        await self._save(RATE_SETTING, rate_bytes)
        self._throttle.rate_bytes = rate_bytes

    async def take(self, cause: Cause, size_bytes: int) -> None:
        """Return when so many bytes of a chunk may be made."""
        await self._throttle.take(size_bytes)
        self.rates[_job_of(cause)].add(size_bytes)

    def done(self, plan: Plan) -> None:
        """A move is committed."""
        self.moved[plan.cause].add(1, plan.size_bytes)


def _job_of(cause: Cause) -> Job:
    return Job.REBALANCE if cause is Cause.REBALANCE else Job.REPAIR
