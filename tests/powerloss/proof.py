"""The proof: cut the power at many points of a history, and start the engines on what is left."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Generic, TypeVar

from tests.powerloss.engines import find_catalog, find_node
from tests.powerloss.faults import FoundCluster, misreadings
from tests.powerloss.histories import NODES, History, Images
from tests.powerloss.promises import Knowledge
from twisted_store.core.durability import DurabilityMode
from twisted_store.simulation.chances import EVERYTHING, NOTHING, Draw, any_draw
from twisted_store.simulation.power_loss import Image, PowerLoss
from twisted_store.simulation.recording import Event
from twisted_store.simulation.setting import API

FOUND_MAX = 1_000
"""So many findings are kept; images that are the same are near each other."""

T = TypeVar("T")


@dataclass
class Report:
    """
    How many distinct images of the whole cluster were looked at, and what was wrong.

    ``torn`` are those where, as may be in relaxed durability, a version is seen that has lost
    chunks while the one before it has not: the number of events before the power loss, and what it
    left.
    """

    images: int = 0
    violations: list[str] = field(default_factory=list)
    torn: list[tuple[int, Images]] = field(default_factory=list)


class Examination:
    """Cuts the power at points of one history; ``omit`` tells the events that did not happen."""

    def __init__(
        self,
        history: History,
        scratch: Path,
        random: Random,
        omit: Callable[[Event], bool] = lambda _: False,
    ) -> None:
        self._history = history
        self._random = random
        self._omit = omit
        self._disks = PowerLoss(history.roots)
        self._knowledge = Knowledge(history.setting.durability)
        self._catalogs = _Findings(
            lambda image: find_catalog(image, history.directory, scratch, history.versions)
        )
        self._nodes = _Findings(lambda image: find_node(image, history.versions))
        self._images: set[int] = set()
        self._report = Report()

    def run(self, cuts: Collection[int], mixtures: int) -> Report:
        """
        Cut after each number of events in ``cuts``, and look at what clients read.

        At each cut nothing is left of what was not synced, or any mixture, or all of it, which is
        what a kill leaves; with durability none only that. Ends with the first violations.
        """
        for number, event in enumerate(self._history.events, start=1):
            if number > self._history.first_cut:
                self._report.violations += misreadings(event, self._knowledge)
            self._knowledge.learn(event)
            if not self._omit(event):
                self._disks.happen(event)
            if number in cuts:
                self._cut(number, event, mixtures)
            if self._report.violations:
                break
        self._report.images = len(self._images)
        return self._report

    def _cut(self, number: int, event: Event, mixtures: int) -> None:
        if self._history.setting.durability.mode is not DurabilityMode.NONE:
            horizon_seconds = self._knowledge.horizon_seconds(event.at_seconds)
            draws = [any_draw(self._random) for _ in range(mixtures)]
            for draw in (lambda: NOTHING, *draws):
                self._check(number, event, draw, horizon_seconds)
        self._check(number, event, lambda: EVERYTHING, event.at_seconds)

    def _check(self, number: int, event: Event, draw: Draw, horizon_seconds: float) -> None:
        images = self._disks.images(draw)
        self._images.add(hash(tuple(_hash(image) for image in images.values())))
        nodes = tuple(self._nodes.on(images[node]) for node in NODES)
        found = FoundCluster(self._catalogs.on(images[API]), nodes)
        faults = found.faults(self._knowledge, horizon_seconds)
        self._report.violations += [f"event {number}, {event}: {fault}" for fault in faults]
        if found.is_torn(self._knowledge, horizon_seconds):
            self._report.torn.append((number, images))


class _Findings(Generic[T]):
    """What an engine finds on images; on the same image once."""

    def __init__(self, find: Callable[[Image], T]) -> None:
        self._find = find
        self._found: dict[int, T] = {}

    def on(self, image: Image) -> T:
        key = _hash(image)
        if key not in self._found:
            if len(self._found) >= FOUND_MAX:
                self._found.clear()
            self._found[key] = self._find(image)
        return self._found[key]


def _hash(image: Image) -> int:
    return hash(frozenset(image.items()))
