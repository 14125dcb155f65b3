"""One keep-alive connection of the load generator: transfers one after the other, bytes checked."""

import select
import socket
import time
from collections import deque
from dataclasses import dataclass
from itertools import islice

from crc32c import crc32c

from benchmarks import content
from benchmarks.dialects import Dialect

ANSWER_HEAD_BYTES_MAX = 8192
PIECES_AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class Transfer:
    """One ``PUT`` or ``GET`` of the file of this number, whose bytes have this CRC32C."""

    operation: str
    name: str
    number: int
    size_bytes: int
    checksum: int


class TransferError(Exception):
    """A transfer failed; the message says how."""


class Connection:
    """
    Not blocking; ``poll`` is told what to wait for.

    All connections of a thread may share ``received``, the buffer that they receive into.
    """

    def __init__(
        self,
        address: tuple[str, int],
        dialect: Dialect,
        poll: select.epoll,
        received: bytearray,
    ) -> None:
        self.started = 0.0
        self._address = address
        self._dialect = dialect
        self._poll = poll
        self._received = memoryview(received)
        self._socket: socket.socket | None = None
        self._watched = 0
        self._outgoing: deque[memoryview] = deque()

    def open(self) -> socket.socket:
        """Connect if it is not connected."""
        if self._socket is None:
            self._socket = socket.create_connection(self._address)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._socket.setblocking(False)
            self._watched = select.EPOLLIN
            self._poll.register(self._socket, self._watched)
        return self._socket

    def close(self) -> None:
        """Disconnect, if connected."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def fileno(self) -> int:
        """File descriptor of the open connection."""
        return self.open().fileno()

    def begin(self, transfer: Transfer) -> None:
        """Send the request, or as much of it as the kernel takes now."""
        self.started = time.perf_counter()
        self._transfer = transfer
        self._head = bytearray()
        self._left: int | None = None
        self._checksum = 0
        if transfer.operation == "PUT":
            head = self._dialect.put(transfer.name, transfer.size_bytes)
            body = content.pieces(transfer.number, transfer.size_bytes)
            self._outgoing = deque([memoryview(head), *body])
        else:
            self._outgoing = deque([memoryview(self._dialect.get(transfer.name))])
        self.send()

    def send(self) -> None:
        """Send on."""
        connected = self.open()
        try:
            while self._outgoing:
                self._drop(connected.sendmsg(islice(self._outgoing, PIECES_AT_ONCE)))
        except BlockingIOError:
            self._watch(select.EPOLLIN | select.EPOLLOUT)
        else:
            self._watch(select.EPOLLIN)

    def receive(self) -> bool:
        """Take a part of the answer; whether that was the last one, and all is right."""
        room = self._received[:ANSWER_HEAD_BYTES_MAX] if self._left is None else self._received
        body = room[: self.open().recv_into(room)]
        if not body:
            raise TransferError("connection closed")
        if self._left is None:
            self._head += body
            answer = self._dialect.answer(self._head)
            if answer is None:
                return False
            if not answer.ok:
                raise TransferError(answer.line)
            self._left = answer.body_bytes
            body = memoryview(self._head)[answer.head_bytes :]
        self._left -= len(body)
        self._checksum = crc32c(body, self._checksum)
        if self._left == 0:
            self._check()
        return self._left == 0

    def _check(self) -> None:
        if self._outgoing:
            raise TransferError("answered before the end of the body")
        if self._transfer.operation == "GET" and self._checksum != self._transfer.checksum:
            raise TransferError("wrong bytes")

    def _drop(self, sent_bytes: int) -> None:
        while sent_bytes:
            piece = self._outgoing.popleft()
            if len(piece) > sent_bytes:
                self._outgoing.appendleft(piece[sent_bytes:])
            sent_bytes -= min(len(piece), sent_bytes)

    def _watch(self, events: int) -> None:
        if events != self._watched:
            self._watched = events
            self._poll.modify(self.fileno(), events)
