"""The server side of a role: one resource, its clients, and the limits they share."""

# mypy: allow-untyped-calls

from collections.abc import Collection
from random import Random
from typing import Any

from twisted.internet.interfaces import IAddress, IReactorTime
from twisted.web.resource import IResource
from twisted.web.server import Site

from twisted_store.web.channel import StreamingChannel
from twisted_store.web.request import StreamingRequest

CONNECTIONS_MAX = 800
"""Clients at once; below the usual 1024 file descriptors of a process."""

REFUSED_MAX = 64
"""How many more are told so; beyond, a connection is closed without a word."""


class StreamingSite(Site):
    """
    Serves ``resource`` with `StreamingRequest`, over HTTP/1.1 only and without an access log.

    ``clock`` drives every timeout, ``random`` makes request ids. A client that is silent for
    ``timeout_seconds`` where it should send is dropped. ``tails`` are the path prefixes whose rest
    is a name. ``channels`` are the connections served now.
    """

    protocol = StreamingChannel  # type: ignore[assignment]
    requestFactory = StreamingRequest
    noisy = False

    def __init__(
        self,
        resource: IResource,
        clock: IReactorTime,
        random: Random,
        timeout_seconds: float = 60.0,
        tails: Collection[bytes] = (b"/files/", b"/explain/"),
        connections_max: int = CONNECTIONS_MAX,
    ) -> None:
        super().__init__(
            resource, timeout=timeout_seconds, reactor=clock, parsePOSTFormSubmission=False
        )
        self.tails = frozenset(tails)
        self.channels: set[StreamingChannel] = set()
        self._refused: set[StreamingChannel] = set()
        self._random = random
        self._connections_max = connections_max

    def new_request_id(self) -> str:
        """16 hex digits for a request that brought no id of its own."""
        return f"{self._random.getrandbits(64):016x}"

    def admit(self, channel: StreamingChannel) -> bool:
        """Whether a new connection is one of those that are served."""
        admitted = len(self.channels) < self._connections_max
        (self.channels if admitted else self._refused).add(channel)
        return admitted

    def forget(self, channel: StreamingChannel) -> None:
        """A connection is gone."""
        self.channels.discard(channel)
        self._refused.discard(channel)

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """The channel of a new connection, or None to close it at once."""
        return super().buildProtocol(addr) if len(self._refused) < REFUSED_MAX else None

    def startFactory(self) -> None:
        """Open no log, start no timer."""

    def stopFactory(self) -> None:
        """There is nothing to stop."""

    def log(self, request: Any) -> None:
        """Keep no access log."""

    def acceptableProtocols(self) -> list[bytes]:  # noqa: N802
        """HTTP/2 has no backpressure that a stream could use here."""
        return [b"http/1.1"]
