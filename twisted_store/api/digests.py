"""Digests of a body, computed as it passes."""

import base64
import hashlib
from dataclasses import dataclass
from typing import Any

from blake3 import blake3

from twisted_store.errors import DigestMismatchError


@dataclass(frozen=True, slots=True)
class ExpectedDigests:
    """What the client says the body's digests are, raw bytes; None where it says nothing."""

    md5: bytes | None = None
    sha256: bytes | None = None


class BodyDigests:
    """The ETag of a body, hex BLAKE3, and whether the body is what the client meant to send."""

    def __init__(self, expected: ExpectedDigests) -> None:
        self._etag = blake3()
        self._checks: list[tuple[str, Any, bytes]] = []
        if expected.md5 is not None:
            md5 = hashlib.md5(usedforsecurity=False)
            self._checks.append(("Content-MD5", md5, expected.md5))
        if expected.sha256 is not None:
            self._checks.append(("Repr-Digest", hashlib.sha256(), expected.sha256))

    def update(self, piece: bytes) -> None:
        """Add ``piece``."""
        self._etag.update(piece)
        for _, digest, _ in self._checks:
            digest.update(piece)

    def verified_etag(self) -> str:
        """The ETag; raises `DigestMismatchError` when the body is another one than announced."""
        for field, digest, wanted in self._checks:
            if digest.digest() != wanted:
                received = base64.b64encode(digest.digest()).decode()
                raise DigestMismatchError(
                    f"{field} does not fit: the body that arrived has {received}. Send it again."
                )
        return self._etag.hexdigest()
