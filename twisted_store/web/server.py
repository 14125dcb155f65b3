"""A site at its addresses: from the first connection to a clean end."""

import ipaddress
from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IListeningPort, IReactorTime, IStreamServerEndpoint
from twisted.internet.task import deferLater
from twisted.logger import Logger

from twisted_store.errors import StartupError
from twisted_store.web.site import StreamingSite

STOP_SECONDS = 5.0
"""How long requests under way may take to end when the role stops."""

_LOOK_SECONDS = 0.05

log = Logger()


class Server:
    """
    Serves ``site`` at endpoints given as Twisted endpoint strings.

    With an ``objection``, a reason and what to do, it refuses to listen anywhere but on this
    machine's loopback.
    """

    def __init__(
        self,
        site: StreamingSite,
        descriptions: Sequence[str],
        listen: Callable[[str], IStreamServerEndpoint],
        clock: IReactorTime,
        objection: str,
    ) -> None:
        self._site = site
        self._descriptions = descriptions
        self._listen = listen
        self._clock = clock
        self._objection = objection
        self._ports: list[IListeningPort] = []

    def start(self) -> list[str]:
        """Listen at once and give the URLs; raises `StartupError` when that cannot be."""
        try:
            return [self._start(description) for description in self._descriptions]
        except StartupError:
            while self._ports:
                self._ports.pop().stopListening()
            raise

    async def stop(self) -> None:
        """Take no more connections, let requests end, and hang up on those that do not in time."""
        for port in self._ports:
            await _done(port.stopListening())
        for channel in list(self._site.channels):
            channel.leave()
        waited_seconds = 0.0
        while self._site.channels and waited_seconds < STOP_SECONDS:
            await deferLater(self._clock, _LOOK_SECONDS)
            waited_seconds += _LOOK_SECONDS
        for channel in list(self._site.channels):
            log.warn("a request did not end in time and was broken off")
            channel.abort()

    def _start(self, description: str) -> str:
        outcome: list[Any] = []
        self._listen(description).listen(self._site).addBoth(outcome.append)
        port = outcome[0] if outcome else None
        if port is None or not IListeningPort.providedBy(port):
            reason = port.getErrorMessage() if port is not None else "it takes too long"
            raise StartupError(f"Cannot listen on {description}: {reason}")
        self._ports.append(port)
        host = port.getHost()
        if self._objection and not _is_local(host):
            raise StartupError(f"{description} serves other machines, {self._objection}")
        return _url(host)


def _is_local(host: Any) -> bool:
    name = getattr(host, "host", None)
    return name is None or ipaddress.ip_address(name).is_loopback


def _url(host: Any) -> str:
    name = getattr(host, "host", None)
    if name is None:
        return str(host)
    return f"http://[{name}]:{host.port}" if ":" in name else f"http://{name}:{host.port}"


async def _done(result: "Deferred[None] | None") -> None:
    if result is not None:
        await result
