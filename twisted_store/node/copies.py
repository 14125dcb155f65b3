"""A chunk comes in from another node, as fast as whoever asked for it lets it."""

import re
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

from twisted_store.core.durability import Durability
from twisted_store.core.ids import ChunkId
from twisted_store.core.peer import Peer
from twisted_store.errors import BadRequestError, IncompleteBodyError
from twisted_store.node.uploads import Uploads
from twisted_store.node_client.client import NodeClient
from twisted_store.storage.writer import StoredChunk
from twisted_store.streams import ByteStream

GRANT_DIGITS_MAX = 20
"""Of one grant, a number of bytes."""

_GRANT = re.compile(rb"[0-9]{1,%d}" % GRANT_DIGITS_MAX)


@dataclass(frozen=True, slots=True)
class Copies:
    """Copies chunks from other nodes; what comes is verified like what the api sends."""

    nodes: NodeClient
    uploads: Uploads

    async def copy(
        self,
        chunk_id: ChunkId,
        source: Peer,
        grants: ByteStream | None,
        chunk_bytes: int,
        durability: Durability,
    ) -> StoredChunk:
        """
        Store the chunk of ``chunk_bytes`` that ``source`` holds, provisionally.

        ``grants`` are lines, each a number of bytes that may be copied on; frames count as they
        come. Nothing is asked of the source before the first one, or when there is no room here.

        Raises what `Uploads.put` does. Further `ChunkNotFoundError`, `CorruptionError` and
        `NodeFailedError` by what is wrong with the source, `IncompleteBodyError` when the grants
        end early and `BadRequestError` when they are none.
        """
        async with aclosing(self._frames(chunk_id, source, _Grants(grants, chunk_bytes))) as frames:
            return await self.uploads.put(chunk_id, frames, chunk_bytes, durability)

    async def _frames(
        self, chunk_id: ChunkId, source: Peer, grants: "_Grants"
    ) -> AsyncGenerator[bytes, None]:
        await grants.cover(1)
        body = await self.nodes.fetch(source, chunk_id)
        copied_bytes = 0
        try:
            async for piece in body:
                copied_bytes += len(piece)
                await grants.cover(copied_bytes)
                yield piece
        finally:
            body.close()


class _Grants:
    """What may be copied of a chunk: the sum of the lines that came."""

    def __init__(self, body: ByteStream | None, chunk_bytes: int) -> None:
        self._body = body
        self._chunk_bytes = chunk_bytes
        self._granted_bytes = 0
        self._begun_line = b""
        if body is not None:
            body.wake_at_once()

    async def cover(self, size_bytes: int) -> None:
        """Returns when so much, or the whole chunk, is granted."""
        while self._granted_bytes < min(size_bytes, self._chunk_bytes):
            await self._receive()

    async def _receive(self) -> None:
        *lines, self._begun_line = (self._begun_line + await self._next_piece()).split(b"\n")
        for line in lines:
            if _GRANT.fullmatch(line) is None:
                raise BadRequestError(f"{line[:40]!r} is not a grant: a number of bytes is.")
            self._granted_bytes += int(line)
        if len(self._begun_line) > GRANT_DIGITS_MAX:
            raise BadRequestError(f"A grant is a line of at most {GRANT_DIGITS_MAX} digits.")

    async def _next_piece(self) -> bytes:
        try:
            if self._body is not None:
                return await anext(self._body)
        except StopAsyncIteration:
            pass
        raise IncompleteBodyError(
            f"The grants end after {self._granted_bytes} of {self._chunk_bytes} bytes: the copy is "
            "broken off."
        )
