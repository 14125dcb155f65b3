"""GET and HEAD of a chunk: the bytes that were stored, or an error, never other bytes."""

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.python.failure import Failure

from tests.node.bench import CHUNK, MANIFEST, TIMEOUT_SECONDS, NodeBench, content, path
from tests.web.wire import Answer, head
from twisted_store.core.checksums import BLOCK_BYTES, block_checksum
from twisted_store.core.chunk_file import HEADER_BYTES
from twisted_store.core.frames import MEDIA_TYPE, FrameDecoder, VerifiedBlocks
from twisted_store.core.ids import ChunkId, object_id
from twisted_store.errors import ChecksumError, CorruptionError
from twisted_store.storage.reader import READ_BLOCKS_MAX, WHOLE_FILE_BYTES_MAX

FRAMES = f"Accept: {MEDIA_TYPE}"
READ_BYTES = READ_BLOCKS_MAX * BLOCK_BYTES
LARGE = content(2 * READ_BYTES + BLOCK_BYTES + 9)
SIZES = [1, BLOCK_BYTES, BLOCK_BYTES + 1, WHOLE_FILE_BYTES_MAX, READ_BYTES, len(LARGE)]


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> NodeBench:
    """A node that holds a chunk of each size, by index."""
    node = NodeBench(tmp_path_factory.mktemp("node"))
    for index, size_bytes in enumerate(SIZES):
        node.hold(LARGE[:size_bytes], chunk(index))
    return node


def chunk(index: int) -> ChunkId:
    """The chunk of that index of one object."""
    return ChunkId(CHUNK.object_id, index)


def decoded(answer: Answer, chunk_id: ChunkId, first_block: int = 0) -> tuple[bytes, list[bytes]]:
    """The verified bytes of a framed answer, and its manifests."""
    decoder = FrameDecoder(chunk_id, first_block)
    found, manifests = bytearray(), []
    for event in decoder.feed(answer.body):
        if isinstance(event, VerifiedBlocks):
            found += b"".join(event.buffers)
        else:
            manifests.append(event.encoded)
    assert decoder.between_frames
    return bytes(found), manifests


@pytest.mark.parametrize("index", range(len(SIZES)))
def test_a_chunk_comes_back_as_it_was_stored(node: NodeBench, index: int) -> None:
    """Plain bytes for whoever asks for nothing special."""
    answer = node.call("GET", path(chunk(index)))
    assert answer.status == 200
    assert answer.body == LARGE[: SIZES[index]]
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["accept-ranges"] == "bytes"


@settings(max_examples=40)
@given(data=st.data())
def test_a_range_comes_back_exactly(node: NodeBench, data: st.DataObject) -> None:
    """From any byte to any byte, across blocks and reads."""
    index = data.draw(st.integers(0, len(SIZES) - 1))
    first = data.draw(st.integers(0, SIZES[index] - 1))
    last = data.draw(st.integers(first, SIZES[index] - 1))
    answer = node.call("GET", path(chunk(index)), f"Range: bytes={first}-{last}")
    assert answer.status == 206
    assert answer.body == LARGE[first : last + 1]
    assert answer.headers["content-range"] == f"bytes {first}-{last}/{SIZES[index]}"


@settings(max_examples=40)
@given(data=st.data())
def test_a_framed_range_is_widened_to_whole_blocks(node: NodeBench, data: st.DataObject) -> None:
    """A checksum covers a block; Content-Range tells what is sent."""
    index = data.draw(st.integers(0, len(SIZES) - 1))
    first = data.draw(st.integers(0, SIZES[index] - 1))
    last = data.draw(st.integers(first, SIZES[index] - 1))
    answer = node.call("GET", path(chunk(index)), FRAMES, f"Range: bytes={first}-{last}")
    first_block, end_block = first // BLOCK_BYTES, last // BLOCK_BYTES + 1
    widened = LARGE[: SIZES[index]][first_block * BLOCK_BYTES : end_block * BLOCK_BYTES]
    assert (answer.status, answer.headers["content-type"]) == (206, MEDIA_TYPE)
    assert decoded(answer, chunk(index), first_block) == (widened, [])
    start = first_block * BLOCK_BYTES
    assert answer.headers["content-range"] == (
        f"bytes {start}-{start + len(widened) - 1}/{SIZES[index]}"
    )


@pytest.mark.parametrize("index", range(len(SIZES)))
def test_a_whole_framed_chunk_ends_with_its_manifest(node: NodeBench, index: int) -> None:
    """What comes out can go into another node as it is."""
    answer = node.call("GET", path(chunk(index)), f"Accept: text/html, {MEDIA_TYPE};q=0.9")
    assert answer.status == 200
    assert decoded(answer, chunk(index)) == (LARGE[: SIZES[index]], [MANIFEST])
    other = ChunkId(CHUNK.object_id, 60 + index)
    with pytest.raises(ChecksumError):
        decoded(answer, other)


def test_an_empty_chunk_comes_back_empty(bench: NodeBench) -> None:
    """In frames it still has its manifest."""
    bench.hold(b"")
    assert bench.call("GET", path()).body == b""
    assert decoded(bench.call("GET", path(), FRAMES), CHUNK) == (b"", [MANIFEST])


@pytest.mark.parametrize("accept", ["Accept: */*", "Accept: application/json", FRAMES])
def test_a_range_beyond_the_end_is_refused_with_the_size(bench: NodeBench, accept: str) -> None:
    """RFC 9110 section 15.5.17."""
    bench.hold(b"bytes")
    answer = bench.call("GET", path(), "Range: bytes=5-", accept)
    assert answer.status == 416
    assert answer.headers["content-range"] == "bytes */5"


@pytest.mark.parametrize("range_header", ["bytes=0-1,3-4", "lines=1-2", "bytes=4-2", "nonsense"])
def test_ranges_that_are_not_served_are_ignored(bench: NodeBench, range_header: str) -> None:
    """Several ranges, other units and malformed ones give the whole chunk."""
    bench.hold(b"bytes")
    answer = bench.call("GET", path(), f"Range: {range_header}")
    assert (answer.status, answer.body) == (200, b"bytes")


def test_head_tells_the_size_and_nothing_else(bench: NodeBench) -> None:
    """Without a body, and whatever range is asked for."""
    bench.hold(b"bytes")
    client = bench.connect()
    client.send(head(f"HEAD {path()}", "Range: bytes=0-1"))
    header, body = client.received.split(b"\r\n\r\n")
    assert header.startswith(b"HTTP/1.1 200 ")
    assert b"\r\nContent-Length: 5" in header
    assert body == b""


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_chunk_that_is_not_here_is_not_found(bench: NodeBench, method: str) -> None:
    """With the code that tells the api to look again where the chunk is."""
    client = bench.connect()
    client.send(head(f"{method} {path(ChunkId(object_id(1, 1, 1), 0))}"))
    assert client.received.startswith(b"HTTP/1.1 404 ")
    assert method == "HEAD" or client.answer().json()["error"] == "chunk_not_found"


@pytest.mark.parametrize("accept", ["Accept: */*", FRAMES])
@pytest.mark.parametrize("size_bytes", [100, WHOLE_FILE_BYTES_MAX + 1])
def test_damage_before_the_first_byte_is_told(
    bench: NodeBench,
    size_bytes: int,
    accept: str,
    expected_failures: Callable[..., list[Failure]],
) -> None:
    """As an error, without a byte of what is damaged, and in the log."""
    bench.hold(content(size_bytes))
    flip(bench, 50)
    answer = bench.call("GET", path(), accept)
    assert (answer.status, answer.json()["error"]) == (500, "checksum")
    assert "content-range" not in answer.headers
    assert len(expected_failures(CorruptionError)) == 1


@pytest.mark.parametrize("accept", ["Accept: */*", FRAMES])
def test_damage_after_the_first_byte_breaks_the_connection_off(
    bench: NodeBench, accept: str, expected_failures: Callable[..., list[Failure]]
) -> None:
    """What was sent is right, and cannot be taken for the whole."""
    bench.hold(LARGE)
    flip(bench, READ_BYTES + 5)
    client = bench.connect()
    client.send(head(f"GET {path()}", accept))
    assert client.aborted
    header, _, body = client.received.partition(b"\r\n\r\n")
    assert header.startswith(b"HTTP/1.1 200 ")
    assert READ_BYTES <= len(body) < len(LARGE)
    assert LARGE.find(body[-BLOCK_BYTES:]) >= 0
    assert len(expected_failures(CorruptionError)) == 1


def flip(bench: NodeBench, position: int) -> None:
    """Damage one byte of the chunk on the disk."""
    with bench.file().open("r+b") as file:
        file.seek(HEADER_BYTES + position)
        [byte] = file.read(1)
        file.seek(HEADER_BYTES + position)
        file.write(bytes([byte ^ 1]))


def test_one_read_is_ahead_of_a_client_that_takes_its_time(bench: NodeBench) -> None:
    """Its bytes wait for the socket, and no others are read before they are gone."""
    bench.hold(LARGE)
    client = bench.connect()
    client.transport.full = True
    client.send(head(f"GET {path()}"))
    assert client.received.count(b"\r\n\r\n") == 1
    assert len(client.received) < 2 * READ_BYTES
    assert read_bytes(bench) < 3 * READ_BYTES
    client.transport.resume()
    assert client.answer().body == LARGE


def read_bytes(bench: NodeBench) -> int:
    """What was read of chunks so far."""
    return bench.store.counters.bytes_read


def test_a_client_that_takes_nothing_is_dropped(bench: NodeBench) -> None:
    """And the file let go."""
    bench.hold(LARGE)
    client = bench.connect()
    client.transport.full = True
    client.send(head(f"GET {path()}"))
    bench.clock.advance(TIMEOUT_SECONDS)
    assert client.aborted
    client.hang_up()
    assert file_is_closed(bench)


def test_a_client_that_leaves_lets_the_file_go(bench: NodeBench) -> None:
    """In the middle of an answer."""
    bench.hold(LARGE)
    client = bench.connect()
    client.transport.full = True
    client.send(head(f"GET {path()}"))
    client.hang_up()
    assert file_is_closed(bench)


def file_is_closed(bench: NodeBench) -> bool:
    """Whether whoever opened the file of the chunk closed it."""
    names = [name for name, file in bench.disk.calls if file == f"{CHUNK}.provisional"]
    return names.count("open") == names.count("close")


def test_block_checksums_in_frames_are_those_of_the_chunk(bench: NodeBench) -> None:
    """Not computed anew from what may be damaged by then."""
    bench.hold(b"bytes")
    body = bench.call("GET", path(), FRAMES).body
    assert block_checksum(CHUNK, 0, b"bytes").to_bytes(4, "big") in body
