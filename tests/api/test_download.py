"""The use case download: the right bytes or none, and who fails is known."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure
from twisted.web.client import ResponseFailed

from tests.api.world import MIB, STRIPE, ApiCluster, downloads_of
from tests.catalog.objects import manifest_of
from tests.catalog.seams import result_of, start
from tests.simulation.calls import Calls, content_of
from twisted_store.api.download import (
    DOWNLOAD_BYTES_MIN,
    Download,
    Downloads,
    memory_bytes,
)
from twisted_store.catalog.entries import Entry
from twisted_store.core.durability import STRICT
from twisted_store.core.ids import ChunkId, NodeId
from twisted_store.core.scheme import Scheme, SchemeRules
from twisted_store.errors import (
    ChecksumError,
    ChunkNotFoundError,
    NodeFailedError,
    ObjectNotFoundError,
)

CONTENT = content_of(2 * STRIPE + 12_345)


@pytest.fixture
def downloads(cluster: ApiCluster, calls: Calls) -> Downloads:
    """Those of a cluster with a file called ``a``."""
    calls.put("a", CONTENT)
    cluster.clock.run_for(3)
    return downloads_of(cluster)


def entry_of(cluster: ApiCluster, downloads: Downloads) -> Entry:
    """The row of that file."""
    return cluster.run(start(downloads.current("a")))


def holder(cluster: ApiCluster, downloads: Downloads, index: int) -> str:
    """The node that holds a chunk of it."""
    node_id = entry_of(cluster, downloads).placement[index]
    assert node_id is not None
    return cluster.node_ids()[node_id]


def opened(cluster: ApiCluster, downloads: Downloads, first: int, end: int) -> Download:
    """A reader of that range."""
    entry = entry_of(cluster, downloads)
    return cluster.run(start(downloads.open(entry, first, end)))


async def rest_of(reader: Download) -> bytes:
    """All that comes."""
    content = bytearray()
    while parts := await reader.read():
        for part in parts:
            content += part
    reader.close()
    return bytes(content)


@pytest.mark.parametrize(
    ("first", "end"),
    [
        (0, len(CONTENT)),
        (0, 1),
        (MIB - 1, MIB + 1),
        (STRIPE - 1, STRIPE + 1),
        (3 * MIB + 70_000, STRIPE + 3 * MIB),
        (len(CONTENT) - 1, len(CONTENT)),
    ],
)
def test_a_range_is_what_it_is_of_the_file(
    cluster: ApiCluster, downloads: Downloads, first: int, end: int
) -> None:
    """Wherever it is cut."""
    reader = opened(cluster, downloads, first, end)
    assert cluster.run(start(rest_of(reader))) == CONTENT[first:end]


def test_only_the_nodes_of_a_range_are_asked(cluster: ApiCluster, downloads: Downloads) -> None:
    """The others may be away."""
    for index in (0, 1, 3, 4):
        cluster.stop(holder(cluster, downloads, index))
    reader = opened(cluster, downloads, 2 * MIB + 5, 3 * MIB)
    assert cluster.run(start(rest_of(reader))) == CONTENT[2 * MIB + 5 : 3 * MIB]


def test_p6_what_fails_at_all_fails_before_the_first_byte(
    cluster: ApiCluster, downloads: Downloads
) -> None:
    """Also where the last chunk is concerned; its node is suspect at once, the others are not."""
    lost = holder(cluster, downloads, 4)
    cluster.stop(lost)
    with pytest.raises(NodeFailedError):
        opened(cluster, downloads, 0, len(CONTENT))
    assert cluster.suspects() == [lost]


def test_who_leaves_while_chunks_are_opened_blames_nobody(
    cluster: ApiCluster, downloads: Downloads
) -> None:
    """At whatever moment; nothing is left of the calls."""
    entry = entry_of(cluster, downloads)
    cluster.run(start(cluster.api.client.close()))
    for delay_seconds in (0.0, 0.0007, 0.0014, 0.0021, 0.0028):
        opening = start(downloads.open(entry, 0, len(CONTENT)))
        cluster.clock.run_for(delay_seconds)
        opening.cancel()
        with pytest.raises(CancelledError):
            result_of(opening)
        cluster.clock.run_for(0.2)
        assert cluster.suspects() == []


def test_p6_a_node_lost_in_mid_stream_is_reported(
    cluster: ApiCluster, downloads: Downloads
) -> None:
    """It gets no chunks until a probe finds it well."""
    reader = opened(cluster, downloads, 0, len(CONTENT))
    lost = holder(cluster, downloads, 3)
    cluster.stop(lost)
    with pytest.raises(NodeFailedError):
        cluster.run(start(rest_of(reader)))
    reader.close()
    assert cluster.suspects() == [lost]


def test_p6_what_cannot_be_finished_is_aborted(
    cluster: ApiCluster, calls: Calls, downloads: Downloads
) -> None:
    """Never a clean 200 with short bytes."""
    reading = Deferred.fromCoroutine(_read_slowly(cluster))
    cluster.clock.run_for(0.05)
    cluster.stop(holder(cluster, downloads, 3))
    with pytest.raises(ResponseFailed):
        cluster.run(reading)


async def _read_slowly(cluster: ApiCluster) -> bytes:
    clock: Any = cluster.clock
    response = await cluster.client.request(
        "GET", f"{cluster.url}/files/a", reactor=clock, unbuffered=True
    )
    waiting: Deferred[None] = Deferred()
    clock.callLater(10, waiting.callback, None)
    await waiting
    content: bytes = await response.content()
    return content


def test_p9_damage_is_never_served(
    cluster: ApiCluster,
    downloads: Downloads,
    expected_failures: Callable[..., list[Failure]],
) -> None:
    """The node that has it notices, and says so in its log."""
    damage(cluster, holder(cluster, downloads, 1))
    with pytest.raises(NodeFailedError, match="damaged"):
        opened(cluster, downloads, 0, len(CONTENT))
    assert len(expected_failures(ChecksumError)) == 1


def damage(cluster: ApiCluster, name: str) -> None:
    """Flip a bit early in every chunk of a node."""
    for path in cluster.chunk_paths(name):
        file = cluster.disk(name).open(path)
        [byte] = file.read_at(1000, 1)
        file.write_at(1000, [bytes([byte ^ 1])])


def test_a_chunk_that_is_gone_is_told_apart(cluster: ApiCluster, downloads: Downloads) -> None:
    """The object may have been overwritten; nobody is to blame for that."""
    entry = entry_of(cluster, downloads)
    cluster.lose_chunks(holder(cluster, downloads, 2))
    with pytest.raises(ChunkNotFoundError):
        cluster.run(start(downloads.open(entry, 0, len(CONTENT))))
    assert cluster.suspects() == []


def moved(cluster: ApiCluster, downloads: Downloads, index: int) -> NodeId:
    """Let a chunk of the file move to the spare node, and be gone where it was."""
    entry = entry_of(cluster, downloads)
    [target] = cluster.node_ids().keys() - set(entry.placement)
    old = entry.placement[index]
    assert old is not None
    chunk_id, members = ChunkId(entry.manifest.object_id, index), cluster.api.members
    copy = cluster.api.client.copy(
        members.peer(target),
        chunk_id,
        members.peer(old),
        entry.manifest.chunk_bytes(index),
        STRICT,
    )
    copy.grant(entry.manifest.chunk_bytes(index))
    cluster.run(start(copy.finished()))
    goal = (*entry.placement[:index], target, *entry.placement[index + 1 :])
    catalog = cluster.api.catalog
    assert cluster.run(start(catalog.move(entry.manifest, entry.placement, goal))) is not None
    cluster.clock.run_for(5)
    cluster.lose_chunks(cluster.node_ids()[old])
    return target


@pytest.fixture
def seven(tmp_path: Path) -> Iterator[ApiCluster]:
    """A file called ``a`` of 5+1 on six of seven nodes."""
    with ApiCluster(tmp_path, nodes=7, rules=SchemeRules(Scheme.PARITY_1)) as running:
        Calls(running).put("a", CONTENT)
        running.clock.run_for(3)
        yield running


@pytest.mark.parametrize("index", [0, 3])
def test_p7_a_download_follows_chunks_that_move(seven: ApiCluster, index: int) -> None:
    """In the middle: it goes on from where it is, and not a byte is sent twice or left out."""
    downloads = downloads_of(seven)
    reader = opened(seven, downloads, 12_345, len(CONTENT))
    begun = b"".join(seven.run(start(reader.read())))
    moved(seven, downloads, 5)
    seven.stop(holder(seven, downloads, index))
    assert begun + seven.run(start(rest_of(reader))) == CONTENT[12_345:]
    assert reader.degraded == (index,)


def test_p6_a_download_of_which_chunks_are_gone_fails(seven: ApiCluster) -> None:
    """They are nowhere else: nothing is looked for again and again."""
    downloads = downloads_of(seven)
    reader = opened(seven, downloads, 0, len(CONTENT))
    seven.run(start(reader.read()))
    seven.lose_chunks(holder(seven, downloads, 5))
    seven.stop(holder(seven, downloads, 2))
    with pytest.raises(NodeFailedError):
        seven.run(start(rest_of(reader)))
    reader.close()


def test_p6_a_download_whose_file_is_deleted_in_the_middle_fails(seven: ApiCluster) -> None:
    """When it needs a chunk that it had not opened."""
    downloads = downloads_of(seven)
    reader = opened(seven, downloads, 0, len(CONTENT))
    seven.run(start(reader.read()))
    lost, other = holder(seven, downloads, 2), holder(seven, downloads, 5)
    assert Calls(seven).call("DELETE", "/files/a").status == 204
    seven.lose_chunks(other)
    seven.stop(lost)
    with pytest.raises(NodeFailedError):
        seven.run(start(rest_of(reader)))
    reader.close()


def test_what_is_not_there_is_not_found(cluster: ApiCluster, downloads: Downloads) -> None:
    """With its name."""
    with pytest.raises(ObjectNotFoundError, match="nothing/here"):
        cluster.run(start(downloads.current("nothing/here")))


@pytest.mark.parametrize(
    ("size_bytes", "reserved_bytes"),
    [
        (0, DOWNLOAD_BYTES_MIN),
        (1000, DOWNLOAD_BYTES_MIN + 11 * 1000),
        (2**60, DOWNLOAD_BYTES_MIN + 11 * MIB),
    ],
)
def test_a_download_reserves_its_worst_case(size_bytes: int, reserved_bytes: int) -> None:
    """That of the range, not of the file."""
    manifest = replace(manifest_of("a", 1, size_bytes=2**60), unit_bytes=MIB)
    assert memory_bytes(manifest, size_bytes) == reserved_bytes
