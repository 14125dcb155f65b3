"""P5: one chunk of an upload moves to another node while its bytes are here, else it fails."""

from collections.abc import Iterable
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.web.iweb import UNKNOWN_LENGTH

from tests.catalog.seams import result_of, start
from twisted_store.api.chunk_upload import KEPT_BYTES_MAX, ChunkUpload
from twisted_store.core.frames import FrameDecoder, ManifestFrame
from twisted_store.core.ids import ChunkId, NodeId, object_id
from twisted_store.errors import NodeFailedError, NoSpaceError, StoreError, TooFewNodesError
from twisted_store.node_client.body import QueuedBody
from twisted_store.node_client.chunk_put import ChunkPut

CHUNK = ChunkId(object_id(1, 1, 1), 3)
MANIFEST = b"{}"
NODES = [NodeId(f"{number:016x}") for number in range(4)]


class Node:
    """Takes a chunk as a connection does, and answers or fails when told."""

    def __init__(self, node_id: NodeId) -> None:
        self.node_id = node_id
        self.left = False
        self._wire: Any = StringTransport()
        self._answer: Deferred[None] = Deferred(self._note)

    async def exchange(self, body: QueuedBody) -> None:
        """The call that stores the chunk."""
        body.startProducing(self._wire)
        await self._answer

    def acknowledge(self) -> None:
        """The chunk is stored."""
        self._answer.callback(None)

    def fail(self, error: StoreError) -> None:
        """It is not."""
        self._answer.errback(error)

    @property
    def received(self) -> tuple[bytes, bytes]:
        """The chunk's bytes and its manifest."""
        content, manifest = bytearray(), b""
        for event in FrameDecoder(CHUNK).feed(self._wire.value()):
            if isinstance(event, ManifestFrame):
                manifest = event.encoded
            else:
                content += b"".join(event.buffers)
        return bytes(content), manifest

    def _note(self, _: object) -> None:
        self.left = True


class World:
    """A chunk on its way to the first node; the others are there in case."""

    def __init__(self, replacements: int = 3) -> None:
        self.nodes: dict[NodeId, Node] = {}
        self.reported: list[tuple[NodeId, str]] = []
        self._spare = NODES[1 : 1 + replacements]
        self.upload = ChunkUpload(NODES[0], self._open, self._report, self._replace)

    @property
    def node(self) -> Node:
        """Where the chunk goes now."""
        return self.nodes[self.upload.node_id]

    def write(self, *parts: bytes) -> None:
        """Send these."""
        for part in parts:
            result_of(start(self.upload.write(memoryview(part))))

    def finish(self) -> "Deferred[None]":
        """Send the manifest, and wait."""

        async def finish() -> None:
            await self.upload.finish(MANIFEST)

        return start(finish())

    def _open(self, node_id: NodeId) -> ChunkPut:
        self.nodes[node_id] = Node(node_id)
        exchange = self.nodes[node_id].exchange
        return ChunkPut(CHUNK, node_id, UNKNOWN_LENGTH, exchange, Clock(), 10.0)

    def _report(self, node_id: NodeId, failure: StoreError) -> None:
        self.reported.append((node_id, failure.message))

    def _replace(self, failure: StoreError) -> NodeId:
        if not self._spare:
            raise TooFewNodesError("no other node")
        return self._spare.pop(0)


def halves(size: int) -> Iterable[bytes]:
    """So many bytes, in two parts."""
    content = bytes(range(256)) * (size // 256)
    return content[: size // 2], content[size // 2 :]


def test_a_chunk_goes_to_its_node() -> None:
    """And nowhere else."""
    world = World()
    world.write(b"some ", b"content")
    finished = world.finish()
    assert not finished.called
    world.node.acknowledge()
    result_of(finished)
    assert world.nodes[NODES[0]].received == (b"some content", MANIFEST)
    assert (list(world.nodes), world.reported) == ([NODES[0]], [])


@pytest.mark.parametrize("error", [NodeFailedError("gone"), NoSpaceError("full")])
def test_p5_a_chunk_of_one_unit_goes_elsewhere(error: StoreError) -> None:
    """From its first byte on; the node is reported with what it said."""
    world = World()
    first, second = halves(KEPT_BYTES_MAX)
    world.write(first)
    world.node.fail(error)
    world.write(second)
    finished = world.finish()
    world.node.acknowledge()
    result_of(finished)
    assert world.nodes[NODES[1]].received == (first + second, MANIFEST)
    assert world.reported == [(NODES[0], error.message)]


def test_p5_a_node_that_fails_at_the_manifest_is_replaced_too() -> None:
    """Whatever it had taken."""
    world = World()
    world.write(b"content")
    finished = world.finish()
    world.node.fail(NodeFailedError("gone"))
    assert not finished.called
    world.node.acknowledge()
    result_of(finished)
    assert world.nodes[NODES[1]].received == (b"content", MANIFEST)


def test_p5_one_node_after_the_other_may_fail() -> None:
    """As long as there are others."""
    world = World()
    world.write(b"content")
    finished = world.finish()
    for _ in range(3):
        world.node.fail(NodeFailedError("gone"))
    world.node.acknowledge()
    result_of(finished)
    assert [node_id for node_id, _ in world.reported] == NODES[:3]
    assert world.upload.node_id == NODES[3]


def test_p5_without_another_node_the_upload_fails() -> None:
    """With what the operator can do something about."""
    world = World(replacements=0)
    finished = world.finish()
    world.node.fail(NodeFailedError("It is gone."))
    with pytest.raises(TooFewNodesError, match=r"It is gone\. No other node .*: no other node\."):
        result_of(finished)
    assert world.reported == [(NODES[0], "It is gone.")]


def test_p5_beyond_one_unit_the_bytes_are_gone() -> None:
    """So no other node is asked; what failed is reported all the same."""
    world = World()
    world.write(*halves(KEPT_BYTES_MAX), b"x")
    world.node.fail(NodeFailedError("gone"))
    with pytest.raises(NodeFailedError, match="gone"):
        world.write(bytes(KEPT_BYTES_MAX))
    assert (list(world.nodes), world.reported) == ([NODES[0]], [(NODES[0], "gone")])


def test_an_error_of_ours_is_not_the_nodes() -> None:
    """Another node would not help."""
    world = World()
    finished = world.finish()
    world.node.fail(StoreError("a bug"))
    with pytest.raises(StoreError, match="a bug"):
        result_of(finished)
    assert world.reported == []


def test_an_upload_that_is_broken_off_lets_its_node_go() -> None:
    """The call is cancelled, and nobody blamed."""
    world = World()
    world.write(b"content")
    world.upload.abort()
    assert (world.node.left, world.reported) == (True, [])
