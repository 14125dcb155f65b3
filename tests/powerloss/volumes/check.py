"""What is looked at on a disk after a power loss: that it starts, and holds what was promised."""

from collections import Counter
from collections.abc import Generator, Iterator, Mapping
from pathlib import Path

from tests.powerloss.engines import now
from tests.powerloss.histories import restore
from tests.powerloss.volumes.indexes import Files
from tests.powerloss.volumes.machine import ALL_CHUNKS, Machine, open_unsynced
from tests.powerloss.volumes.promises import Promises, State
from twisted_store.core.durability import STRICT
from twisted_store.core.ids import ChunkId
from twisted_store.core.needles import live_bytes
from twisted_store.simulation.power_loss import Image
from twisted_store.storage.directory import ChunkState
from twisted_store.storage.index import Index
from twisted_store.storage.volumes import INDEX_NAME

Found = Mapping[ChunkId, ChunkState]

PROVISIONAL, CONFIRMED = ChunkState.PROVISIONAL, ChunkState.CONFIRMED
QUARANTINED, DEAD = ChunkState.QUARANTINED, ChunkState.DEAD


class Check:
    """Looks at images, in ``scratch``, on which this was promised."""

    def __init__(self, promises: Promises, scratch: Path) -> None:
        self._promises = promises
        self._machine = Machine(scratch)
        self._volumes = scratch / "volumes"

    def faults(self, image: Image, root: Path, index: Files, *, is_kill: bool) -> Iterator[str]:
        """All that is wrong; ``image`` is without an index and stood below ``root``."""
        allowed = self._promises.after_kill if is_kill else self._promises.after_loss
        restore(image, root, self._machine.root)
        if self._volumes.exists():
            for name, content in index.items():
                (self._volumes / name).write_bytes(content)
        found = yield from self._started("first")
        yield from self._promises.faults(found, allowed)
        yield from self._without_index(found)
        yield from self._goes_on()

    def _started(self, when: str) -> Generator[str, None, Found]:
        """Start, and look at all that stands for itself."""
        self._machine.start()
        found = self._machine.states()
        for fault in (*self._miscounted(found), *self._misread(found)):
            yield f"at the {when} start {fault}"
        return found

    def _misread(self, found: Found) -> Iterator[str]:
        for chunk_id in ALL_CHUNKS:
            state, problem = found.get(chunk_id), self._machine.misread(chunk_id)
            if problem is None and state in (None, QUARANTINED):
                yield f"{chunk_id} is served, and is {state}"
            elif problem == "" and state not in (None, QUARANTINED, DEAD):
                yield f"{chunk_id} is listed as {state}, and not there"
            elif problem == "is damaged" and (state is DEAD or chunk_id in self._promises.rotted):
                continue  # nobody is promised a dead one: its put may have been torn
            elif problem:
                yield f"{chunk_id} {problem}, and is {state}"

    def _miscounted(self, found: Found) -> Iterator[str]:
        used_bytes = sum(path.stat().st_size for path in self._volumes.glob("*.volume"))
        if self._machine.store.used_bytes != used_bytes:
            yield f"{self._machine.store.used_bytes} bytes are used, and {used_bytes} there"
        listed = {*self._machine.store.provisional_older_than(-1)}
        expected = {each for each in found if found[each] is PROVISIONAL}
        if listed != expected:
            yield f"provisional are {listed}, expected {expected}"

    def _recounted(self) -> Iterator[str]:
        """What the index says of the volumes, while nobody has it open."""
        index = Index(open_unsynced, self._volumes / INDEX_NAME)
        index.verify()
        counted: Counter[int] = Counter()
        for _, row in index.page(None, len(ALL_CHUNKS) + 1):
            for volume, size_bytes in live_bytes(row):
                counted[volume] += size_bytes
        if +counted != +index.live_bytes:
            yield f"live bytes are {index.live_bytes}, counted {counted}"
        index.close()

    def _without_index(self, found: Found) -> Iterator[str]:
        """A start without the index finds the same."""
        self._machine.stop()
        yield from self._recounted()
        for path in self._volumes.glob(f"{INDEX_NAME}*"):
            path.unlink()
        rebuilt = yield from self._started("second")
        for chunk_id in {*found, *rebuilt}:
            old, new = found.get(chunk_id), rebuilt.get(chunk_id)
            if old != new and not self._may_differ(chunk_id, old, new):
                yield f"{chunk_id} is {old} by the index, and {new} by the volumes"

    def _may_differ(self, chunk_id: ChunkId, old: State, new: State) -> bool:
        """
        The dead of a volume that is compacted go later; damage may have been seen or not.

        Of a dead chunk another copy may be found, a torn one that was passed over as long as there
        was a better one: that is as dead.
        """
        return {old, new} == {DEAD, None} or chunk_id in self._promises.rotted

    def _goes_on(self) -> Iterator[str]:
        """Store, confirm, compact to the end, start again with the index and without it."""
        store, before = self._machine.store, self._machine.states()
        unconfirmed = (each for each in ALL_CHUNKS if before.get(each) is not CONFIRMED)
        new = next(unconfirmed, None)
        if new is not None:
            [error] = now(store.put_whole([ALL_CHUNKS[new]], STRICT))
            missing = now(store.mark([new]))
            if error is not None or missing.confirm:
                yield f"{new} cannot be stored: {error}, {missing}"
            before[new] = CONFIRMED
        expected = {each: state for each, state in before.items() if state is not DEAD}
        self._machine.compact()
        yield from self._differences(self._machine.states(), expected, "after the compaction")
        self._machine.stop()
        yield from self._recounted()
        again = yield from self._started("third")
        yield from self._differences(again, expected, "after the third start")
        yield from self._without_index(again)

    def _differences(self, found: Found, expected: Found, when: str) -> Iterator[str]:
        for chunk_id in {*found, *expected}:
            old, new = expected.get(chunk_id), found.get(chunk_id)
            # The dead of a volume with little garbage stay.
            if old != new and new is not DEAD and chunk_id not in self._promises.rotted:
                yield f"{when} {chunk_id} is {new}, and was {old}"
