"""How a system is asked for a file, and how its answers begin."""

import re
from dataclasses import dataclass
from typing import Protocol

HTTP_HEAD_END = b"\r\n\r\n"
HTTP_STATUS = slice(9, 12)
HTTP_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)\r\n")
HTTP_NO_CONTENT = b"204"


class DialectError(Exception):
    """The beginning of an answer is not what the dialect knows."""


@dataclass(frozen=True, slots=True)
class AnswerHead:
    """Whether the answer is a success, how long its beginning is and the body that follows."""

    ok: bool
    head_bytes: int
    body_bytes: int
    line: str


class Dialect(Protocol):
    """What the load generator has to know about a system."""

    def put(self, name: str, size_bytes: int) -> bytes:
        """All of a PUT but its body."""
        ...

    def get(self, name: str) -> bytes:
        """All of a GET."""
        ...

    def answer(self, received: bytearray) -> AnswerHead | None:
        """What an answer says that begins with these bytes; None if more of them are needed."""
        ...


@dataclass(frozen=True, slots=True)
class Http:
    """HTTP/1.1 with files under the path ``folder``, which ends with a slash."""

    folder: str

    def put(self, name: str, size_bytes: int) -> bytes:
        """The head of a PUT request."""
        return self._head("PUT", name, f"Content-Length: {size_bytes}\r\n")

    def get(self, name: str) -> bytes:
        """A GET request."""
        return self._head("GET", name)

    def answer(self, received: bytearray) -> AnswerHead | None:
        """Status and Content-Length; other framings are not known."""
        end = received.find(HTTP_HEAD_END)
        if end < 0:
            return None
        end += len(HTTP_HEAD_END)
        status = received[HTTP_STATUS]
        line = received[: received.index(b"\r\n")].decode("latin-1")
        length = HTTP_LENGTH.search(received, 0, end)
        if length is None and status != HTTP_NO_CONTENT:
            raise DialectError(f"{line}, without Content-Length")
        return AnswerHead(status.startswith(b"2"), end, int(length[1]) if length else 0, line)

    def _head(self, method: str, name: str, fields: str = "") -> bytes:
        return f"{method} {self.folder}{name} HTTP/1.1\r\nHost: benchmark\r\n{fields}\r\n".encode()


@dataclass(frozen=True, slots=True)
class Lines:
    """The protocol of benchmarks/relay.py."""

    def put(self, name: str, size_bytes: int) -> bytes:
        """The line before the body."""
        return f"PUT {name} {size_bytes}\n".encode()

    def get(self, name: str) -> bytes:
        """The line that asks for a file."""
        return f"GET {name}\n".encode()

    def answer(self, received: bytearray) -> AnswerHead | None:
        """``OK`` and the size of what follows."""
        end = received.find(b"\n")
        if end < 0:
            return None
        line = received[:end].decode("latin-1")
        word, size = line.split()
        return AnswerHead(word == "OK", end + 1, int(size), line)
