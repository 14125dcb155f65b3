"""What happens to a chunk store by chance: calls, faults of the disk, restarts."""

import errno
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from random import Random

from tests.powerloss.engines import now
from tests.powerloss.volumes.history import History, Life
from tests.powerloss.volumes.machine import ALL_CHUNKS, CHUNK_BYTES_MAX, GRACE_SECONDS, STEP_BYTES
from tests.powerloss.volumes.promises import Acknowledged, Began, Rotted, Settled, State, Targets
from twisted_store.core.durability import NONE, STRICT, Durability, DurabilityMode
from twisted_store.core.ids import ChunkId
from twisted_store.core.volume import (
    SUPERBLOCK_BYTES,
    RecordKind,
    decode_records,
    decode_superblock,
)
from twisted_store.core.whole_chunk import decode_whole
from twisted_store.errors import CorruptionError, StartupError, StoreError
from twisted_store.storage.directory import ChunkState
from twisted_store.storage.volume_scan import FoundBatch, Gap, VolumeScan

RELAXED = Durability(DurabilityMode.RELAXED, 1.0)

SETTLING_SECONDS = 7.0
"""After this all is synced, also what could not be synced before."""

TOGETHER_MAX = 4


class Clients:
    """They do something with a store, again and again."""

    def __init__(self, life: Life, random: Random) -> None:
        self._life = life
        self._random = random
        self._broken = 0
        self._durabilities = random.choice([[STRICT], [RELAXED], [NONE], [STRICT, RELAXED, NONE]])
        self._actions: dict[Callable[[], None], int] = {
            self._put: 10,
            self._confirm: 5,
            self._bury: 4,
            self._discard: 2,
            self._rot: 1,
            self._wait: 1,
            self._compact: 3,
            self._compact_all: 1,
            self._stop: 1,
            self._kill: 2,
            self._break: 3,
        }

    def work(self, actions: int) -> None:
        """So many actions."""
        self._life.start()
        for _ in range(actions):
            [action] = self._random.choices([*self._actions], [*self._actions.values()])
            action()
            if self._broken:
                self._broken -= 1
                if not self._broken:
                    self._life.disk.heal()

    def _put(self) -> None:
        durability = self._durability()
        chunks = [ALL_CHUNKS[each] for each in self._some()]
        targets = [(each.chunk_id, ChunkState.PROVISIONAL) for each in chunks]
        self._life.note(Began(targets))
        errors = now(self._life.store.put_whole(chunks, durability))
        done = [target for target, error in zip(targets, errors, strict=True) if error is None]
        self._acknowledge(done, synced=durability.mode is DurabilityMode.STRICT)

    def _confirm(self) -> None:
        durability, chunk_ids = self._durability(), self._some()
        targets = [(each, ChunkState.CONFIRMED) for each in chunk_ids]
        self._life.note(Began(targets))
        try:
            missing = now(self._life.store.mark(chunk_ids, (), durability)).confirm
        except StoreError:
            return
        done = [target for target in targets if target[0] not in missing]
        self._acknowledge(done, synced=durability.mode is not DurabilityMode.NONE)

    def _bury(self) -> None:
        durability, chunk_ids = self._durability(), self._some()
        targets = [(each, ChunkState.DEAD) for each in chunk_ids]
        self._life.note(Began(targets))
        try:
            missing = now(self._life.store.mark((), chunk_ids, durability)).dead
        except StoreError:
            return
        done = [target for target in targets if target[0] not in missing]
        self._acknowledge(done, synced=durability.mode is not DurabilityMode.NONE)

    def _discard(self) -> None:
        [chunk_id, *_] = self._some()
        before: State = self._life.states().get(chunk_id)
        if before is not ChunkState.PROVISIONAL:
            return
        targets: Targets = [(chunk_id, None)]
        self._life.note(Began(targets))
        try:
            now(self._life.store.discard(chunk_id))
        except StoreError:
            return
        self._acknowledge(targets, synced=False)

    def _rot(self) -> None:
        """A chunk is damaged that has others behind it; half of the time somebody reads it."""
        try:
            now(self._life.store.mark())
        except StoreError:
            return
        places = [*self._places()]
        if self._broken or not places:
            return
        chunk_id, path, offset = self._random.choice(places)
        self._life.note(Rotted(chunk_id))
        with closing(self._life.disk.reopen(path)) as file:
            file.write_at(offset, [bytes([file.read_at(offset, 1)[0] ^ 1])])
            file.sync()
        if self._random.random() < 0.5:
            self._life.note(Began([(chunk_id, ChunkState.QUARANTINED)]))
            now(self._life.store.read_whole([chunk_id], 2 * CHUNK_BYTES_MAX))
            if self._life.states().get(chunk_id) is ChunkState.QUARANTINED:
                self._acknowledge([(chunk_id, ChunkState.QUARANTINED)], synced=True)

    def _places(self) -> Sequence[tuple[ChunkId, str, int]]:
        """Where there are chunks, and a byte within them, that have whole batches behind them."""
        found: list[tuple[ChunkId, str, int]] = []
        folder = f"{self._life.root}/volumes"
        for entry in self._life.disk.entries(folder):
            if not entry.name.endswith(".volume"):
                continue
            path, number = f"{folder}/{entry.name}", int(entry.name.removesuffix(".volume"))
            batches: list[FoundBatch | Gap] = []
            # One that could not be begun is empty.
            with closing(self._life.disk.open(path)) as file, suppress(CorruptionError):
                seed = decode_superblock(file.read_at(0, SUPERBLOCK_BYTES), number)
                batches += VolumeScan(file, SUPERBLOCK_BYTES, seed)
            for batch in batches[:-1]:
                if isinstance(batch, FoundBatch) and not batch.damaged:
                    found += self._places_in(batch, path)
        return found

    def _places_in(self, batch: FoundBatch, path: str) -> Sequence[tuple[ChunkId, str, int]]:
        found: list[tuple[ChunkId, str, int]] = []
        for record in decode_records(batch.payload):
            if record.kind is RecordKind.NEEDLE:
                try:
                    chunk_id = decode_whole(record.payload).chunk_id
                except CorruptionError:
                    continue
                within = self._random.randrange(len(record.payload))
                found.append((chunk_id, path, batch.payload_offset + record.offset + within))
        return found

    def _wait(self) -> None:
        if self._broken:
            return
        self._life.clock.pump([1.0] * int(SETTLING_SECONDS))
        self._life.note(Settled())

    def _compact(self) -> None:
        """A few steps."""
        try:
            for _ in range(self._random.randint(1, 5)):
                now(self._life.store.reclaim(GRACE_SECONDS))
                self._life.clock.advance(self._random.choice([0, GRACE_SECONDS]))
                now(self._life.store.compact(self._random.choice([1, STEP_BYTES])))
        except StoreError:
            pass

    def _compact_all(self) -> None:
        with suppress(StoreError):
            self._life.compact()

    def _stop(self) -> None:
        self._heal()
        self._life.stop()
        self._life.start()

    def _kill(self) -> None:
        """The next start may meet a broken disk, and is tried again later."""
        self._heal()
        self._life.begin_process()
        if self._random.random() < 0.3:
            self._break()
        try:
            self._life.start()
        except StartupError:
            self._heal()
            self._life.begin_process()
            self._life.start()

    def _break(self) -> None:
        number = self._random.choice([errno.ENOSPC, errno.EIO])
        disk, random = self._life.disk, self._random
        disk.heal()
        random.choice(
            [
                lambda: disk.break_writes(number, random.choice([0, 10, 600, 2_000])),
                disk.break_syncs,
                disk.turn_read_only,
                disk.fill_up,
            ]
        )()
        self._broken = random.randint(1, 4)

    def _heal(self) -> None:
        self._life.disk.heal()
        self._broken = 0

    def _acknowledge(self, targets: Targets, *, synced: bool) -> None:
        if targets:
            self._life.note(Acknowledged(targets, synced))

    def _some(self) -> Sequence[ChunkId]:
        """A few chunks; low numbers more often, so that much happens to them."""
        chunk_ids = [*ALL_CHUNKS][: self._random.choice([6, len(ALL_CHUNKS)])]
        return self._random.sample(chunk_ids, self._random.randint(1, TOGETHER_MAX))

    def _durability(self) -> Durability:
        return self._random.choice(self._durabilities)


def live(history: History, random: Random, actions: int) -> None:
    """Let a store live for so many actions."""
    life = Life(history)
    Clients(life, random).work(actions)
    life.end_process()
