"""Frames: whatever the cuts, the same bytes; whatever the damage, never passed on."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from twisted_store.core.checksums import BLOCK_BYTES, block_checksum
from twisted_store.core.frames import (
    FRAME_BYTES,
    FrameDecoder,
    FrameEncoder,
    ManifestFrame,
    VerifiedBlocks,
    blocks_frame_head,
    framed_bytes,
    manifest_frame,
)
from twisted_store.core.ids import ChunkId, object_id
from twisted_store.errors import ChecksumError, FormatError

CHUNK = ChunkId(object_id(1, 2, 3), 4)
MANIFEST = b'{"a":"manifest"}'

sizes = st.one_of(
    st.integers(0, 3 * FRAME_BYTES),
    st.sampled_from([0, 1, BLOCK_BYTES, BLOCK_BYTES + 1, FRAME_BYTES, FRAME_BYTES + 1]),
)


def content(size: int) -> bytes:
    """Bytes that differ from block to block."""
    return bytes((position // BLOCK_BYTES + position) % 251 for position in range(size))


CONTENT = content(3 * FRAME_BYTES)


def encode(pieces: list[bytes]) -> bytes:
    """A chunk and its manifest on the wire."""
    encoder = FrameEncoder(CHUNK)
    frames = [frame for piece in pieces for frame in encoder.feed(memoryview(piece))]
    frames += encoder.end()
    return b"".join(b"".join(frame) for frame in frames) + manifest_frame(MANIFEST)


def decode(pieces: list[bytes], decoder: FrameDecoder) -> tuple[bytes, list[int], list[bytes]]:
    """Bytes, checksums and manifests that arrive."""
    chunk = bytearray()
    checksums: list[int] = []
    manifests: list[bytes] = []
    for piece in pieces:
        for event in decoder.feed(piece):
            match event:
                case VerifiedBlocks(buffers, block_checksums):
                    chunk += b"".join(buffers)
                    checksums += block_checksums
                case ManifestFrame(encoded):
                    manifests.append(encoded)
    return bytes(chunk), checksums, manifests


def split(wire: bytes, cuts: list[int]) -> list[bytes]:
    """``wire`` cut at those positions."""
    edges = [0, *sorted(min(cut, len(wire)) for cut in cuts), len(wire)]
    return [wire[start:end] for start, end in zip(edges, edges[1:], strict=False)]


@given(size=sizes, cuts=st.lists(st.integers(0, 3 * FRAME_BYTES), max_size=5))
@example(size=0, cuts=[])
def test_a_chunk_survives_any_cut_on_both_sides(size: int, cuts: list[int]) -> None:
    """What goes in comes out verified, with the checksums a node stores, in the length foretold."""
    chunk = CONTENT[:size]
    wire = encode(split(chunk, cuts))
    assert len(wire) == framed_bytes(size, len(MANIFEST))
    decoder = FrameDecoder(CHUNK)
    received, checksums, manifests = decode(split(wire, cuts), decoder)
    assert received == chunk
    assert manifests == [MANIFEST]
    assert decoder.between_frames
    blocks = range(0, size, BLOCK_BYTES)
    assert checksums == [
        block_checksum(CHUNK, number, chunk[start : start + BLOCK_BYTES])
        for number, start in enumerate(blocks)
    ]


def test_a_frame_may_come_byte_by_byte() -> None:
    """No cut is special."""
    wire = encode([CONTENT[:300]])
    received, _, manifests = decode([bytes([byte]) for byte in wire], FrameDecoder(CHUNK))
    assert (received, manifests) == (CONTENT[:300], [MANIFEST])


@given(size=st.integers(1, 500), data=st.data())
def test_a_flipped_byte_is_never_passed_on(size: int, data: st.DataObject) -> None:
    """Damage anywhere in the frames raises, or at least yields nothing that was not sent."""
    wire = bytearray(encode([CONTENT[:size]]))
    position = data.draw(st.integers(0, len(wire) - 1))
    wire[position] ^= data.draw(st.integers(1, 255))
    decoder = FrameDecoder(CHUNK)
    try:
        received, _, manifests = decode([bytes(wire)], decoder)
    except (ChecksumError, FormatError):
        return
    assert not decoder.between_frames or not manifests
    assert received in (b"", CONTENT[:size])


def test_a_block_of_another_chunk_or_place_is_refused() -> None:
    """The identity is folded into the checksum."""
    wire = encode([CONTENT[:100]])
    for decoder in (FrameDecoder(ChunkId(CHUNK.object_id, 0)), FrameDecoder(CHUNK, first_block=1)):
        with pytest.raises(ChecksumError):
            decode([wire], decoder)


def test_blocks_after_a_partial_block_are_refused() -> None:
    """Only a chunk's last block may be short, or block numbers would drift from offsets."""
    short = blocks_frame_head([block_checksum(CHUNK, 0, b"x")], 1) + b"x"
    with pytest.raises(FormatError, match="after its last block"):
        decode([short + short], FrameDecoder(CHUNK))


def test_an_oversized_frame_is_refused_before_its_payload() -> None:
    """A peer cannot make the decoder hold more than a frame."""
    with pytest.raises(FormatError):
        decode([blocks_frame_head([0] * 17, 17 * BLOCK_BYTES)], FrameDecoder(CHUNK))


def test_truncated_frames_do_not_end_between_frames() -> None:
    """A body that stops early is told from a whole one."""
    wire = encode([CONTENT[:100]])
    for end in range(1, len(wire)):
        decoder = FrameDecoder(CHUNK)
        _, _, manifests = decode([wire[:end]], decoder)
        assert not (decoder.between_frames and manifests)
