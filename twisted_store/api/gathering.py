"""Small pieces of a body put together, so that none costs more than its bytes."""

from collections.abc import AsyncIterator

GATHERED_BYTES_MIN = 64 * 1024
"""Smaller pieces wait for the next; each that goes on costs some objects and many calls."""


async def gathered(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same bytes in pieces of `GATHERED_BYTES_MIN` or more, the last one excepted."""
    held = bytearray()
    async for piece in pieces:
        if not held and len(piece) >= GATHERED_BYTES_MIN:
            yield piece
            continue
        held += piece
        if len(held) >= GATHERED_BYTES_MIN:
            yield bytes(held)
            held.clear()
    if held:
        yield bytes(held)
