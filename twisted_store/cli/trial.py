"""Files that a check stores, compares and takes away again."""

import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Self

import httpx

from twisted_store.cli.bodies import announced_bytes, announced_etag
from twisted_store.cli.client import StoreClient, files_path
from twisted_store.cli.exits import FileNotInStoreError
from twisted_store.cli.pattern import Pattern

PREFIX = ".twisted-store-check/"

SETTLE_SECONDS = 1.0
"""How long a commit may take whose answer nobody waits for any more."""


class CheckFailedError(Exception):
    """The store does not do what it promises; the message says what was found."""


class NotJudgedError(Exception):
    """The store is in no state to be judged by; the message says why."""


def expect(what: str, found: object, wanted: object) -> None:
    """Raise `CheckFailedError` unless what was found is what was wanted."""
    if found != wanted:
        raise CheckFailedError(f"{what}: {found} instead of {wanted}")


class Trial:
    """
    Files in one store under a prefix of their own, all gone after `clean`.

    ``advance`` is told of the bytes that went either way. ``node_headers`` go with calls of nodes,
    and with no others.
    """

    def __init__(
        self, url: str, advance: Callable[[int], None], node_headers: Mapping[str, str]
    ) -> None:
        self.client = StoreClient(url)
        self.prefix = f"{PREFIX}{secrets.token_hex(8)}/"
        self._advance = advance
        self._node_headers = node_headers
        self._touched: set[str] = set()
        self._unanswered: set[str] = set()
        self._nodes: dict[str, StoreClient] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for client in (self.client, *self._nodes.values()):
            client.__exit__(kind, error, traceback)

    @property
    def names(self) -> list[str]:
        """Names of the files that should be there now, in byte order."""
        return sorted(self._touched)

    def put(
        self,
        name: str,
        pattern: Pattern,
        *,
        sized: bool = True,
        headers: dict[str, str] | None = None,
    ) -> bool:
        """Store a file and compare the digest in the answer; whether the file is new."""
        self._touched.add(name)
        self._unanswered.add(name)
        body = pattern.pieces(self._advance)
        size = pattern.size_bytes if sized else None
        file, created = self.client.put(name, body, size, headers)
        self._unanswered.discard(name)
        expect("size in the answer to PUT", file["size"], pattern.size_bytes)
        expect("ETag in the answer to PUT", file["etag"], pattern.etag())
        return created

    def compare(self, name: str, pattern: Pattern) -> None:
        """Fetch a file and compare every byte of it, and what HEAD says of it."""
        with self.client.open("GET", files_path(name)) as answer:
            expect("ETag", announced_etag(answer), pattern.etag())
            expect("Content-Length", announced_bytes(answer), pattern.size_bytes)
            offset = 0
            for piece in answer.iter_raw():
                if piece != pattern.piece(offset, len(piece)):
                    raise CheckFailedError(f"other bytes than were stored, from {offset} on")
                offset += len(piece)
                self._advance(len(piece))
        expect("bytes read back", offset, pattern.size_bytes)
        expect("length by HEAD", announced_bytes(self._head(name)), pattern.size_bytes)

    def delete(self, name: str) -> None:
        """Delete a file."""
        self.client.delete(name)
        self._touched.discard(name)

    def node(self, url: str) -> StoreClient:
        """For calls of the node itself."""
        if url not in self._nodes:
            self._nodes[url] = StoreClient(url, self._node_headers)
        return self._nodes[url]

    def clean(self) -> int:
        """Remove all that was stored, and make sure of it; returns how many files that were."""
        if self._unanswered:
            time.sleep(SETTLE_SECONDS)
        removed = self._remove(self._touched) + self._remove(self.listed())
        expect("names left", self.listed(), [])
        return removed

    def listed(self) -> list[str]:
        """What the store lists under the prefix."""
        return [file["name"] for page in self.client.pages(self.prefix) for file in page["files"]]

    def _head(self, name: str) -> httpx.Response:
        return self.client.call("HEAD", files_path(name))

    def _remove(self, names: Iterable[str]) -> int:
        removed = 0
        for name in names:
            try:
                self.client.delete(name)
                removed += 1
            except FileNotInStoreError:
                pass
        return removed
