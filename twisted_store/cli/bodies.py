"""Bytes between local files and the store, hashed on their way."""

import os
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import click
import httpx
from blake3 import blake3

from twisted_store.cli.exits import CommandError, file_errors
from twisted_store.cli.naming import STDIO

PIECE_BYTES = 256 * 1024


class Source:
    """A local file, or standard input, that is read once from start to end."""

    def __init__(self, name: str, file: IO[bytes]) -> None:
        self.name = name
        self.size_bytes = _regular_size(file)
        self.sent_bytes = 0
        self._file = file
        self._digest = blake3()

    @property
    def etag(self) -> str:
        """The ETag that a file with the bytes read so far has."""
        return self._digest.hexdigest()

    def pieces(self, advance: Callable[[int], None]) -> Iterator[bytes]:
        """The bytes; no more than the size at the start, which is what the store was told."""
        while piece := self._file.read(self._next_bytes()):
            self._digest.update(piece)
            self.sent_bytes += len(piece)
            advance(len(piece))
            yield piece
        if self.size_bytes is not None and self.sent_bytes < self.size_bytes:
            raise CommandError(f"{self.name} became shorter while it was read.")

    def _next_bytes(self) -> int:
        if self.size_bytes is None:
            return PIECE_BYTES
        return min(PIECE_BYTES, self.size_bytes - self.sent_bytes)


@contextmanager
def open_source(name: str) -> Iterator[Source]:
    """Open a local file for an upload."""
    with file_errors(name), click.open_file(name, "rb") as file:
        yield Source("standard input" if name == STDIO else name, file)


def verified_pieces(answer: httpx.Response, advance: Callable[[int], None]) -> Iterator[bytes]:
    """The body of an answer; raises `CommandError` at its end if it is not what was announced."""
    digest = blake3()
    for piece in answer.iter_raw():
        digest.update(piece)
        advance(len(piece))
        yield piece
    length = announced_bytes(answer)
    if length is not None and answer.num_bytes_downloaded != length:
        raise CommandError(f"{answer.num_bytes_downloaded} bytes came, {length} were announced.")
    if digest.hexdigest() != announced_etag(answer):
        raise CommandError("The bytes that came do not have the digest that the store announced.")


def announced_bytes(answer: httpx.Response) -> int | None:
    """The length that the head of the answer gives."""
    length = answer.headers.get("Content-Length")
    return None if length is None else int(length)


def announced_etag(answer: httpx.Response) -> str:
    """The ETag without quotes; a proxy on the way may have made it a weak one."""
    etag: str = answer.headers.get("ETag", "")
    return etag.removeprefix("W/").strip('"')


@contextmanager
def replacement(path: Path) -> Iterator[IO[bytes]]:
    """A file to write that takes its place at ``path`` at the end, and only if all went well."""
    draft = path.with_name(f".twisted-store-{secrets.token_hex(8)}.part")
    try:
        with draft.open("xb") as file:
            yield file
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def _regular_size(file: IO[bytes]) -> int | None:
    """Bytes from here to the end; None for a pipe or a terminal."""
    try:
        status = os.fstat(file.fileno())
    except OSError:
        return None
    return status.st_size - file.tell() if stat.S_ISREG(status.st_mode) else None
