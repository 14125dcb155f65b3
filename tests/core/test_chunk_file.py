"""The chunk file: what is written is read, and whatever is damaged is refused."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from twisted_store.core.checksums import BLOCK_BYTES, Buffer, block_checksum
from twisted_store.core.chunk_file import (
    CHECKSUM_BYTES,
    HEADER_BYTES,
    TAIL_BYTES,
    ChunkLayout,
    decode_tail,
    encode_footer,
    encode_header,
    pack_checksums,
    verify_blocks,
    verify_footer,
    verify_header,
)
from twisted_store.core.frames import MANIFEST_BYTES_MAX
from twisted_store.core.ids import ChunkId, object_id
from twisted_store.errors import CorruptionError, FormatError

CHUNK = ChunkId(object_id(1, 2, 3), 4)
OTHERS = [ChunkId(object_id(1, 2, 4), 4), ChunkId(object_id(1, 2, 3), 0)]
MANIFEST = b'{"a":"manifest"}'

sizes = st.one_of(
    st.integers(0, 3 * BLOCK_BYTES),
    st.builds(
        lambda blocks, more: max(blocks * BLOCK_BYTES + more, 0),
        st.integers(0, 3),
        st.sampled_from([-1, 0, 1]),
    ),
)


def encode(content: bytes, manifest: bytes, chunk: ChunkId = CHUNK) -> bytes:
    """A whole file."""
    blocks = range(0, len(content), BLOCK_BYTES)
    checksums = pack_checksums(
        [
            block_checksum(chunk, number, content[start : start + BLOCK_BYTES])
            for number, start in enumerate(blocks)
        ]
    )
    footer = encode_footer(chunk, len(content), checksums, manifest)
    return b"".join([encode_header(chunk), content, *footer])


def decode(file: Buffer, chunk: ChunkId = CHUNK) -> tuple[bytes, bytes]:
    """Content and manifest of a file, all of it verified."""
    verify_header(bytes(file[:HEADER_BYTES]), chunk)
    layout = decode_tail(bytes(file[-TAIL_BYTES:]), chunk, len(file))
    checksums = file[layout.footer_offset : layout.manifest_offset]
    manifest = file[layout.manifest_offset : layout.manifest_offset + layout.manifest_bytes]
    verify_footer(chunk, layout, [checksums, manifest])
    content = file[HEADER_BYTES : layout.footer_offset]
    verify_blocks(chunk, 0, content, checksums)
    return bytes(content), bytes(manifest)


@given(size=sizes, manifest=st.binary(max_size=200))
@example(size=0, manifest=b"")
def test_what_is_written_is_read(size: int, manifest: bytes) -> None:
    """Sizes around the edges of blocks, an empty chunk and an empty manifest included."""
    content = bytes(position % 251 for position in range(size))
    assert decode(encode(content, manifest)) == (content, manifest)


def test_every_truncation_is_refused() -> None:
    """No footer, no chunk."""
    file = encode(b"some content", MANIFEST)
    for length in range(len(file)):
        with pytest.raises(CorruptionError):
            decode(file[:length])


def test_a_longer_file_is_refused() -> None:
    """What a crash appended, or the same file twice, is no chunk either."""
    file = encode(b"some content", MANIFEST)
    for longer in (file + b"\0", file + file[-TAIL_BYTES:], file + file):
        with pytest.raises(CorruptionError):
            decode(longer)


@pytest.mark.parametrize("content", [b"some content", b""])
def test_every_flipped_bit_is_detected(content: bytes) -> None:
    """In the header, the content, the checksums, the manifest and the tail."""
    file = bytearray(encode(content, MANIFEST))
    for position in range(len(file)):
        for bit in range(8):
            file[position] ^= 1 << bit
            with pytest.raises(CorruptionError):
                decode(file)
            file[position] ^= 1 << bit
    assert decode(file) == (content, MANIFEST)


@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize("content", [b"some content", b""])
def test_another_chunk_under_this_name_is_refused(other: ChunkId, content: bytes) -> None:
    """Header, footer and blocks all know whose they are."""
    file = encode(content, MANIFEST, other)
    with pytest.raises(FormatError, match="another chunk"):
        decode(file)
    with pytest.raises(CorruptionError):
        decode(encode_header(CHUNK) + file[HEADER_BYTES:])


def test_exchanged_blocks_are_detected() -> None:
    """Checksums know their block's number."""
    first, second = b"1" * BLOCK_BYTES, b"2" * BLOCK_BYTES
    file = encode(first + second, MANIFEST)
    exchanged = file.replace(first + second, second + first)
    with pytest.raises(CorruptionError, match="Block 0"):
        decode(exchanged)


def test_a_footer_needs_a_checksum_for_each_block() -> None:
    """A writer that lost one is stopped before it can acknowledge."""
    with pytest.raises(FormatError):
        encode_footer(CHUNK, BLOCK_BYTES + 1, pack_checksums([1]), MANIFEST)


def test_blocks_without_checksums_are_refused() -> None:
    """Nothing passes as verified only because there was nothing to compare with."""
    with pytest.raises(FormatError):
        verify_blocks(CHUNK, 0, b"content", b"")


def test_a_manifest_has_a_largest_size() -> None:
    """So that a reader knows how much memory one takes."""
    encode_footer(CHUNK, 0, b"", bytes(MANIFEST_BYTES_MAX))
    with pytest.raises(FormatError):
        encode_footer(CHUNK, 0, b"", bytes(MANIFEST_BYTES_MAX + 1))


def test_sizes_may_exceed_32_bits() -> None:
    """The tail of a chunk of 1 TiB."""
    chunk_bytes = 2**40
    checksums = bytes(CHECKSUM_BYTES * (chunk_bytes // BLOCK_BYTES))
    *_, tail = encode_footer(CHUNK, chunk_bytes, checksums, MANIFEST)
    file_bytes = HEADER_BYTES + chunk_bytes + len(checksums) + len(MANIFEST) + TAIL_BYTES
    layout = decode_tail(bytes(tail), CHUNK, file_bytes)
    assert layout == ChunkLayout(chunk_bytes, len(MANIFEST), layout.footer_checksum)


def test_the_format_does_not_change() -> None:
    """Files of today are read tomorrow: the bytes of version 1."""
    header = (
        "8974736368756e6b 00000001 00010000 0000000100000000000200000000000304"
        + 27 * "00"
        + "0aec0c72"
    )
    footer = "1b5e04e5 7b7d"
    tail = "0000000000000001 0000000000000002 0000000000000001 36377a4a 00000001 8974736368656e64"
    assert encode(b"x", b"{}") == bytes.fromhex(header) + b"x" + bytes.fromhex(footer + tail)
