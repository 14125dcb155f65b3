"""A client of a simulated cluster: each call takes as much simulated time as it needs."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from treq.response import _Response as Response
from twisted.internet.defer import Deferred, gatherResults
from twisted.web.http_headers import Headers
from twisted.web.iweb import UNKNOWN_LENGTH

from twisted_store.node_client.body import QueuedBody
from twisted_store.simulation.cluster import SimulatedCluster

PIECE_BYTES = 60_000


@dataclass(frozen=True)
class Answer:
    """Status, headers and body."""

    status: int
    headers: Headers
    body: bytes

    def header(self, name: str) -> str:
        """One header, empty when it is missing."""
        return (self.headers.getRawHeaders(name) or [""])[0]

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


class Calls:
    """Calls to the api of one cluster."""

    def __init__(self, cluster: SimulatedCluster) -> None:
        self._cluster = cluster

    def put(
        self,
        name: str,
        content: bytes,
        headers: Mapping[str, str] | None = None,
        sized: bool = True,
    ) -> Answer:
        """Store a file."""
        return self.wait(self.begin_put(name, content, headers, sized))

    def begin_put(
        self,
        name: str,
        content: bytes,
        headers: Mapping[str, str] | None = None,
        sized: bool = True,
    ) -> "Deferred[Answer]":
        """Begin to store a file."""
        body = QueuedBody(len(content) if sized else UNKNOWN_LENGTH)
        for start in range(0, len(content), PIECE_BYTES):
            body.send([content[start : start + PIECE_BYTES]])
        body.end()
        return self.begin("PUT", f"/files/{name}", headers, body if content else None)

    def get(self, name: str, headers: Mapping[str, str] | None = None) -> Answer:
        """Read a file."""
        return self.call("GET", f"/files/{name}", headers)

    def call(self, method: str, path: str, headers: Mapping[str, str] | None = None) -> Answer:
        """Any call without a body."""
        return self.wait(self.begin(method, path, headers))

    def begin(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str] | None = None,
        body: QueuedBody | None = None,
    ) -> "Deferred[Answer]":
        """Begin any call."""
        return Deferred.fromCoroutine(self._call(method, path, dict(headers or {}), body))

    def wait(self, call: "Deferred[Answer]") -> Answer:
        """The answer to a call that was begun."""
        return self._cluster.run(call)

    def wait_all(self, calls: list["Deferred[Answer]"]) -> list[Answer]:
        """The answers to calls that were begun together."""
        return self._cluster.run(gatherResults(calls, consumeErrors=True))

    async def _call(
        self, method: str, path: str, headers: dict[str, str], body: QueuedBody | None
    ) -> Answer:
        clock: Any = self._cluster.clock
        response: Response = await self._cluster.client.request(
            method,
            self._cluster.url + path,
            headers=Headers({name: [value] for name, value in headers.items()}),
            data=body,
            reactor=clock,
            unbuffered=True,
            allow_redirects=False,
        )
        content = b"" if method == "HEAD" else await response.content()
        return Answer(response.code, response.headers, content)


def content_of(size: int) -> bytes:
    """Bytes in which every position within some stripes looks different from its neighbours."""
    return b"".join(_words(size))[:size]


def _words(size: int) -> Iterator[bytes]:
    for number in range(size // 4 + 1):
        yield (number * 2654435761 % 2**32).to_bytes(4, "big")
