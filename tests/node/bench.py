"""A node's resource over a real store, and a client that speaks to it in raw bytes, in memory."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from tests.storage.seams import WatchedDisk, run_inline
from tests.web.wire import Answer, head, parse_answers
from twisted_store.core.batch import OK, PUT, decode_results, operation_head
from twisted_store.core.checksums import BLOCK_BYTES
from twisted_store.core.frames import FrameEncoder, manifest_frame
from twisted_store.core.ids import PACKED_BYTES, ChunkId, object_id
from twisted_store.core.manifest import Manifest
from twisted_store.core.scheme import Scheme
from twisted_store.database import open_in_memory
from twisted_store.node.batches import Batches
from twisted_store.node.chunk_answer import ChunkAnswers
from twisted_store.node.copies import Copies
from twisted_store.node.health import NodeHealth
from twisted_store.node.marking import Marking
from twisted_store.node.resource import GuardedResource, NodeResource
from twisted_store.node.uploads import Uploads
from twisted_store.node_client.client import NodeClient
from twisted_store.simulation.clock import SimulatedClock
from twisted_store.simulation.network import SimulatedNetwork
from twisted_store.storage.calls import RunBlocking
from twisted_store.storage.identity import NodeIdentity
from twisted_store.storage.limits import StoreLimits
from twisted_store.storage.store import ChunkStore
from twisted_store.web.site import StreamingSite

TIMEOUT_SECONDS = 60.0
INSTANCE = "ab" * 8

CHUNK = ChunkId(object_id(1, 2, 3), 4)


def manifest_of(chunk_id: ChunkId) -> bytes:
    """A manifest that fits the chunk's object."""
    return Manifest(
        object_id=chunk_id.object_id,
        name="a file",
        size_bytes=5,
        unit_bytes=BLOCK_BYTES,
        scheme=Scheme.PLAIN,
        etag="0" * 64,
        created_us=1,
        content_type="text/plain",
        headers=(),
    ).encoded


MANIFEST = manifest_of(CHUNK)


def content(size_bytes: int) -> bytes:
    """Bytes that differ from block to block."""
    return Random(size_bytes).randbytes(size_bytes)


def blocks_frames(chunk: bytes, chunk_id: ChunkId = CHUNK) -> bytes:
    """A chunk in frames, without the manifest."""
    encoder = FrameEncoder(chunk_id)
    frames = [*encoder.feed(memoryview(chunk)), *encoder.end()]
    return b"".join(b"".join(frame) for frame in frames)


def framed(chunk: bytes, chunk_id: ChunkId = CHUNK, manifest: bytes = MANIFEST) -> bytes:
    """The body of a PUT."""
    return blocks_frames(chunk, chunk_id) + manifest_frame(manifest)


def path(chunk_id: ChunkId = CHUNK) -> str:
    """Where a node has the chunk."""
    return f"/chunks/{chunk_id.object_id}/{chunk_id.index}"


def results(answer: Answer) -> list[bytes | str]:
    """The results of a batch: what it gave, or the code of its error."""
    assert answer.status == 200
    return [
        bytes(result.sound_payload())
        if result.kind == OK
        else str(json.loads(bytes(result.sound_payload()))["error"])
        for result in decode_results(answer.body)
    ]


class FullTransport(StringTransport):
    """A connection that may be ``full``: it takes a write, and asks for no more until resumed."""

    full = False
    producer: Any

    def write(self, data: bytes) -> None:
        """Take it."""
        super().write(data)  # type: ignore[no-untyped-call]
        if self.full and self.producer is not None:
            self.producer.pauseProducing()

    def resume(self) -> None:
        """There is room again, and there will be."""
        self.full = False
        self.producer.resumeProducing()


class Client:
    """One connection to the node."""

    def __init__(self, site: StreamingSite) -> None:
        self.channel: Any = site.buildProtocol(None)
        self.transport = FullTransport()  # type: ignore[no-untyped-call]
        self.channel.makeConnection(self.transport)

    def send(self, *segments: bytes) -> None:
        """Let the node receive these segments, one after the other."""
        for segment in segments:
            self.channel.dataReceived(segment)

    def hang_up(self) -> None:
        """Close the connection, as a FIN tells."""
        self.channel.connectionLost(Failure(ConnectionDone()))

    @property
    def received(self) -> bytes:
        """All that the node sent."""
        received: bytes = self.transport.value()  # type: ignore[no-untyped-call]
        return received

    @property
    def aborted(self) -> bool:
        """Whether the node broke the connection off."""
        return bool(self.transport.disconnected)

    def answer(self) -> Answer:
        """The only answer so far."""
        [answer] = parse_answers(self.received)
        return answer


FILES = StoreLimits(needle_bytes_max=0)
"""A file for each chunk, so that a test can lay its hands on it."""


class NodeBench:
    """The resource of a node whose disk is watched and whose clock stands still."""

    def __init__(
        self, root: Path, secret: str | None = None, run_blocking: RunBlocking = run_inline
    ) -> None:
        self.clock = Clock()
        self.disk = WatchedDisk()
        self.root = root
        seconds: Callable[[], float] = self.clock.seconds
        self.identity = NodeIdentity(self.disk, str(root), Random(1), run_inline, seconds)
        self.store = ChunkStore(
            self.disk,
            str(root),
            run_blocking,
            open_in_memory,
            self.clock,
            seconds,
            Random(4),
            FILES,
        )
        self.health = NodeHealth(self.store)
        uploads = Uploads(self.store, self.health)
        marking = Marking(self.store, self.identity)
        alone = SimulatedNetwork(SimulatedClock(), Random(3)).host("127.0.0.2")
        resource = NodeResource(
            store=self.store,
            identity=self.identity,
            health=self.health,
            uploads=uploads,
            copies=Copies(NodeClient(self.clock, alone, TIMEOUT_SECONDS, {}), uploads),
            chunk_answers=ChunkAnswers(self.store, self.clock, TIMEOUT_SECONDS),
            marking=marking,
            batches=Batches(self.store, self.health, marking),
            instance=INSTANCE,
        )
        guarded = GuardedResource(resource.app.resource(), secret, self.identity.node_id)
        self.site = StreamingSite(guarded, self.clock, Random(2), TIMEOUT_SECONDS, tails=())

    def connect(self) -> Client:
        """Open a connection."""
        return Client(self.site)

    def call(self, method: str, target: str, *headers: str, body: bytes = b"") -> Answer:
        """Make one call with a body of known length; the whole answer."""
        client = self.connect()
        lengths = [f"Content-Length: {len(body)}"] if body else []
        client.send(head(f"{method} {target}", *lengths, *headers) + body)
        return client.answer()

    def batch(self, *operations: tuple[int, bytes], headers: Sequence[str] = ()) -> Answer:
        """Send kinds with their payloads, packed chunk ids in all but puts."""
        body = b"".join(
            operation_head(kind, 0 if kind == PUT else len(payload) // PACKED_BYTES, payload)
            + payload
            for kind, payload in operations
        )
        return self.call("POST", "/chunks/batch", *headers, body=body)

    def hold(self, chunk: bytes, chunk_id: ChunkId = CHUNK) -> None:
        """Store a chunk."""
        body = framed(chunk, chunk_id, manifest_of(chunk_id))
        assert self.call("PUT", path(chunk_id), body=body).status == 201

    def states(self) -> dict[str, str]:
        """The state of every chunk that there is a file of, the unfinished ones included."""
        files = (self.root / "chunks").glob("*/*")
        return dict(file.name.split(".") for file in files)

    def file(self, chunk_id: ChunkId = CHUNK) -> Path:
        """The only file of that chunk."""
        [file] = (self.root / "chunks").glob(f"*/{chunk_id}.*")
        return file

    def run(self, work: Any) -> Any:
        """What ``work``, which waits for nothing, returns."""
        results: list[Any] = []
        Deferred.fromCoroutine(work).addCallback(results.append)
        [result] = results
        return result
