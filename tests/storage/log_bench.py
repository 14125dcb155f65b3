"""A node's volumes under test: opened again at will, with or without their index, and compacted."""

from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from random import Random

from twisted.internet.task import Clock

from tests.storage.bench import MANIFEST, chunk_id
from tests.storage.seams import WatchedDisk
from twisted_store.core.ids import ChunkId
from twisted_store.core.needles import NeedleRow
from twisted_store.core.volume import NeedleState
from twisted_store.core.whole_chunk import decode_whole, encode_whole
from twisted_store.database import open_sqlite
from twisted_store.storage.batch_draft import Step
from twisted_store.storage.compaction import Compaction
from twisted_store.storage.needle_log import NeedleLog, read_needle
from twisted_store.storage.recovery import open_log, remove_index
from twisted_store.storage.witness import Damage


def whole(number: int, content: bytes = b"content") -> bytes:
    """The bytes of a chunk's file."""
    return encode_whole(chunk_id(number), [content], MANIFEST)


class KeptDamage:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.damage: list[Damage] = []
        self.read: list[tuple[int, int]] = []

    def has_read(self, done_bytes: int, all_bytes: int) -> None:
        """Keep it."""
        self.read.append((done_bytes, all_bytes))

    def found(self, damage: Damage) -> None:
        """Keep it."""
        self.damage.append(damage)


class LogBench:
    """A log of needles on a disk that can break; chunks are known by their numbers."""

    def __init__(self, root: Path, volume_bytes_max: int = 10**9) -> None:
        self.disk = WatchedDisk()
        self.root = root
        self.root.mkdir(exist_ok=True)
        self.clock = Clock()
        self.volume_bytes_max = volume_bytes_max
        self.random = Random(1)
        self.open()

    @property
    def index_path(self) -> Path:
        """Where the index is."""
        return self.root / "volumes" / "index.sqlite"

    @property
    def volumes(self) -> list[int]:
        """The numbers of the volumes that are there."""
        return sorted(int(path.stem) for path in (self.root / "volumes").glob("*.volume"))

    def volume(self, number: int) -> Path:
        """The file of a volume."""
        return self.root / "volumes" / f"{number:010}.volume"

    def restart(self, *, keeps_index: bool = True) -> None:
        """End the process without a word, and start it again."""
        self.kill()
        if not keeps_index:
            remove_index(self.disk, self.index_path)
        self.open()

    def kill(self) -> None:
        """End the process without a word."""
        self.log.volumes.seal()
        self.log.index.close()

    def open(self) -> None:
        """Start."""
        self.witness = KeptDamage()
        self.log: NeedleLog = open_log(
            self.disk,
            str(self.root),
            open_sqlite,
            self.random,
            self.volume_bytes_max,
            self.witness,
        )
        self.compaction = Compaction(self.log, self.clock.seconds)

    def put(
        self,
        number: int,
        content: bytes = b"content",
        state: NeedleState = NeedleState.PROVISIONAL,
        *,
        sync: bool = True,
    ) -> None:
        """Write a needle."""
        raw = whole(number, content)
        self.log.run(Step(lambda draft: draft.put(chunk_id(number).packed, raw, state), sync))

    def mark(self, state: NeedleState, *numbers: int, sync: bool = True) -> None:
        """Move chunks on."""
        packed = [chunk_id(number).packed for number in numbers]
        self.log.run(Step(lambda draft: draft.mark(packed, state), sync))

    def row(self, number: int) -> NeedleRow:
        """What is known of a chunk."""
        row = self.log.index.get(chunk_id(number).packed)
        assert row is not None
        return row

    def state(self, number: int) -> NeedleState | None:
        """The state of a chunk, None if it is not known."""
        row = self.log.index.get(chunk_id(number).packed)
        return None if row is None else row.state

    def states(self, numbers: Iterable[int]) -> list[NeedleState | None]:
        """Of each chunk."""
        return [self.state(number) for number in numbers]

    def content(self, number: int) -> bytes:
        """What the needle of a chunk holds, verified."""
        packed = chunk_id(number).packed
        with self.log.volumes.opened() as volumes:
            return bytes(decode_whole(read_needle(packed, self.row(number), volumes)).blocks)

    def raw(self, number: int) -> bytes:
        """What the needle of a chunk holds, as it is."""
        with self.log.volumes.opened() as volumes:
            return volumes.read(self.row(number))

    def flip(self, volume: int, offset: int) -> None:
        """Let a bit of a volume rot."""
        with closing(self.disk.reopen(str(self.volume(volume)))) as file:
            byte = file.read_at(offset, 1)[0] ^ 1
            file.write_at(offset, [bytes([byte])])

    def pass_grace(self) -> None:
        """What is dead now may go."""
        self.compaction.allow(10)
        self.clock.advance(11)
        self.compaction.allow(10)

    def roll(self) -> None:
        """The next batch goes into a new volume."""
        self.log.volumes.roll()

    def compact(self, number: int) -> list[ChunkId]:
        """Compact a volume to its end; what was found damaged."""
        self.log.begin_compaction(number)
        return self.go_on()

    def go_on(self) -> list[ChunkId]:
        """End the compaction that was begun; what was found damaged."""
        damaged: list[ChunkId] = []
        while self.log.index.compacting:
            damaged += self.compaction.step(10**6).damaged
        return damaged
