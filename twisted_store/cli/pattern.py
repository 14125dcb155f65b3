"""Content of any size that can be made anew from its seed, whole or from anywhere within."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from blake3 import blake3

PIECE_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class Pattern:
    """``size_bytes`` bytes that look random; another seed gives others."""

    seed: str
    size_bytes: int

    def piece(self, offset: int, size_bytes: int) -> bytes:
        """The bytes from ``offset``; fewer than asked for at the end."""
        wanted = min(size_bytes, self.size_bytes - offset)
        return blake3(self.seed.encode()).digest(wanted, seek=offset) if wanted > 0 else b""

    def pieces(self, advance: Callable[[int], None]) -> Iterator[bytes]:
        """All bytes in order; ``advance`` is told of each piece that is gone."""
        for offset in range(0, self.size_bytes, PIECE_BYTES):
            piece = self.piece(offset, PIECE_BYTES)
            yield piece
            advance(len(piece))

    def etag(self) -> str:
        """The ETag that a store gives to these bytes."""
        digest = blake3()
        for piece in self.pieces(lambda _: None):
            digest.update(piece)
        return digest.hexdigest()
