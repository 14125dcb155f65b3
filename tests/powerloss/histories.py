"""Lives of a cluster, with everything recorded that happens on its disks and to its clients."""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path

from tests.powerloss.notes import Killed, PowerLost, Version
from tests.powerloss.sqlite_vfs import RecordingOpener
from twisted_store.simulation.chances import EVERYTHING
from twisted_store.simulation.clock import SimulatedClock
from twisted_store.simulation.cluster import SimulatedCluster
from twisted_store.simulation.power_loss import Image, PowerLoss, disk_of
from twisted_store.simulation.recording import (
    Created,
    DirectorySynced,
    Effect,
    Event,
    EventLog,
    Recorder,
    RecordingDisk,
    Synced,
    Written,
)
from twisted_store.simulation.setting import API, DISK_BYTES, Setting, fresh_disk
from twisted_store.storage.disk import Disk

NODES = tuple(f"node{number}" for number in range(6))
MACHINES = (API, *NODES)

Images = Mapping[str, Image]
"""What stands on the disks, by machine."""

_vfs_numbers = count()


@dataclass(frozen=True)
class History:
    """
    All that happened, and what the clients wanted to store, by its number.

    The catalog is in ``directory``. Events before ``first_cut`` belong to an earlier history.
    ``statements`` of SQL are replaced by others, to see what comes of it.
    """

    directory: Path
    setting: Setting
    statements: Mapping[str, str] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    versions: dict[int, Version] = field(default_factory=dict)
    first_cut: int = 0

    @property
    def roots(self) -> Mapping[str, str]:
        """The directory on each machine that was always there."""
        return {API: str(self.directory), **dict.fromkeys(NODES, "/")}

    def disks(self, cut: int) -> PowerLoss:
        """The disks after so many events."""
        disks = PowerLoss(self.roots)
        for event in self.events[:cut]:
            disks.happen(event)
        return disks

    @contextmanager
    def first_life(self, seed: int) -> Iterator["Life"]:
        """A new cluster."""
        with self._life(seed, dict.fromkeys(MACHINES, {}), dict.fromkeys(MACHINES, {})) as life:
            yield life

    @contextmanager
    def life_after_kill(self, cut: int, seed: int) -> Iterator["Life"]:
        """All processes ended after so many events; what was not synced is there, but not safe."""
        disks = self.disks(cut)
        events = [*self.events[:cut], Event(self.events[cut - 1].at_seconds, "", Killed())]
        history = replace(self, events=events, first_cut=len(events))
        files = {machine: disks.files(machine) for machine in MACHINES}
        with history._life(seed, disks.images(lambda: EVERYTHING), files) as life:
            yield life

    @contextmanager
    def life_after_power_loss(self, cut: int, images: Images, seed: int) -> Iterator["Life"]:
        """All machines lost their power after so many events, which left these images."""
        events = [event for event in self.events[:cut] if not isinstance(event.effect, Effect)]
        events.append(Event(self.events[cut - 1].at_seconds, "", PowerLost()))
        files = {
            machine: known_files(events, machine, root, images[machine])
            for machine, root in self.roots.items()
        }
        history = replace(self, events=events, first_cut=len(events))
        with history._life(seed, images, files) as life:
            yield life

    @contextmanager
    def _life(
        self, seed: int, images: Images, files: Mapping[str, Mapping[str, int]]
    ) -> Iterator["Life"]:
        """A cluster on these images, the numbers of whose files the events know already."""
        clock = SimulatedClock()
        clock.run_for(self.events[-1].at_seconds if self.events else 0.0)
        log = EventLog(self.events, clock.seconds)
        recorders = {machine: Recorder(log, machine, files[machine]) for machine in MACHINES}
        restore(images[API], self.directory, self.directory)

        def disk(role: str) -> Disk:
            kept = fresh_disk(role) if role == API else disk_of(images[role], DISK_BYTES)
            return RecordingDisk(kept, recorders[role])

        name = f"recording{next(_vfs_numbers)}"
        opener = RecordingOpener(name, recorders[API], self.statements)
        setting = replace(self.setting, disk=disk, open_database=opener)
        try:
            with SimulatedCluster(self.directory, seed, len(NODES), setting, clock) as cluster:
                yield Life(self, cluster, log)
        finally:
            opener.close()


@dataclass(frozen=True)
class Life:
    """A cluster that runs, and the history that it makes."""

    history: History
    cluster: SimulatedCluster
    log: EventLog

    def restart(self, role: str) -> None:
        """Stop and start a role."""
        self.cluster.stop(role)
        if role == API:
            self.cluster.start_api()
        else:
            self.cluster.start_node(role)


def restore(image: Image, root: Path, directory: Path) -> None:
    """Make a directory hold what stands in the image below ``root``, and nothing else."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    for path, content in image.items():
        there = directory / Path(path).relative_to(root)
        if content is None:
            there.mkdir()
        else:
            there.write_bytes(content)


def known_files(events: list[Event], machine: str, root: str, image: Image) -> dict[str, int]:
    """Add events that make the image, all of it synced; the numbers of its files."""
    at_seconds = events[-1].at_seconds
    files: dict[str, int] = {}
    for path, content in image.items():
        number = files[path] = len(events)
        effects: list[Effect] = [Created(path, number, content is None)]
        if content is not None:
            effects += [Written(path, number, 0, content), Synced(path, number)]
        events += [Event(at_seconds, machine, effect) for effect in effects]
    directories = [root, *(path for path, content in image.items() if content is None)]
    events += [Event(at_seconds, machine, DirectorySynced(path)) for path in directories]
    return files
