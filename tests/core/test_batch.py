"""Batches: what is sent is what arrives, and whatever is damaged or too much is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twisted_store.core.batch import (
    CONFIRM,
    DEAD,
    DISCARD,
    ERROR,
    GET,
    OK,
    OPERATIONS_MAX,
    PUT,
    WHOLE_CHUNK_BYTES_MAX,
    Record,
    decode_operations,
    decode_results,
    operation_head,
    pack_ids,
    result_head,
    unpack_ids,
)
from twisted_store.core.ids import ChunkId, object_id
from twisted_store.errors import ChecksumError, CorruptionError, FormatError

CHUNK = ChunkId(object_id(1, 2, 3), 4)
OTHER = ChunkId(object_id(1, 2, 4), 99)

HEAD_BYTES = len(operation_head(PUT, 0, b""))

chunk_ids = st.builds(
    lambda number, index: ChunkId(object_id(1, number, number), index),
    st.integers(0, 2**48 - 1),
    st.integers(0, 99),
)
Operation = tuple[int, list[ChunkId], bytes]


def naming(kind: int, named: list[ChunkId]) -> Operation:
    """An operation on chunks that are there."""
    return kind, named, pack_ids(named)


operations: st.SearchStrategy[Operation] = st.one_of(
    st.tuples(st.just(PUT), st.just([]), st.binary(max_size=300)),
    st.builds(
        naming,
        st.sampled_from([GET, CONFIRM, DEAD, DISCARD]),
        st.lists(chunk_ids, min_size=1, max_size=9),
    ),
)


def encode(batch: list[Operation]) -> bytes:
    """The body of a request."""
    return b"".join(
        operation_head(kind, len(named), payload) + payload for kind, named, payload in batch
    )


SAMPLE = [(PUT, [], b"some bytes"), naming(GET, [CHUNK, OTHER]), naming(DEAD, [OTHER])]
BODY = encode(SAMPLE)


@given(st.lists(operations, max_size=9))
def test_operations_arrive_as_they_were_sent(batch: list[Operation]) -> None:
    """Kinds, chunk ids and payloads, in order; nothing is copied."""
    body = encode(batch)
    arrived = decode_operations(body)
    assert [each.kind for each in arrived] == [kind for kind, _, _ in batch]
    for record, (_, named, payload) in zip(arrived, batch, strict=True):
        assert (record.ids, bytes(record.sound_payload())) == (len(named), payload)
        assert record.payload.obj is body
        if named:
            assert unpack_ids(record.payload) == named


@given(st.lists(st.tuples(st.sampled_from([OK, ERROR]), st.binary(max_size=300)), max_size=9))
def test_results_arrive_as_they_were_sent(results: list[tuple[int, bytes]]) -> None:
    """The same the other way."""
    body = b"".join(result_head(kind, 0, payload) + payload for kind, payload in results)
    arrived = [(each.kind, bytes(each.sound_payload())) for each in decode_results(body)]
    assert arrived == results


@pytest.mark.parametrize("size_bytes", range(len(BODY)))
def test_a_part_of_a_batch_is_refused_or_has_whole_operations(size_bytes: int) -> None:
    """It can end between two of them only."""
    ends = [len(encode(SAMPLE[:count])) for count in range(len(SAMPLE))]
    if size_bytes in ends:
        assert len(decode_operations(BODY[:size_bytes])) == ends.index(size_bytes)
    else:
        with pytest.raises(FormatError):
            decode_operations(BODY[:size_bytes])


@pytest.mark.parametrize("position", range(len(BODY)))
def test_a_flipped_bit_is_found_or_harmless(position: int) -> None:
    """A damaged payload concerns its own operation, a damaged head may concern all."""
    damaged = bytearray(BODY)
    damaged[position] ^= 1 << position % 8
    try:
        arrived = [_looked_at(record) for record in decode_operations(damaged)]
    except FormatError:
        return
    sound = [_looked_at(record) for record in decode_operations(BODY)]
    assert arrived != sound
    assert sum(one != other for one, other in zip(arrived, sound, strict=True)) == 1


def _looked_at(record: Record) -> tuple[int, int, bytes]:
    try:
        return record.kind, record.ids, bytes(record.sound_payload())
    except ChecksumError:
        return record.kind, record.ids, b"damaged"


@pytest.mark.parametrize(
    "body",
    [
        result_head(OK, 0, b""),
        operation_head(0, 0, b""),
        operation_head(DISCARD + 1, 1, CHUNK.packed) + CHUNK.packed,
        operation_head(GET, 2, CHUNK.packed) + CHUNK.packed,
        operation_head(GET, 0, b""),
        operation_head(CONFIRM, 0, CHUNK.packed) + CHUNK.packed,
        encode([(PUT, [], bytes(WHOLE_CHUNK_BYTES_MAX + 1))]),
        encode([(PUT, [], b"")] * (OPERATIONS_MAX + 1)),
        encode([naming(GET, [CHUNK] * (OPERATIONS_MAX + 1))]),
        encode([naming(GET, [CHUNK]), *[(PUT, [], b"")] * OPERATIONS_MAX]),
    ],
)
def test_what_is_no_batch_or_too_much_is_refused(body: bytes) -> None:
    """Each kind of operation has its form, and all of them limits."""
    with pytest.raises(FormatError):
        decode_operations(body)


def test_all_that_may_go_in_a_batch_is_taken() -> None:
    """Up to the limits."""
    assert len(decode_operations(encode([(PUT, [], b"")] * OPERATIONS_MAX))) == OPERATIONS_MAX
    [put] = decode_operations(encode([(PUT, [], bytes(WHOLE_CHUNK_BYTES_MAX))]))
    assert len(put.payload) == WHOLE_CHUNK_BYTES_MAX


@pytest.mark.parametrize("body", [operation_head(PUT, 0, b""), result_head(ERROR + 1, 0, b"")])
def test_what_are_no_results_is_refused(body: bytes) -> None:
    """A node of another version may answer anything."""
    with pytest.raises(FormatError):
        decode_results(body)


@given(st.binary(max_size=100))
def test_bytes_of_any_kind_are_no_batch(body: bytes) -> None:
    """Or are one by chance; nothing else comes of them."""
    for decode in (decode_operations, decode_results, unpack_ids):
        try:
            decode(body)
        except CorruptionError:
            continue
