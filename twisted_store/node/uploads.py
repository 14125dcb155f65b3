"""A chunk comes in: frames become a file, or nothing is left of them."""

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from twisted_store.core.durability import Durability
from twisted_store.core.frames import FrameDecoder, ManifestFrame, VerifiedBlocks
from twisted_store.core.ids import ChunkId
from twisted_store.core.manifest import Manifest
from twisted_store.errors import BadRequestError, IncompleteBodyError, NodeFailedError
from twisted_store.node.health import NodeHealth
from twisted_store.storage.store import ChunkStore
from twisted_store.storage.writer import ChunkWriter, StoredChunk


@dataclass(frozen=True, slots=True)
class Uploads:
    """Takes the framed bodies of chunks, manifest last."""

    store: ChunkStore
    health: NodeHealth

    async def put(
        self,
        chunk_id: ChunkId,
        body: AsyncIterator[bytes],
        chunk_bytes: int | None,
        durability: Durability,
    ) -> StoredChunk:
        """
        Store the chunk, provisionally; ``chunk_bytes`` is its announced length, if it has one.

        Raises `NoSpaceError`, and `NodeFailedError` while the disk takes nothing, before anything
        is read, a `CorruptionError` for frames that are
        damaged, a `BadRequestError` for those that break off or hold something else than this
        chunk, and what ``body`` raises.
        """
        self.health.check_writable()
        writer = self.store.begin(chunk_id, chunk_bytes, durability)
        try:
            manifest = await self._receive(chunk_id, body, chunk_bytes, writer)
            with self._watching_the_disk():
                return await writer.finish(manifest)
        except Exception:
            await writer.abort()
            raise

    async def _receive(
        self,
        chunk_id: ChunkId,
        body: AsyncIterator[bytes],
        chunk_bytes: int | None,
        writer: ChunkWriter,
    ) -> bytes:
        """Pass the blocks on to ``writer`` and give the encoded manifest."""
        frames = _Frames(chunk_id)
        async for piece in body:
            for verified in frames.feed(piece):
                with self._watching_the_disk():
                    await writer.append(verified.buffers, verified.checksums)
        manifest = frames.end()
        if chunk_bytes not in (None, frames.received_bytes):
            raise BadRequestError(
                f"Chunk {chunk_id} has {frames.received_bytes} bytes, {chunk_bytes} were announced."
            )
        return manifest

    @contextmanager
    def _watching_the_disk(self) -> Iterator[None]:
        """Only what the writer raises is about our disk: a body may fail with another node."""
        try:
            yield
        except NodeFailedError as error:
            self.health.disk_failed(error)
            raise


class _Frames:
    """Takes a body apart and makes sure that it ends with the manifest of the chunk's object."""

    def __init__(self, chunk_id: ChunkId) -> None:
        self.received_bytes = 0
        self._chunk_id = chunk_id
        self._decoder = FrameDecoder(chunk_id)
        self._manifest: bytes | None = None

    def feed(self, piece: bytes) -> Iterator[VerifiedBlocks]:
        """The blocks that ``piece`` completes."""
        for event in self._decoder.feed(piece):
            if self._manifest is not None:
                raise BadRequestError(f"Chunk {self._chunk_id} goes on after its manifest.")
            if isinstance(event, ManifestFrame):
                self._manifest = event.encoded
            else:
                self.received_bytes += sum(map(len, event.buffers))
                yield event

    def end(self) -> bytes:
        """The manifest; nothing follows."""
        if self._manifest is None or not self._decoder.between_frames:
            raise IncompleteBodyError(f"Chunk {self._chunk_id} ends before its manifest does.")
        if Manifest.decode(self._manifest).object_id != self._chunk_id.object_id:
            raise BadRequestError(f"The manifest is not that of chunk {self._chunk_id}.")
        return self._manifest
