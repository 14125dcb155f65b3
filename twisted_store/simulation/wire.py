"""What travels between simulated hosts: bytes and ends of connections, late but in order."""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Literal

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IReactorTime
from twisted.internet.main import CONNECTION_DONE, CONNECTION_LOST

from twisted_store.simulation.partition import Partition, Path

SOCKET_BUFFER_BYTES = 256 * 1024
"""What one direction of a connection holds: sent by one end, not yet read by the other."""

WRITABLE_BYTES_MIN = SOCKET_BUFFER_BYTES // 3
"""The room at which a sender may go on, as on Linux; with less, segments would get ever smaller."""

SEGMENT_BYTES_MAX = 64 * 1024
SPLIT_PROBABILITY = 0.1
LATENCY_SECONDS_MIN = 0.0005
LATENCY_SECONDS_MAX = 0.001

EventKind = Literal["connect", "refuse", "data", "end", "reset"]

Item = bytes | ConnectionDone | ConnectionLost
"""A segment, a FIN or a RST."""


@dataclass(frozen=True, slots=True)
class NetworkEvent:
    """Something reached ``destination``; ``end`` is a FIN, ``reset`` a RST."""

    at_seconds: float
    kind: EventKind
    source: IPv4Address
    destination: IPv4Address
    size_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Wire:
    """What all connections share: the time, the chance and who is told of each event."""

    clock: IReactorTime
    random: Random
    observe: Callable[[NetworkEvent], object]
    partition: Partition = field(default_factory=Partition)

    def latency_seconds(self) -> float:
        """How long one thing takes from one host to another."""
        return self.random.uniform(LATENCY_SECONDS_MIN, LATENCY_SECONDS_MAX)

    def later(self, path: Path, f: Callable[..., object], *args: object) -> None:
        """Call ``f`` after the way from one host to another."""
        self.carry(self.latency_seconds(), path, partial(f, *args))

    def carry(self, delay_seconds: float, path: Path, step: Callable[[], object]) -> None:
        """Let something arrive at the end of a path after so long, if it is open then."""
        self.clock.callLater(delay_seconds, self.partition.carry, path, step)

    def heal(self) -> None:
        """End the partition: what is stuck arrives one latency later, as it is sent again."""
        for path, step in self.partition.heal():
            self.carry(self.latency_seconds(), path, step)

    def segments(self, payload: memoryview) -> Iterator[bytes]:
        """Cut as a network does: to a maximum, and now and then anywhere."""
        while payload:
            size_bytes = min(len(payload), SEGMENT_BYTES_MAX)
            if self.random.random() < SPLIT_PROBABILITY:
                size_bytes = self.random.randint(1, size_bytes)
            yield bytes(payload[:size_bytes])
            payload = payload[size_bytes:]

    def record(
        self, kind: EventKind, source: IPv4Address, destination: IPv4Address, size_bytes: int = 0
    ) -> None:
        """Tell the observer what has just arrived."""
        self.observe(NetworkEvent(self.clock.seconds(), kind, source, destination, size_bytes))


class Pipe:
    """
    One direction of a connection.

    At most SOCKET_BUFFER_BYTES are sent and not yet read, as the sender sees it, who learns of a
    read one latency later. ``on_arrival`` and ``on_room`` tell the two sides that there is news.
    """

    opposite: "Pipe"

    def __init__(self, wire: Wire, source: IPv4Address, destination: IPv4Address) -> None:
        self.source = source
        self.destination = destination
        self._room_bytes = SOCKET_BUFFER_BYTES
        self.arrived: deque[Item] = deque()
        self.was_reset = False
        self.on_arrival: Callable[[], None] = _nobody
        self.on_room: Callable[[], None] = _nobody
        self._wire = wire
        self._under_way: deque[Item] = deque()
        self._last_arrival_seconds = 0.0
        self._ended = False
        self._closed = False

    def send(self, payload: bytes | memoryview) -> int:
        """Take as much as there is room for, and return how many bytes that is."""
        taken = memoryview(payload)[: self._room_bytes]
        self._room_bytes -= len(taken)
        for segment in self._wire.segments(taken):
            self._transmit(segment)
        return len(taken)

    @property
    def writable(self) -> bool:
        """Whether there is enough room to go on sending."""
        return self._room_bytes >= WRITABLE_BYTES_MIN

    def end(self) -> None:
        """Send a FIN behind all that was sent."""
        if not self._ended:
            self._ended = True
            self._transmit(CONNECTION_DONE)

    def reset(self) -> None:
        """Send a RST; what is under way is lost from a random point on."""
        self._ended = True
        for _ in range(self._wire.random.randint(0, len(self._under_way))):
            self._under_way.pop()
        self._transmit(CONNECTION_LOST)

    def read(self) -> Item:
        """Take the next segment; a FIN or RST stays for whoever reads again."""
        item = self.arrived[0]
        if isinstance(item, bytes):
            self.arrived.popleft()
            path = (self.destination, self.source)
            self._wire.later(path, self._acknowledge, len(item))
        return item

    def close(self) -> bool:
        """Read no more: what still comes is answered by a RST. True if bytes lie unread."""
        self._closed = True
        return any(isinstance(item, bytes) for item in self.arrived)

    def _transmit(self, item: Item) -> None:
        """Let it arrive after its latency, but not before what was sent earlier."""
        now = self._wire.clock.seconds()
        delay_seconds = max(self._wire.latency_seconds(), self._last_arrival_seconds - now)
        self._last_arrival_seconds = now + delay_seconds
        self._under_way.append(item)
        self._wire.carry(delay_seconds, (self.source, self.destination), self._arrive)

    def _arrive(self) -> None:
        if not self._under_way:  # lost by a reset
            return
        item = self._under_way.popleft()
        size_bytes = len(item) if isinstance(item, bytes) else 0
        self._wire.record(_kind(item), self.source, self.destination, size_bytes)
        self.was_reset = self.was_reset or isinstance(item, ConnectionLost)
        if not self._closed:
            self.arrived.append(item)
            self.on_arrival()
        elif isinstance(item, bytes):
            self.opposite.reset()

    def _acknowledge(self, size_bytes: int) -> None:
        self._room_bytes += size_bytes
        self.on_room()


def pipes(wire: Wire, source: IPv4Address, destination: IPv4Address) -> tuple[Pipe, Pipe]:
    """Both directions of a new connection: there, and back."""
    there, back = Pipe(wire, source, destination), Pipe(wire, destination, source)
    there.opposite, back.opposite = back, there
    return there, back


def _kind(item: Item) -> EventKind:
    if isinstance(item, bytes):
        return "data"
    return "end" if isinstance(item, ConnectionDone) else "reset"


def _nobody() -> None:
    """Stand for the side of a pipe that is not there yet."""
