"""A client that tells apart what tests of failures have to: an answer, and none."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPResponse
from typing import Any, Self
from urllib.parse import quote, urlsplit

ANSWER_SECONDS_MAX = 20.0
"""A server that is silent for so long hangs, whatever happens around it."""


class NoAnswerError(Exception):
    """The connection broke: whether the request was carried out, nobody said."""


class NotConnectedError(NoAnswerError):
    """Nobody listens, so nothing was asked."""


class HangError(AssertionError):
    """Neither an answer nor an end of the connection came."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that came to its clean end."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def etag(self) -> str:
        """The entity tag without its quotes, empty if there is none."""
        return self.headers.get("etag", "").strip('"')

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


def file_path(name: str) -> str:
    """The path of a file."""
    return f"/files/{quote(name)}"


class Client:
    """One keep-alive connection to ``url``, made anew after it broke. For one thread."""

    def __init__(self, url: str, timeout_seconds: float = ANSWER_SECONDS_MAX) -> None:
        address = urlsplit(url)
        self._connection = HTTPConnection(
            str(address.hostname), address.port, timeout=timeout_seconds
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Disconnect."""
        self._connection.close()

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | Iterable[bytes] | None = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        """Send a request and read its answer; pieces without a Content-Length are sent chunked."""
        try:
            return self._ask(method, path, body, headers or {})
        except TimeoutError as error:
            self.close()
            raise HangError(f"{method} {path} got no answer in time.") from error
        except (OSError, HTTPException) as error:
            self.close()
            raise NoAnswerError(repr(error)) from error

    def get(self, name: str, headers: dict[str, str] | None = None) -> Answer:
        """Fetch a file."""
        return self.ask("GET", file_path(name), headers=headers)

    def put(
        self, name: str, body: bytes | Iterable[bytes], headers: dict[str, str] | None = None
    ) -> Answer:
        """Store a file."""
        return self.ask("PUT", file_path(name), body, headers)

    def _ask(
        self,
        method: str,
        path: str,
        body: bytes | Iterable[bytes] | None,
        headers: dict[str, str],
    ) -> Answer:
        if self._connection.sock is None:
            self._connect()
        chunked = not isinstance(body, bytes | None) and "Content-Length" not in headers
        fields = {**headers, "Transfer-Encoding": "chunked"} if chunked else headers
        try:
            self._connection.request(method, path, body, fields, encode_chunked=chunked)
            answer = read_answer(self._connection.getresponse())
        except (BrokenPipeError, ConnectionResetError):
            # The answer that refuses the rest of the body may be here.
            answer = read_answer(self._connection.getresponse())
        if body is not None and answer.status >= 400:
            # Whether the server took the rest of the body does not show.
            self.close()
        return answer

    def _connect(self) -> None:
        try:
            self._connection.connect()
        except ConnectionRefusedError as error:
            raise NotConnectedError from error


def read_answer(response: HTTPResponse) -> Answer:
    """The answer; raises when its body ends before it should."""
    content = response.read()
    headers = {name.lower(): value for name, value in response.getheaders()}
    return Answer(response.status, headers, content)
