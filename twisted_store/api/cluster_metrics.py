"""The state of nodes and of the two jobs, for ``/metrics``."""

from collections import Counter
from collections.abc import Iterable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from twisted_store.api.jobs_view import queued_amounts
from twisted_store.api.views import losses_view
from twisted_store.cluster.jobs import Job, Jobs
from twisted_store.cluster.members import Members
from twisted_store.cluster.mover import Mover
from twisted_store.cluster.worklist import Worklist
from twisted_store.core.membership import Membership
from twisted_store.core.moves import Amount

PREFIX = "twisted_store"

Amounts = Iterable[tuple[str, Amount]]


class ClusterCollector(Collector):
    """Reads everything when it is asked for; of objects what the worklist saw last."""

    def __init__(self, members: Members, worklist: Worklist, mover: Mover, jobs: Jobs) -> None:
        self._members = members
        self._worklist = worklist
        self._mover = mover
        self._jobs = jobs

    def collect(self) -> Iterator[Metric]:
        """All families."""
        yield self._nodes()
        yield self._objects()
        queued = [
            (cause.value, amount)
            for job in Job
            for cause, amount in queued_amounts(job, self._worklist, self._mover.moving).items()
        ]
        blocked = [(cause.value, each) for cause, each in self._worklist.backlog.waiting.items()]
        moved = [(cause.value, amount) for cause, amount in self._jobs.moved.items()]
        yield from _gauges("move_queued", "to be moved", queued)
        yield from _gauges("move_blocked", "that wait for nodes", blocked)
        yield from _counters("moved", "moved", moved)
        yield CounterMetricFamily(
            f"{PREFIX}_move_failures", "Moves that failed.", value=self._jobs.failures
        )
        yield self._rates()

    def _nodes(self) -> Metric:
        found = Counter(status.verdict.membership for status in self._members.status())
        family = GaugeMetricFamily(f"{PREFIX}_nodes", "Nodes.", labels=["membership"])
        for membership in Membership:
            family.add_metric([membership.value], found[membership])
        return family

    def _objects(self) -> Metric:
        family = GaugeMetricFamily(
            f"{PREFIX}_objects",
            "Files by the loss of how many nodes they survive; -1: not readable.",
            labels=["losses_survived"],
        )
        view = losses_view(self._worklist.groups, self._members.standing().present)
        for losses, objects in view["objects_by_losses_survived"].items():
            family.add_metric([losses], objects)
        return family

    def _rates(self) -> Metric:
        family = GaugeMetricFamily(
            f"{PREFIX}_move_rate_bytes", "Bytes of chunks made per second.", labels=["job"]
        )
        for job in Job:
            family.add_metric([job.value], self._jobs.rates[job].bytes_per_second)
        return family


def _gauges(name: str, what: str, amounts: Amounts) -> Iterator[Metric]:
    objects = GaugeMetricFamily(f"{PREFIX}_{name}_objects", f"Files {what}.", labels=["cause"])
    size = GaugeMetricFamily(f"{PREFIX}_{name}_bytes", f"Bytes of chunks {what}.", labels=["cause"])
    for cause, amount in amounts:
        objects.add_metric([cause], amount.objects)
        size.add_metric([cause], amount.size_bytes)
    yield from (objects, size)


def _counters(name: str, what: str, amounts: Amounts) -> Iterator[Metric]:
    objects = CounterMetricFamily(f"{PREFIX}_{name}_objects", f"Files {what}.", labels=["cause"])
    size = CounterMetricFamily(
        f"{PREFIX}_{name}_bytes", f"Bytes of chunks {what}.", labels=["cause"]
    )
    for cause, amount in amounts:
        objects.add_metric([cause], amount.objects)
        size.add_metric([cause], amount.size_bytes)
    yield from (objects, size)
