"""The form of a volume: what is written is read, and whatever is damaged is refused."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twisted_store.core.checksums import crc32c
from twisted_store.core.ids import ChunkId, object_id
from twisted_store.core.volume import (
    BATCH_BYTES_MAX,
    BATCH_HEAD_BYTES,
    RECORD_HEAD_BYTES,
    SALT_BYTES,
    SUPERBLOCK_BYTES,
    NeedleState,
    Record,
    RecordKind,
    decode_batch_head,
    decode_records,
    decode_superblock,
    encode_batch,
    encode_mark,
    encode_superblock,
    needle_head,
    verify_payload,
)
from twisted_store.errors import ChecksumError, CorruptionError, FormatError

PACKED = ChunkId(object_id(1, 2, 3), 4).packed
OTHER = ChunkId(object_id(1, 2, 4), 0).packed

SALT = bytes(range(SALT_BYTES))
SEED = crc32c(SALT)

Given = tuple[RecordKind, NeedleState, bytes]

needles = st.tuples(
    st.just(RecordKind.NEEDLE), st.sampled_from(NeedleState), st.binary(min_size=1, max_size=40)
)
marks = st.tuples(
    st.just(RecordKind.MARK),
    st.sampled_from(NeedleState),
    st.lists(st.sampled_from([PACKED, OTHER]), max_size=3).map(b"".join),
)


def pieces(records: list[Given]) -> list[bytes]:
    """The records as they are written."""
    found = []
    for kind, state, content in records:
        if kind is RecordKind.NEEDLE:
            found += [needle_head(state, len(content)), content]
        else:
            found.append(
                encode_mark(state, [content[i : i + 17] for i in range(0, len(content), 17)])
            )
    return found


def read(batch: bytes, seed: int = SEED) -> list[Record]:
    """The records of a batch; raises `CorruptionError`."""
    head = decode_batch_head(batch, seed)
    payload = batch[BATCH_HEAD_BYTES:]
    verify_payload(head, payload, seed)
    return list(decode_records(payload))


def flips(raw: bytes) -> list[bytes]:
    """With each bit changed."""
    return [
        raw[:place] + bytes([raw[place] ^ 1 << bit]) + raw[place + 1 :]
        for place in range(len(raw))
        for bit in range(8)
    ]


@given(st.integers(1, 2**64 - 1), st.lists(st.one_of(needles, marks), max_size=5))
def test_a_batch_is_read_as_it_was_written(sequence: int, records: list[Given]) -> None:
    """Records in order, each with where its content is."""
    batch = encode_batch(sequence, pieces(records), SEED)
    assert decode_batch_head(batch, SEED).sequence == sequence
    assert decode_batch_head(batch, SEED).payload_bytes == len(batch) - BATCH_HEAD_BYTES
    found = read(batch)
    assert [(each.kind, each.state, bytes(each.payload)) for each in found] == records
    for each in found:
        start = BATCH_HEAD_BYTES + each.offset
        assert batch[start : start + len(each.payload)] == each.payload


def test_a_mark_names_its_chunks() -> None:
    """In order."""
    [mark] = decode_records(encode_mark(NeedleState.DEAD, [PACKED, OTHER]))
    assert list(mark.chunk_ids) == [PACKED, OTHER]


SMALL = encode_batch(
    7,
    [needle_head(NeedleState.CONFIRMED, 5), b"hello", encode_mark(NeedleState.DEAD, [PACKED])],
    SEED,
)


@pytest.mark.parametrize("length", range(len(SMALL)))
def test_a_batch_that_is_cut_is_refused(length: int) -> None:
    """Anywhere."""
    with pytest.raises(CorruptionError):
        read(SMALL[:length])


def test_a_batch_with_a_changed_bit_is_refused() -> None:
    """Any bit."""
    assert len(read(SMALL)) == 2
    for damaged in flips(SMALL):
        with pytest.raises(CorruptionError):
            read(damaged)


def test_records_are_refused_without_the_checksum_of_their_batch() -> None:
    """All but the content of a needle, which has checksums of its own."""
    payload = SMALL[BATCH_HEAD_BYTES:]
    content = range(RECORD_HEAD_BYTES, RECORD_HEAD_BYTES + 5)
    for number, damaged in enumerate(flips(payload)):
        if number // 8 in content:
            assert len(list(decode_records(damaged))) == 2
        else:
            with pytest.raises(CorruptionError):
                list(decode_records(damaged))


def test_what_stands_before_the_damage_is_read() -> None:
    """Record by record."""
    records = decode_records(SMALL[BATCH_HEAD_BYTES:-1])
    assert bytes(next(records).payload) == b"hello"
    with pytest.raises(CorruptionError):
        next(records)


@pytest.mark.parametrize(
    "fields",
    [(0, 1, 0, 17), (3, 1, 0, 17), (1, 0, 0, 17), (1, 6, 0, 17), (1, 1, 1, 17), (2, 1, 0, 16)]
    + [(1, 1, 0, 0), (1, 1, 0, 18)],
)
def test_a_record_that_makes_no_sense_is_refused(fields: tuple[int, ...]) -> None:
    """Although its checksum is right."""
    head = struct.pack(">BBHI", *fields)
    content = bytes(min(fields[3], 17))
    checksum = crc32c(content, crc32c(head)) if fields[0] == 2 else crc32c(head)
    with pytest.raises(FormatError):
        list(decode_records(head + struct.pack(">I", checksum) + content))


def test_a_batch_that_is_too_large_is_none() -> None:
    """Nobody reads so much for a number that was damaged, or made up."""
    for payload_bytes, is_head in ((BATCH_BYTES_MAX, True), (BATCH_BYTES_MAX + 1, False)):
        fields = struct.pack(">4sIQI", SMALL[:4], payload_bytes, 1, 0)
        raw = fields + struct.pack(">I", crc32c(fields, SEED))
        if is_head:
            assert decode_batch_head(raw, SEED).payload_bytes == BATCH_BYTES_MAX
        else:
            with pytest.raises(FormatError):
                decode_batch_head(raw, SEED)


@pytest.mark.parametrize("payload", [b"", b"x", SMALL[BATCH_HEAD_BYTES:]])
def test_a_batch_is_sound_only_in_its_volume(payload: bytes) -> None:
    """With another seed neither head nor payload are."""
    batch = encode_batch(7, [payload], SEED)
    head = decode_batch_head(batch, SEED)
    verify_payload(head, payload, SEED)
    for seed in (0, SEED ^ 1, crc32c(SALT[::-1])):
        with pytest.raises(FormatError):
            decode_batch_head(batch, seed)
        with pytest.raises(ChecksumError):
            verify_payload(head, payload, seed)


def test_a_superblock_is_that_of_its_volume() -> None:
    """Of no other one."""
    raw = encode_superblock(5, SALT)
    assert len(raw) == SUPERBLOCK_BYTES
    assert decode_superblock(raw, 5) == SEED
    with pytest.raises(FormatError, match="volume 5"):
        decode_superblock(raw, 6)
    for damaged in (raw[:-1], raw + b"\0", raw[:64], b""):
        with pytest.raises(FormatError, match="does not begin"):
            decode_superblock(damaged, 5)


def test_one_sound_copy_of_a_superblock_will_do() -> None:
    """Whichever it is; with a changed bit in both the salt is not known."""
    copy = encode_superblock(5, SALT)[:64]
    for damaged in flips(copy):
        assert decode_superblock(copy + damaged, 5) == SEED
        assert decode_superblock(damaged + copy, 5) == SEED
        with pytest.raises(CorruptionError):
            decode_superblock(damaged + damaged, 5)


def test_a_superblock_of_another_version_is_refused() -> None:
    """Its checksum tells that it is no damage."""
    fields = struct.pack(">8sIQ40x", encode_superblock(5, SALT)[:8], 2, 5)
    with pytest.raises(FormatError, match="version 2"):
        decode_superblock(2 * (fields + struct.pack(">I", crc32c(fields))), 5)
