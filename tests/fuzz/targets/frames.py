"""Frames on the wire, however they are cut."""

import struct
from collections.abc import Sequence

from tests.fuzz.cuts import pieces_of
from tests.fuzz.target import Target
from twisted_store.core.checksums import BLOCK_BYTES, block_checksum, block_count, crc32c
from twisted_store.core.frames import FrameDecoder, FrameEncoder, ManifestFrame, manifest_frame
from twisted_store.core.ids import ChunkId, object_id
from twisted_store.errors import ChecksumError, CorruptionError, FormatError

CHUNK = ChunkId(object_id(1, 2, 3), 4)

_HEADER = struct.Struct(">BBHI")
_CHECKSUM = struct.Struct(">I")
_MANIFEST = 2


class Received:
    """What a decoder passed on of these pieces, and how it ended."""

    def __init__(self, pieces: Sequence[bytes]) -> None:
        self.chunk = bytearray()
        self.checksums: list[int] = []
        self.manifests: list[bytes] = []
        self.error: CorruptionError | None = None
        decoder = FrameDecoder(CHUNK)
        try:
            for piece in pieces:
                self._take(decoder, piece)
        except (ChecksumError, FormatError) as error:
            self.error = error
        self.whole = decoder.between_frames

    def _take(self, decoder: FrameDecoder, piece: bytes) -> None:
        for event in decoder.feed(piece):
            if isinstance(event, ManifestFrame):
                self.manifests.append(event.encoded)
            else:
                self.chunk += b"".join(event.buffers)
                self.checksums += event.checksums

    def check(self) -> None:
        """Nothing is passed on that is not verified, and all of it together is a chunk."""
        blocks = range(0, len(self.chunk), BLOCK_BYTES)
        assert self.checksums == [
            block_checksum(CHUNK, number, self.chunk[start : start + BLOCK_BYTES])
            for number, start in enumerate(blocks)
        ]


def encode(content: bytes, *manifests: bytes) -> bytes:
    """A chunk on the wire, with its manifest, if any."""
    encoder = FrameEncoder(CHUNK)
    frames = [*encoder.feed(memoryview(content)), *encoder.end()]
    return b"".join([b"".join(frame) for frame in frames] + [*map(manifest_frame, manifests)])


def take(raw: bytes) -> str:
    """Decode at once and in pieces: in pieces a little more may come before the same error."""
    whole, cut = Received([raw]), Received(pieces_of(raw))
    whole.check()
    cut.check()
    assert str(whole.error) == str(cut.error)
    assert cut.chunk.startswith(whole.chunk)
    assert whole.manifests == cut.manifests
    if whole.error is not None:
        raise whole.error
    assert (cut.chunk, cut.whole) == (whole.chunk, whole.whole)
    again = Received([encode(bytes(whole.chunk), *whole.manifests)])
    assert (again.chunk, again.manifests) == (whole.chunk, whole.manifests)
    blocks = min(len(whole.checksums), 9)
    return f"{blocks} blocks, {min(len(whole.manifests), 3)} manifests, {whole.whole}"


def repair(raw: bytes) -> bytes:
    """The checksums of all frames that are there as a whole."""
    fixed, at, block = bytearray(raw), 0, 0
    while at + _HEADER.size <= len(raw):
        _, kind, count, payload_bytes = _HEADER.unpack_from(raw, at)
        at += _HEADER.size
        payload = raw[at + 4 * count : at + 4 * count + payload_bytes]
        if len(payload) < payload_bytes or not payload:
            break
        if kind == _MANIFEST:
            checksums = [crc32c(payload)]
        else:
            pieces = [payload[i : i + BLOCK_BYTES] for i in range(0, payload_bytes, BLOCK_BYTES)]
            checksums = [block_checksum(CHUNK, block + i, piece) for i, piece in enumerate(pieces)]
            block += block_count(payload_bytes)
        for checksum in checksums[:count]:
            _CHECKSUM.pack_into(fixed, at, checksum)
            at += _CHECKSUM.size
        at += payload_bytes
    return bytes(fixed)


TARGET = Target(
    samples=[
        b"",
        encode(b"content", b"{}"),
        encode(b"", b"manifest" * 10),
        encode(bytes(range(256)) * 300, b"{}"),
        encode(bytes(BLOCK_BYTES * 5), b"{}"),
    ],
    take=take,
    errors=(ChecksumError, FormatError),
    repair=repair,
)
