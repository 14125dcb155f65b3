"""Whole chunks: the very bytes of the chunk's file, and none of them is believed unverified."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.test_chunk_file import CHUNK, MANIFEST, OTHERS, encode, sizes
from twisted_store.core.ids import PACKED_BYTES, ChunkId
from twisted_store.core.whole_chunk import decode_whole, encode_whole
from twisted_store.errors import CorruptionError, FormatError


def content_of(size_bytes: int) -> bytes:
    """Bytes that differ from block to block."""
    return bytes(position // 256 % 251 for position in range(size_bytes))


CONTENT = content_of(300)
WHOLE = encode_whole(CHUNK, [CONTENT], MANIFEST)


@given(sizes, st.lists(st.integers(0, 200_000), max_size=3))
def test_what_is_encoded_is_the_file_and_is_decoded(size_bytes: int, cuts: list[int]) -> None:
    """However many parts it came in."""
    content = content_of(size_bytes)
    edges = [0, *sorted(min(cut, size_bytes) for cut in cuts), size_bytes]
    parts = [content[start:end] for start, end in zip(edges, edges[1:], strict=False)]
    whole = encode_whole(CHUNK, parts, MANIFEST)
    assert whole == encode(content, MANIFEST)
    decoded = decode_whole(whole)
    assert decoded == decode_whole(whole, CHUNK)
    assert (decoded.chunk_id, decoded.chunk_bytes) == (CHUNK, size_bytes)
    assert (bytes(decoded.blocks), decoded.manifest) == (content, MANIFEST)


@pytest.mark.parametrize("size_bytes", range(len(WHOLE)))
def test_a_part_of_it_is_refused(size_bytes: int) -> None:
    """Wherever it ends."""
    with pytest.raises(CorruptionError):
        decode_whole(WHOLE[:size_bytes])


@pytest.mark.parametrize("position", range(len(WHOLE)))
def test_every_flipped_bit_is_found(position: int) -> None:
    """In the header, the blocks and the footer."""
    damaged = bytearray(WHOLE)
    damaged[position] ^= 1 << position % 8
    for chunk_id in (None, CHUNK):
        with pytest.raises(CorruptionError):
            decode_whole(damaged, chunk_id)


@pytest.mark.parametrize("other", OTHERS)
def test_another_chunk_is_refused(other: ChunkId) -> None:
    """Sound as it is."""
    with pytest.raises(FormatError):
        decode_whole(WHOLE, other)


def test_a_packed_id_is_unpacked() -> None:
    """Of whatever kind the buffer is."""
    assert ChunkId.unpack(CHUNK.packed) == ChunkId.unpack(memoryview(CHUNK.packed)) == CHUNK


@pytest.mark.parametrize("packed", [b"", CHUNK.packed[1:], CHUNK.packed + b"x", b"\x64" * 17])
def test_what_is_no_packed_id_is_refused(packed: bytes) -> None:
    """Too short, too long, or with an index of three digits."""
    assert len(CHUNK.packed) == PACKED_BYTES
    with pytest.raises(FormatError):
        ChunkId.unpack(packed)
