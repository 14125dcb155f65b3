"""Answers of nodes: bodies of bounded size, and failures as this project's own errors."""

import json
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectingCancelledError
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone
from twisted.web.iweb import IResponse

from twisted_store.core.ids import NodeId
from twisted_store.errors import (
    CatalogRolledBackError,
    ChecksumError,
    ChunkNotFoundError,
    ConflictError,
    FormatError,
    NodeFailedError,
    NoSpaceError,
    StoreError,
)

ANSWER_BYTES_MAX = 1024 * 1024
"""Largest JSON body taken from a node."""

_ERRORS: dict[str, type[StoreError]] = {
    error.code: error
    for error in (
        CatalogRolledBackError,
        ChecksumError,
        ChunkNotFoundError,
        ConflictError,
        FormatError,
        NoSpaceError,
    )
}


def node_failure(node_id: NodeId, cause: Failure) -> Exception:
    """
    What went wrong with a call, as one of our errors; those that are ours stay themselves.

    A call that was cancelled by its caller says nothing about the node, however deep Twisted hides
    the cancellation.
    """
    reasons: list[Failure] = getattr(cause.value, "reasons", None) or [cause]
    if any(reason.check(CancelledError, ConnectingCancelledError) for reason in reasons):
        return CancelledError()
    if isinstance(cause.value, StoreError):
        return cause.value
    return NodeFailedError(f"Node {node_id} failed: {reasons[0].getErrorMessage()}")


def told_error(answer: dict[str, Any], head: str) -> StoreError:
    """The error that a node told in JSON; its message begins with ``head``."""
    error = _ERRORS.get(str(answer.get("error")), NodeFailedError)
    return error(f"{head}{answer.get('message', '')}")


def read_body(
    response: IResponse, bytes_max: int, progressed: Callable[[], None] = lambda: None
) -> "Deferred[bytes]":
    """The body; fails with ValueError when it breaks off, and hangs up when it is too long."""
    collector = _Collector(bytes_max, progressed)
    response.deliverBody(collector)
    return collector.finished


async def read_json(response: IResponse) -> dict[str, Any]:
    """The JSON object in the body; raises ValueError when it is none or too long."""
    value = json.loads(await read_body(response, ANSWER_BYTES_MAX))
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")
    return value


async def raise_unless(response: IResponse, node_id: NodeId, *statuses: int) -> None:
    """Raise the error that a node's answer stands for unless it has one of ``statuses``."""
    if response.code in statuses:
        return
    try:
        answer = await read_json(response)
    except ValueError:
        answer = {}
    raise told_error(answer, f"Node {node_id} answered {response.code}: ")


class _Collector(Protocol):
    """Gathers a body of bounded size."""

    def __init__(self, bytes_max: int, progressed: Callable[[], None]) -> None:
        self.finished: Deferred[bytes] = Deferred(self._abandon)
        self._bytes_max = bytes_max
        self._progressed = progressed
        self._pieces: list[bytes] = []
        self._size_bytes = 0

    def dataReceived(self, data: bytes) -> None:
        """Take a piece, or hang up on a body that is too long."""
        self._progressed()
        self._pieces.append(data)
        self._size_bytes += len(data)
        if self._size_bytes > self._bytes_max:
            self._abandon(self.finished)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The body is whole only when the response says so."""
        if self.finished.called:
            return
        if reason.check(ResponseDone):
            self.finished.callback(b"".join(self._pieces))
        else:
            self.finished.errback(ValueError(f"the body broke off: {reason.getErrorMessage()}"))

    def _abandon(self, _: object) -> None:
        assert self.transport is not None
        self.transport.loseConnection()
