"""A request body that is fed: in order, no faster than the connection, and never after its end."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.interfaces import IConsumer
from twisted.web.iweb import UNKNOWN_LENGTH, IBodyProducer
from zope.interface import implementer
from zope.interface.verify import verifyObject

from twisted_store.node_client.body import QueuedBody


@implementer(IConsumer)
class Connection:
    """Takes so many bytes at a time before it is full."""

    def __init__(self, room_bytes: int) -> None:
        self.taken: list[bytes] = []
        self.body: Any = None
        self._room_bytes = room_bytes
        self._left_bytes = room_bytes

    def write(self, data: bytes) -> None:
        """Take it all, and say so when that is enough."""
        self.taken.append(data)
        self._left_bytes -= len(data)
        if self._left_bytes <= 0:
            self.body.pauseProducing()

    def drain(self) -> None:
        """Have room again."""
        self._left_bytes = self._room_bytes
        self.body.resumeProducing()

    def registerProducer(self, producer: object, streaming: bool) -> None:
        """Agent does that for the body."""

    def unregisterProducer(self) -> None:
        """Likewise."""


class Sender:
    """A body, and how often it told of progress."""

    def __init__(self, room_bytes: int = 10) -> None:
        self.progress = 0
        self.body = QueuedBody(UNKNOWN_LENGTH, self._count)
        self.connection = Connection(room_bytes)
        self.connection.body = self.body

    def connect(self) -> list[None]:
        """Begin to send; the list has an entry when all is sent."""
        ended: list[None] = []
        self.body.startProducing(self.connection).addCallback(ended.append)
        return ended

    def _count(self) -> None:
        self.progress += 1


def test_it_is_a_body_producer() -> None:
    """As Agent asks for it, with its length."""
    verifyObject(IBodyProducer, QueuedBody(5))
    assert QueuedBody(5).length == 5


@given(st.lists(st.lists(st.binary(max_size=8), max_size=3), max_size=8), st.integers(1, 12))
def test_what_is_sent_arrives_in_order(pieces: list[list[bytes]], room_bytes: int) -> None:
    """Before and after the connection is there, however often it is full."""
    sender = Sender(room_bytes)
    for piece in pieces[:4]:
        sender.body.send(piece)
    ended = sender.connect()
    for piece in pieces[4:]:
        sender.body.send(piece)
    sender.body.end()
    for _ in pieces:
        sender.connection.drain()
    assert b"".join(sender.connection.taken) == b"".join(b"".join(piece) for piece in pieces)
    assert (ended, sender.body.queued_bytes) == ([None], 0)


def test_one_piece_is_one_write() -> None:
    """Twisted's transport then sends it as it is."""
    sender = Sender()
    sender.connect()
    sender.body.send([b"head", memoryview(b"payload")])
    assert sender.connection.taken == [b"headpayload"]


def test_a_full_connection_is_given_nothing() -> None:
    """What waits is counted, so that its sender can wait too."""
    sender = Sender(room_bytes=1)
    sender.connect()
    for piece in (b"first", b"second", b"third"):
        sender.body.send([piece])
    assert (sender.connection.taken, sender.body.queued_bytes) == ([b"first"], 11)
    sender.connection.drain()
    assert (sender.connection.taken[1:], sender.body.queued_bytes) == ([b"second"], 5)


def test_it_owes_until_all_is_taken_and_answered() -> None:
    """After the end only the answer of the node changes that."""
    sender = Sender()
    owed = [sender.body.owes]
    for step in (lambda: sender.body.send([b"x"]), sender.connect, sender.body.end):
        step()
        owed.append(sender.body.owes)
    assert owed == [False, True, False, True]


def test_each_piece_that_is_taken_is_progress() -> None:
    """A node that takes little at a time is slow, not stalled; queueing is no progress of its."""
    sender = Sender(room_bytes=1)
    sender.connect()
    sender.body.send([b"first"])
    before = sender.progress
    for piece in (b"second", b"third"):
        sender.body.send([piece])
    assert sender.progress == before
    sender.connection.drain()
    assert sender.progress == before + 1
    sender.connection.drain()
    assert sender.progress == before + 2


def test_nothing_is_sent_to_a_connection_that_is_gone() -> None:
    """What was queued is forgotten, which wakes who waits for room."""
    sender = Sender(room_bytes=1)
    sender.connect()
    for piece in (b"first", b"second"):
        sender.body.send([piece])
    before = sender.progress
    sender.body.stopProducing()
    assert (sender.progress, sender.body.queued_bytes) == (before + 1, 0)
    sender.body.send([b"third"])
    sender.body.end()
    sender.connection.drain()
    assert (sender.connection.taken, sender.body.queued_bytes) == ([b"first"], 0)


@pytest.mark.parametrize("early", [True, False])
def test_an_empty_body_ends_too(early: bool) -> None:
    """Whether it ended before the connection was there or after."""
    sender = Sender()
    if early:
        sender.body.end()
    ended = sender.connect()
    assert ended == ([None] if early else [])
    sender.body.end()
    assert ended == [None]
