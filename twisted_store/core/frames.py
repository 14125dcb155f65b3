"""
The framing of chunk bytes between api and node, in both directions.

A frame is a header of 8 bytes (magic, kind, number of checksums, payload bytes; big endian), its
checksums of 4 bytes each, then the payload. A *blocks* frame carries consecutive blocks of a chunk
with the checksum of each; only the last one of a chunk may end within a block. A *manifest* frame
carries the encoded manifest of the chunk's object with its plain CRC32C. As the checksums come
first, a receiver verifies each block as it completes and passes on nothing that is not verified.
"""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from twisted_store.core.checksums import (
    BLOCK_BYTES,
    Buffer,
    block_count,
    block_seed,
    chunk_seed,
    crc32c,
)
from twisted_store.core.ids import ChunkId
from twisted_store.errors import ChecksumError, FormatError

MEDIA_TYPE = "application/vnd.twisted-store.frames"

FRAME_BYTES = 4 * BLOCK_BYTES
"""Payload of the frames that an encoder makes."""

FRAME_BYTES_MAX = 16 * BLOCK_BYTES
"""Largest payload of a blocks frame that a decoder takes."""

MANIFEST_BYTES_MAX = 64 * 1024
"""Largest encoded manifest."""

_HEADER = struct.Struct(">BBHI")
_MAGIC = 0xF5
_BLOCKS, _MANIFEST = 1, 2
_CHECKSUM_BYTES = 4


@dataclass(frozen=True, slots=True)
class VerifiedBlocks:
    """Whole blocks that have their checksums: ``buffers``, end to end, are their bytes."""

    buffers: tuple[memoryview, ...]
    checksums: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ManifestFrame:
    """The encoded manifest."""

    encoded: bytes


def blocks_frame_head(checksums: Sequence[int], payload_bytes: int) -> bytes:
    """What goes before the payload of a blocks frame."""
    count = len(checksums)
    return _HEADER.pack(_MAGIC, _BLOCKS, count, payload_bytes) + struct.pack(
        f">{count}I", *checksums
    )


def manifest_frame(encoded: bytes) -> bytes:
    """A whole manifest frame."""
    head = _HEADER.pack(_MAGIC, _MANIFEST, 1, len(encoded))
    return head + struct.pack(">I", crc32c(encoded)) + encoded


def framed_bytes(chunk_bytes: int, manifest_bytes: int) -> int:
    """The length of what an encoder makes of a chunk, with its manifest frame."""
    frames = -(-chunk_bytes // FRAME_BYTES)
    checksums = block_count(chunk_bytes) + 1
    heads = (frames + 1) * _HEADER.size + checksums * _CHECKSUM_BYTES
    return heads + chunk_bytes + manifest_bytes


class BlockChecksums:
    """Checksums of a chunk's blocks, computed as the bytes come."""

    def __init__(self, chunk_id: ChunkId, first_block: int) -> None:
        self._seed = chunk_seed(chunk_id)
        self._block = first_block
        self._value = block_seed(self._seed, first_block)
        self.room = BLOCK_BYTES

    def update(self, part: memoryview) -> None:
        """Add ``part``, which must not be longer than `room`, what is left of the block."""
        self._value = crc32c(part, self._value)
        self.room -= len(part)

    def take(self) -> int:
        """The block's checksum; what comes next belongs to the next block."""
        value = self._value
        self._block += 1
        self._value = block_seed(self._seed, self._block)
        self.room = BLOCK_BYTES
        return value


class FrameEncoder:
    """Makes frames of a chunk's bytes, given in order; holds less than one frame."""

    def __init__(self, chunk_id: ChunkId) -> None:
        self._blocks = BlockChecksums(chunk_id, 0)
        self._checksums: list[int] = []
        self._held: list[Buffer] = []
        self._held_bytes = 0

    def feed(self, view: memoryview) -> Iterator[list[Buffer]]:
        """The frames, each a list of buffers, that ``view`` completes."""
        while view:
            part, view = view[: self._blocks.room], view[self._blocks.room :]
            self._blocks.update(part)
            self._held.append(part)
            self._held_bytes += len(part)
            if not self._blocks.room:
                self._checksums.append(self._blocks.take())
                if self._held_bytes == FRAME_BYTES:
                    yield self._frame()

    def end(self) -> Iterator[list[Buffer]]:
        """The chunk's last frame, if bytes are left for one."""
        if self._blocks.room < BLOCK_BYTES:
            self._checksums.append(self._blocks.take())
        if self._held:
            yield self._frame()

    def _frame(self) -> list[Buffer]:
        head = blocks_frame_head(self._checksums, self._held_bytes)
        frame = [head, *self._held]
        self._checksums, self._held, self._held_bytes = [], [], 0
        return frame


class FrameDecoder:
    """
    Takes frames apart, however the bytes are cut.

    Raises `FormatError` on what is no frame and `ChecksumError` on a block that is not what was
    sent. Holds the unverified part of one block.
    """

    def __init__(self, chunk_id: ChunkId, first_block: int = 0) -> None:
        self._chunk_id = chunk_id
        self._blocks = BlockChecksums(chunk_id, first_block)
        self._head = bytearray()
        self._head_bytes = _HEADER.size
        self._kind = 0
        self._payload_left = 0
        self._expected: list[int] = []
        self._block_parts: list[memoryview] = []
        self._manifest = bytearray()
        self._last_block_seen = False

    @property
    def between_frames(self) -> bool:
        """Whether the bytes so far end with a whole frame."""
        return not self._payload_left and not self._head

    def feed(self, piece: Buffer) -> Iterator[VerifiedBlocks | ManifestFrame]:
        """What ``piece`` completes."""
        view = memoryview(piece)
        while view:
            if not self._payload_left:
                view = self._feed_head(view)
            elif self._kind == _MANIFEST:
                view, encoded = self._feed_manifest(view)
                if encoded is not None:
                    yield ManifestFrame(encoded)
            else:
                part, view = view[: self._payload_left], view[self._payload_left :]
                verified = self._feed_blocks(part)
                if verified.checksums:
                    yield verified

    def _feed_head(self, view: memoryview) -> memoryview:
        wanted = self._head_bytes - len(self._head)
        self._head += view[:wanted]
        if len(self._head) == _HEADER.size == self._head_bytes:
            self._head_bytes += self._checksums_announced() * _CHECKSUM_BYTES
        if len(self._head) == self._head_bytes:
            self._begin_payload()
        return view[wanted:]

    def _checksums_announced(self) -> int:
        magic, kind, count, payload_bytes = _HEADER.unpack(self._head)
        sound = {
            _BLOCKS: 0 < payload_bytes <= FRAME_BYTES_MAX and count == block_count(payload_bytes),
            _MANIFEST: 0 < payload_bytes <= MANIFEST_BYTES_MAX and count == 1,
        }
        if magic != _MAGIC or not sound.get(kind, False):
            raise FormatError(f"No frame of chunk {self._chunk_id}: {self._head.hex()}.")
        if kind == _BLOCKS and self._last_block_seen:
            raise FormatError(f"Chunk {self._chunk_id} goes on after its last block.")
        return int(count)

    def _begin_payload(self) -> None:
        _, self._kind, count, self._payload_left = _HEADER.unpack_from(self._head)
        self._expected = list(struct.unpack_from(f">{count}I", self._head, _HEADER.size))
        self._expected.reverse()
        self._head.clear()
        self._head_bytes = _HEADER.size

    def _feed_manifest(self, view: memoryview) -> tuple[memoryview, bytes | None]:
        part, view = view[: self._payload_left], view[self._payload_left :]
        self._manifest += part
        self._payload_left -= len(part)
        if self._payload_left:
            return view, None
        if crc32c(self._manifest) != self._expected.pop():
            raise ChecksumError(f"The manifest of chunk {self._chunk_id} arrived damaged.")
        encoded = bytes(self._manifest)
        self._manifest.clear()
        return view, encoded

    def _feed_blocks(self, view: memoryview) -> VerifiedBlocks:
        buffers: list[memoryview] = []
        checksums: list[int] = []
        while view:
            part, view = view[: self._blocks.room], view[self._blocks.room :]
            self._blocks.update(part)
            self._block_parts.append(part)
            self._payload_left -= len(part)
            if not self._blocks.room or not self._payload_left:
                checksums.append(self._verify_block())
                buffers += self._block_parts
                self._block_parts = []
        return VerifiedBlocks(tuple(buffers), tuple(checksums))

    def _verify_block(self) -> int:
        self._last_block_seen = self._blocks.room > 0
        checksum = self._blocks.take()
        if checksum != self._expected.pop():
            raise ChecksumError(f"A block of chunk {self._chunk_id} arrived damaged.")
        return checksum
