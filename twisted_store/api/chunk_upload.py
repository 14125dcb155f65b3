"""One chunk of an upload: on its way to its node, or to another one while its bytes are here."""

from collections.abc import Callable

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.python.failure import Failure

from twisted_store.core.ids import NodeId
from twisted_store.core.striping import UNIT_BYTES
from twisted_store.errors import NodeFailedError, NoSpaceError, StoreError, TooFewNodesError
from twisted_store.node_client.transfers import OutgoingChunk

KEPT_BYTES_MAX = UNIT_BYTES
"""So many bytes of a chunk are kept to send them to another node: all of a body of one stripe."""

NODE_ERRORS = (NodeFailedError, NoSpaceError)

OpenPut = Callable[[NodeId], OutgoingChunk]
Report = Callable[[NodeId, StoreError], None]
"""Told of the node that failed, and how."""

Replace = Callable[[StoreError], NodeId]
"""Gives a node to use in place of one that failed like that; raises `TooFewNodesError`."""


class ChunkUpload:
    """Raises what the node raised once the bytes are no longer all here (promise P5)."""

    def __init__(
        self, node_id: NodeId, open_put: OpenPut, report: Report, replace: Replace
    ) -> None:
        self._open_put = open_put
        self._report = report
        self._replace = replace
        self._put = open_put(node_id)
        self._kept: list[memoryview] | None = []
        self._kept_bytes = 0

    @property
    def node_id(self) -> NodeId:
        """Where the chunk goes now."""
        return self._put.node_id

    async def write(self, part: memoryview) -> None:
        """Send ``part`` on; waits while the node is behind."""
        self._keep(part)
        try:
            await self._put.write(part)
        except NODE_ERRORS as failure:
            await self._send_elsewhere(failure)

    def finish(self, encoded_manifest: bytes) -> "Deferred[None]":
        """Send the manifest; fires when a node has stored the chunk."""
        stored = ensureDeferred(self._put.finish(encoded_manifest))
        return stored.addErrback(self._finish_elsewhere, encoded_manifest)

    def abort(self) -> None:
        """Break off."""
        self._kept = None
        self._put.abort()

    def _keep(self, part: memoryview) -> None:
        if self._kept is not None:
            self._kept.append(part)
            self._kept_bytes += len(part)
            if self._kept_bytes > KEPT_BYTES_MAX:
                self._kept = None

    def _finish_elsewhere(self, failure: Failure, encoded_manifest: bytes) -> "Deferred[None]":
        failure.trap(*NODE_ERRORS)
        assert isinstance(failure.value, StoreError)
        return Deferred.fromCoroutine(self._store_elsewhere(failure.value, encoded_manifest))

    async def _store_elsewhere(self, failure: StoreError, encoded_manifest: bytes) -> None:
        while True:
            await self._send_elsewhere(failure)
            try:
                return await self._put.finish(encoded_manifest)
            except NODE_ERRORS as next_failure:
                failure = next_failure

    async def _send_elsewhere(self, failure: StoreError) -> None:
        while True:
            self._report(self.node_id, failure)
            if self._kept is None:
                raise failure
            self._put.abort()
            self._put = self._open_put(self._node_instead(failure))
            try:
                for part in self._kept:
                    await self._put.write(part)
            except NODE_ERRORS as next_failure:
                failure = next_failure
            else:
                return

    def _node_instead(self, failure: StoreError) -> NodeId:
        try:
            return self._replace(failure)
        except TooFewNodesError as error:
            message = f"{failure.message} No other node can take the chunk: {error.message}."
            raise TooFewNodesError(
                message, retry_after_seconds=error.retry_after_seconds
            ) from failure
