"""The node's calls to the api."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, TypeVar

from treq.client import HTTPClient
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectingCancelledError
from twisted.python.failure import Failure
from twisted.web.client import Agent, HTTPConnectionPool
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgentEndpointFactory

from twisted_store.cluster.heartbeat import HeartbeatAnswer, NodeReport
from twisted_store.cluster.sweep import Fates
from twisted_store.core.ids import ChunkId, ClusterId, NodeId
from twisted_store.errors import (
    DuplicateNodeError,
    ForeignClusterError,
    StoreError,
    UnauthorizedError,
    UnavailableError,
)
from twisted_store.node_client.answers import read_json
from twisted_store.node_client.body import QueuedBody
from twisted_store.web.secret import secret_headers

CALL_SECONDS = 12.0
"""For a whole call: longer than the api takes to find out that it cannot reach this node."""

IDLE_SECONDS = 30
"""How long a connection is kept for the next call: less than the api keeps its side open."""

T = TypeVar("T")

_ERRORS: dict[str, type[StoreError]] = {
    error.code: error for error in (DuplicateNodeError, ForeignClusterError, UnauthorizedError)
}


class ApiClient:
    """
    Speaks for one node over a kept connection.

    Every call raises the error that the api answers, if it is one of those a node can do something
    about, and `UnavailableError` for everything else. ``clock`` is an `IReactorTime`; treq's types
    ask for more than it uses.
    """

    def __init__(
        self,
        clock: Any,
        endpoints: IAgentEndpointFactory,
        api_url: str,
        node_id: NodeId,
        secret: str | None,
    ) -> None:
        self._clock = clock
        self._api_url = api_url
        self._node_url = f"{api_url}/nodes/{node_id}"
        fields = {"Content-Type": "application/json", **secret_headers(secret)}
        self._headers = Headers({name: [value] for name, value in fields.items()})
        self._pool = HTTPConnectionPool(clock, persistent=True)
        self._pool.cachedConnectionTimeout = IDLE_SECONDS
        self._treq = HTTPClient(Agent.usingEndpointFactory(clock, endpoints, pool=self._pool))

    async def heartbeat(self, report: NodeReport) -> HeartbeatAnswer:
        """Report; registers the node the first time."""
        answer = await self._call("heartbeat", asdict(report))
        try:
            return HeartbeatAnswer(
                cluster_id=ClusterId(str(answer["cluster_id"])),
                incarnation=int(answer["incarnation"]),
                membership=str(answer["membership"]),
                reason=str(answer["reason"]),
                interval_seconds=float(answer["interval_seconds"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise self._misunderstood(answer) from error

    async def ask(self, chunk_ids: Sequence[ChunkId]) -> Fates:
        """Ask what became of the uploads that these provisional chunks belong to."""
        answer = await self._call("ask", {"chunks": [str(chunk_id) for chunk_id in chunk_ids]})
        try:
            return Fates(_chunk_ids(answer["confirm"]), _chunk_ids(answer["drop"]))
        except (KeyError, TypeError, StoreError) as error:
            raise self._misunderstood(answer) from error

    async def report_quarantined(self, chunk_ids: Sequence[ChunkId]) -> Sequence[ChunkId]:
        """Tell of damaged chunks that are set aside; those of them that no file needs."""
        body = {"chunks": [str(chunk_id) for chunk_id in chunk_ids]}
        answer = await self._call("quarantined", body)
        try:
            return _chunk_ids(answer["drop"])
        except (KeyError, TypeError, StoreError) as error:
            raise self._misunderstood(answer) from error

    async def close(self) -> None:
        """Close the kept connection."""
        await self._pool.closeCachedConnections()

    async def _call(self, name: str, body: dict[str, Any]) -> dict[str, Any]:
        exchange = Deferred.fromCoroutine(self._exchange(name, json.dumps(body).encode()))
        try:
            return await exchange.addTimeout(CALL_SECONDS, self._clock, self._timed_out)
        except (CancelledError, StoreError):
            raise
        except Exception as error:
            reasons: list[Failure] = getattr(error, "reasons", None) or [Failure(error)]
            if any(reason.check(CancelledError, ConnectingCancelledError) for reason in reasons):
                raise CancelledError from error
            problem = reasons[0].getErrorMessage()
            raise self._unavailable(f"cannot be reached: {problem}") from error

    async def _exchange(self, name: str, content: bytes) -> dict[str, Any]:
        body = QueuedBody(len(content), lambda: None)
        body.send([content])
        body.end()
        response = await self._treq.post(
            f"{self._node_url}/{name}",
            headers=self._headers,
            data=body,
            unbuffered=True,
            allow_redirects=False,
            reactor=self._clock,
        )
        try:
            answer = await read_json(response)
        except ValueError as error:
            raise self._unavailable(f"answered {response.code}, {error}.") from error
        if response.code == 200:
            return answer
        message = f"{answer.get('message')} ({response.code})"
        error_type = _ERRORS.get(str(answer.get("error")))
        raise error_type(message) if error_type else self._unavailable(f"answered: {message}")

    def _timed_out(self, result: T | Failure, seconds: float) -> T:
        if isinstance(result, Failure):
            raise self._unavailable(f"did not answer within {seconds:.0f} s.")
        return result

    def _unavailable(self, what: str) -> UnavailableError:
        return UnavailableError(f"The api at {self._api_url} {what}")

    def _misunderstood(self, answer: dict[str, Any]) -> UnavailableError:
        return self._unavailable(f"answered something else than this version expects: {answer}")


def _chunk_ids(texts: Sequence[str]) -> list[ChunkId]:
    return [ChunkId.parse(text) for text in texts]
