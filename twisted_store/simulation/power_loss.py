"""
What a power loss may leave on a disk: everything that was synced, and any part of the rest.

The model is more cruel than file systems are. Of the writes to a file since its last sync each may
be there, be missing, be there in some of its sectors of 512 bytes, or have made the file longer
without its bytes; they may have arrived in any order. Of the changes to a directory since its last
sync each file's may be there up to any one of them: so it has one of its names, old or new. Within
a sector what was not written is not touched.
"""

import posixpath
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from twisted_store.simulation.chances import (
    EVERYTHING,
    NOTHING,
    Chance,
    ContentChange,
    Draw,
    NameChange,
)
from twisted_store.simulation.disk import MemoryDisk
from twisted_store.simulation.recording import (
    Created,
    DirectorySynced,
    Effect,
    Event,
    Renamed,
    Resized,
    Synced,
    Written,
)

Image = Mapping[str, bytes | None]
"""What stands on a disk: the bytes of each file by its path, None for a directory."""


@dataclass(slots=True)
class _File:
    """The bytes that are safe, and what was done since."""

    synced: bytes = b""
    pending: list[ContentChange] = field(default_factory=list)

    def content(self, chance: Chance) -> bytes:
        return _changed(self.synced, chance.content(self.pending)) if self.pending else self.synced

    def sync(self) -> None:
        self.synced = self.content(EVERYTHING)
        self.pending.clear()


@dataclass(slots=True)
class _Directory:
    """The files by names that are safe, and what was done since."""

    synced: dict[str, int] = field(default_factory=dict)
    pending: list[NameChange] = field(default_factory=list)

    def names(self, chance: Chance) -> dict[str, int]:
        if not self.pending:
            return self.synced
        names = dict(self.synced)
        for change in chance.names(self.pending):
            _rename(names, change)
        return names

    def sync(self) -> None:
        self.synced = self.names(EVERYTHING)
        self.pending.clear()


class MachineDisk:
    """The disk of one machine below ``root``, a directory that was always there."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._files: dict[int, _File] = defaultdict(_File)
        self._directories: dict[str, _Directory] = {root: _Directory()}
        self._directory_files: set[int] = set()
        self._certain: dict[Chance, Image] = {}

    def happen(self, effect: Effect) -> None:
        """Something happened on this disk."""
        self._certain.clear()
        match effect:
            case Written() | Resized():
                self._files[effect.file].pending.append(effect)
            case Synced():
                self._files[effect.file].sync()
            case DirectorySynced():
                self._directories[effect.path].sync()
            case _:
                self._change_names(effect)

    def image(self, chance: Chance) -> Image:
        """What a power loss now may leave."""
        if chance not in (NOTHING, EVERYTHING):
            return dict(self._walk(self._root, chance))
        if chance not in self._certain:
            self._certain[chance] = dict(self._walk(self._root, chance))
        return self._certain[chance]

    def files(self) -> dict[str, int]:
        """The files and directories by their paths, as every process sees them now."""
        return {
            posixpath.join(path, name): file
            for path in (self._root, *self.image(EVERYTHING))
            if path in self._directories
            for name, file in self._directories[path].names(EVERYTHING).items()
        }

    def _change_names(self, change: NameChange) -> None:
        directory = posixpath.dirname(change.path)
        if isinstance(change, Renamed) and posixpath.dirname(change.new_path) != directory:
            raise NotImplementedError("the model knows renames within a directory only")
        if isinstance(change, Created) and change.is_directory:
            self._directories[change.path] = _Directory()
            self._directory_files.add(change.file)
        self._directories[directory].pending.append(change)

    def _walk(self, path: str, chance: Chance) -> Iterator[tuple[str, bytes | None]]:
        for name, file in self._directories[path].names(chance).items():
            inner = posixpath.join(path, name)
            if file in self._directory_files:
                yield inner, None
                yield from self._walk(inner, chance)
            else:
                yield inner, self._files[file].content(chance)


class PowerLoss:
    """The disks of all machines, as the events so far have left them."""

    def __init__(self, roots: Mapping[str, str]) -> None:
        self._disks = {machine: MachineDisk(root) for machine, root in roots.items()}

    def happen(self, event: Event) -> None:
        """Go on by an event; what is no effect on a disk changes nothing."""
        if isinstance(event.effect, Effect):
            self._disks[event.machine].happen(event.effect)

    def images(self, draw: Draw) -> dict[str, Image]:
        """What a power loss of all machines now may leave, by machine; each draws its chance."""
        return {machine: disk.image(draw()) for machine, disk in self._disks.items()}

    def files(self, machine: str) -> dict[str, int]:
        """The files and directories of a machine by their paths, as its processes see them now."""
        return self._disks[machine].files()


def disk_of(image: Image, total_bytes: int) -> MemoryDisk:
    """A disk with this on it."""
    disk = MemoryDisk(total_bytes)
    for path, content in image.items():
        if content is None:
            disk.make_directory(path)
        else:
            disk.create(path).write_at(0, [content])
    return disk


def _rename(names: dict[str, int], change: NameChange) -> None:
    """Apply a change to the names of a directory, if that is its state."""
    name = posixpath.basename(change.path)
    if isinstance(change, Created):
        names[name] = change.file
    elif names.get(name) == change.file:
        del names[name]
    if isinstance(change, Renamed):
        names[posixpath.basename(change.new_path)] = change.file


def _changed(content: bytes, changes: Iterable[ContentChange]) -> bytes:
    changed = bytearray(content)
    for change in changes:
        end = change.size_bytes if isinstance(change, Resized) else change.offset
        changed.extend(bytes(max(0, end - len(changed))))
        if isinstance(change, Written):
            changed[change.offset : change.offset + len(change.payload)] = change.payload
        elif isinstance(change, Resized):
            del changed[change.size_bytes :]
    return bytes(changed)
