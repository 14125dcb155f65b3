"""What one chunk on its way to or from a node can do, whether it travels alone or in a batch."""

from collections.abc import Awaitable, Coroutine
from typing import Any, Protocol

from twisted.internet.defer import Deferred

from twisted_store.core.ids import NodeId

Finishing = Coroutine["Deferred[Any]", Any, None] | Deferred[None]
"""What `ensureDeferred` takes."""


class OutgoingChunk(Protocol):
    """Takes a chunk's bytes in order, then its manifest, and knows when its node has stored it."""

    @property
    def node_id(self) -> NodeId:
        """Where it goes."""

    def write(self, part: memoryview) -> Awaitable[None]:
        """Send ``part``; waits while too much is queued."""

    def finish(self, encoded_manifest: bytes) -> Finishing:
        """Send the rest and the manifest; returns when the node has stored the chunk."""

    def abort(self) -> None:
        """Break off."""


class IncomingChunk(Protocol):
    """Gives verified bytes of a chunk in order; the first of them are here."""

    @property
    def complete(self) -> bool:
        """Whether all of them are."""

    def read(self, bytes_max: int) -> Awaitable[list[memoryview]]:
        """At least one byte, at most ``bytes_max``, of what comes next."""

    def close(self) -> None:
        """No more is wanted."""
