"""The proof: cut the power at many points of random histories, and start a store on the rest."""

import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from random import Random

from tests.powerloss.volumes.check import Check
from tests.powerloss.volumes.clients import live
from tests.powerloss.volumes.history import History, empty_history
from tests.powerloss.volumes.indexes import Indexes, index_files, without_index
from twisted_store.simulation.chances import EVERYTHING, NOTHING, any_draw
from twisted_store.simulation.power_loss import Image, MachineDisk
from twisted_store.simulation.recording import Event

ACTIONS = 50
LIVES_MAX = 3

_FOREIGN_SEED = -1


@dataclass
class Report:
    """Images that were checked, the hashes of those that differ, and what was wrong."""

    histories: int = 0
    images: int = 0
    distinct: set[bytes] = field(default_factory=set)
    violations: list[str] = field(default_factory=list)


class Proof:
    """
    Random histories below ``folder``, the power cut ``cuts`` times in each life of them.

    ``omit`` tells the events that did not happen.
    """

    def __init__(
        self, folder: Path, cuts: int, omit: Callable[[Event], bool] = lambda _: False
    ) -> None:
        self.report = Report()
        self._omit = omit
        self._folder = folder
        self._cuts = cuts
        foreign = empty_history(folder / "foreign")
        live(foreign, Random(_FOREIGN_SEED), ACTIONS)
        kept = {
            number: index_files(disk.image(EVERYTHING)) for number, disk, _ in foreign.moments()
        }
        self._foreign = [*kept.values()]

    def run(self, seed: int) -> None:
        """One history: a few lives, with power losses in between. All follows from the seed."""
        random, chances = Random(seed), Random(f"cuts {seed}")
        indexes = Indexes(chances, self._foreign)
        history = empty_history(self._folder / "node")
        for life in range(random.randint(1, LIVES_MAX)):
            if life:
                history = history.after_power_loss(_image(history, random))
            live(history, random, ACTIONS)
            self._cut(history, chances, indexes, f"seed {seed}, life {life}")
        self.report.histories += 1

    def _cut(self, history: History, random: Random, indexes: Indexes, name: str) -> None:
        moments = range(history.first_cut + 1, len(history.events) + 1)
        chosen = set(random.sample(moments, min(self._cuts, len(moments))))
        for number, disk, promises in history.moments(self._omit):
            if number in chosen:
                event = history.events[number - 1]
                indexes.keep(index_files(disk.image(EVERYTHING)))
                check = Check(promises, self._folder / "scratch")
                for fault in self._check(disk, check, random, indexes):
                    self.report.violations.append(f"{name}, event {number}, {event}: {fault}")

    def _check(
        self, disk: MachineDisk, check: Check, random: Random, indexes: Indexes
    ) -> Iterator[str]:
        chance = random.choice([NOTHING, EVERYTHING, *(any_draw(random)() for _ in range(4))])
        image = disk.image(chance)
        kind, index = indexes.draw(index_files(image))
        volumes = without_index(image)
        self._count(volumes)
        try:
            root = self._folder / "node"
            for fault in check.faults(volumes, root, index, is_kill=chance is EVERYTHING):
                yield f"with the index {kind}: {fault}"
        except Exception:
            yield f"with the index {kind}: {traceback.format_exc()}"

    def _count(self, image: Image) -> None:
        self.report.images += 1
        total = blake2b(digest_size=16)
        for path, content in sorted(image.items()):
            total.update(f"{path}\0{len(content or b'')}\0".encode())
            total.update(content or b"")
        self.report.distinct.add(total.digest())


def _image(history: History, random: Random) -> Image:
    """What a power loss at the end of a history leaves."""
    *_, (_, disk, _) = history.moments()
    return disk.image(any_draw(random)())
