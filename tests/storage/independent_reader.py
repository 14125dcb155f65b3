"""
A second reader of volumes, written by docs/formats.md alone: it uses nothing of the product.

It proves that the document suffices. Slow, and without regard for memory.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PROVISIONAL, CONFIRMED, QUARANTINED, DEAD, GONE = 1, 2, 3, 4, 5
ALIVE = (PROVISIONAL, CONFIRMED)

_FOLLOWS: dict[int, tuple[int, ...]] = {2: (1,), 3: (1, 2), 4: (1, 2, 3)}
_POLYNOMIAL = 0x82F63B78
_PAYLOAD_MAX = 67108864
_BLOCK = 65536


def _table() -> list[int]:
    table = []
    for byte in range(256):
        value = byte
        for _ in range(8):
            value = value >> 1 ^ (_POLYNOMIAL if value & 1 else 0)
        table.append(value)
    return table


_TABLE = _table()


def crc(content: bytes, start: int = 0) -> int:
    """CRC32C of the bytes, from ``start``."""
    value = start ^ 0xFFFFFFFF
    for byte in content:
        value = value >> 8 ^ _TABLE[(value ^ byte) & 0xFF]
    return value ^ 0xFFFFFFFF


class NotSoundError(Exception):
    """The bytes are not what the document says."""


@dataclass
class FoundChunk:
    """What the volumes say of a chunk; its bytes are None if its file is not sound."""

    state: int
    volume: int
    content: bytes | None
    manifest: bytes


def check(truth: bool, what: str) -> None:
    """Raise unless it is so."""
    if not truth:
        raise NotSoundError(what)


def read_chunks(folder: Path) -> dict[bytes, FoundChunk]:
    """All chunks that are not gone, by packed id."""
    found: dict[bytes, FoundChunk] = {}
    sequence = 0
    for path in sorted(folder.glob("*.volume")):
        raw = path.read_bytes()
        number = int(path.name.removesuffix(".volume"))
        try:
            seed = read_superblock(raw[:128], number)
        except NotSoundError:
            continue
        for batch in _batches(raw, seed, sequence):
            sequence = batch[0]
            _take(number, batch[1], batch[2], found)
    return {packed: chunk for packed, chunk in found.items() if chunk.state != GONE}


def read_superblock(raw: bytes, number: int) -> int:
    """The seed of that volume, by these 128 bytes; raises `NotSoundError`."""
    check(len(raw) == 128, "length of the superblock")
    try:
        return _read_copy(raw[:64], number)
    except NotSoundError:
        return _read_copy(raw[64:], number)


def _read_copy(raw: bytes, number: int) -> int:
    check(raw[:8] == b"\x89tsvolum", "magic")
    check(struct.unpack(">IQ", raw[8:20]) == (1, number), "version, number")
    check(raw[36:60] == bytes(24), "zeros")
    check(struct.unpack(">I", raw[60:64])[0] == crc(raw[:60]), "checksum of the superblock")
    return crc(raw[20:36])


def _batches(raw: bytes, seed: int, sequence: int) -> Iterator[tuple[int, bytes, bool]]:
    """Sequence number and payload of each batch, and whether the payload is sound."""
    offset = 128
    while offset < len(raw):
        batch = _batch(raw, offset, seed, sequence)
        end = offset + 1 if batch is None else offset + 24 + len(batch[1])
        if batch is None or not batch[2]:
            next_offset = _next_sound(raw, end, seed, sequence)
            if next_offset is None:
                return
            if batch is None:
                offset = next_offset
                continue
        yield batch
        sequence = batch[0]
        offset = end


def _next_sound(raw: bytes, offset: int, seed: int, sequence: int) -> int | None:
    while (offset := raw.find(b"\xf5tsb", offset)) >= 0:
        batch = _batch(raw, offset, seed, sequence)
        if batch is not None and batch[2]:
            return offset
        offset += 1
    return None


def _batch(raw: bytes, offset: int, seed: int, sequence: int) -> tuple[int, bytes, bool] | None:
    """A batch with a sound head; one that is not all there takes what is left of the file."""
    head = raw[offset : offset + 24]
    if len(head) < 24 or head[:4] != b"\xf5tsb":
        return None
    size, found_sequence, payload_crc, head_crc = struct.unpack(">IQII", head[4:])
    if size > _PAYLOAD_MAX or head_crc != crc(head[:20], seed) or found_sequence <= sequence:
        return None
    payload = raw[offset + 24 : offset + 24 + size]
    return found_sequence, payload, len(payload) == size and crc(payload, seed) == payload_crc


def _take(number: int, payload: bytes, is_sound: bool, found: dict[bytes, FoundChunk]) -> None:
    offset = 0
    while offset < len(payload):
        head = payload[offset : offset + 12]
        if len(head) < 12:
            return
        kind, state, zero, size, checksum = struct.unpack(">BBHII", head)
        content = payload[offset + 12 : offset + 12 + size]
        covered = head[:8] + (content if kind == 2 else b"")
        if checksum != crc(covered) or zero or len(content) < size:
            return
        if kind == 1:
            _needle(number, state, content, is_sound, found)
        else:
            for start in range(0, size, 17):
                chunk = found.get(content[start : start + 17])
                if chunk is not None and (state == GONE or chunk.state in _FOLLOWS[state]):
                    chunk.state = state
        offset += 12 + size


def _needle(
    number: int, state: int, content: bytes, is_sound: bool, found: dict[bytes, FoundChunk]
) -> None:
    packed = content[16:33]
    try:
        check_header(content[:64])
    except NotSoundError:
        if not is_sound:
            return
    try:
        blocks, manifest = read_chunk_file(content)
        found[packed] = FoundChunk(state, number, blocks, manifest)
    except (NotSoundError, struct.error):
        if not is_sound and state in ALIVE:
            if packed in found and found[packed].state in ALIVE:
                return
            state = QUARANTINED
        found[packed] = FoundChunk(state, number, None, b"")


def check_header(raw: bytes) -> None:
    """Raise unless these 64 bytes begin a chunk file."""
    check(len(raw) == 64 and raw[:8] == b"\x89tschunk", "magic")
    check(struct.unpack(">II", raw[8:16]) == (1, _BLOCK), "version, block")
    check(struct.unpack(">I", raw[60:64])[0] == crc(raw[:60]), "checksum of the header")


def read_chunk_file(raw: bytes) -> tuple[bytes, bytes]:
    """The bytes of the chunk and its manifest; raises `NotSoundError`."""
    check_header(raw[:64])
    packed = raw[16:33]
    length, manifest_length, count, checksum, version = struct.unpack(">QQQII", raw[-40:-8])
    check(raw[-8:] == b"\x89tschend" and version == 1, "tail")
    check(len(raw) == 64 + length + 4 * count + manifest_length + 40, "length")
    footer = raw[64 + length :]
    check(checksum == crc(packed + footer[:-16]), "checksum of the footer")
    blocks = raw[64 : 64 + length]
    for number in range(count):
        block = blocks[number * _BLOCK : (number + 1) * _BLOCK]
        seed = crc(packed + struct.pack(">I", number))
        [wanted] = struct.unpack(">I", footer[4 * number : 4 * number + 4])
        check(wanted == crc(block, seed), f"block {number}")
    return blocks, footer[4 * count : 4 * count + manifest_length]
