"""Chunks on their way from their nodes to one reader, each from a place in it to another."""

from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass
from typing import NamedTuple

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from twisted_store.api.metrics import Metrics
from twisted_store.cluster.marks import Absent
from twisted_store.cluster.members import Members
from twisted_store.core.hedging import HedgingDelay
from twisted_store.core.ids import ChunkId, Placement
from twisted_store.core.manifest import Manifest
from twisted_store.errors import (
    ChunkNotFoundError,
    CorruptionError,
    NodeFailedError,
    NodeSlowError,
    StoreError,
)
from twisted_store.node_client.client import NodeClient
from twisted_store.node_client.fanout import all_done
from twisted_store.node_client.transfers import IncomingChunk

log = Logger()

LOSSES = (NodeFailedError, ChunkNotFoundError, CorruptionError)
"""What makes a reader go on without a chunk."""


class Span(NamedTuple):
    """Of a chunk the bytes from ``first`` up to, not including, ``end``; there are some."""

    chunk: int
    first: int
    end: int


class LaneLostError(Exception):
    """A chunk cannot be read any more, or not now; others may do."""


@dataclass(slots=True)
class _Lane:
    source: IncomingChunk
    position: int
    end: int
    hedged: bool


@dataclass(frozen=True, slots=True)
class LaneSources:
    """
    What the lanes of every reader need; ``monotonic`` in seconds.

    ``absent`` is told of chunks that their nodes do not hold.
    """

    members: Members
    client: NodeClient
    metrics: Metrics
    hedging: HedgingDelay
    monotonic: Callable[[], float]
    absent: Absent


class Lanes:
    """
    The chunks of one object that one reader has open.

    A chunk that fails is `lost`; one that keeps the reader waiting for longer than the hedging
    delay, while others could serve, is slow: it is opened again when nothing else is left, and
    then waited for as long as for any node.
    """

    def __init__(self, shared: LaneSources, manifest: Manifest, placement: Placement) -> None:
        self.lost: dict[int, StoreError] = {}
        self._slow: set[int] = set()
        self._shared = shared
        self._manifest = manifest
        self._placement = placement
        self._open: dict[int, _Lane] = {}

    def candidates(self) -> tuple[int, ...]:
        """The chunks that may be tried, those from which an answer can be expected soon first."""
        prompt = self.prompt()
        there = (index for index, node_id in enumerate(self._placement) if node_id is not None)
        rest = (index for index in there if index not in prompt and index not in self.lost)
        return (*prompt, *sorted(rest, key=lambda index: (index in self._slow, index)))

    def prompt(self) -> tuple[int, ...]:
        """The chunks from which an answer can be expected soon."""
        return tuple(
            index
            for index, node_id in enumerate(self._placement)
            if node_id is not None
            and index not in self.lost
            and index not in self._slow
            and self._shared.members.prompt(node_id)
        )

    def too_few(self) -> StoreError:
        """Why no more chunks can be read; one that is gone says most: it may be elsewhere now."""
        failures = [*self.lost.values()]
        for failure in failures:
            if isinstance(failure, ChunkNotFoundError):
                return failure
        why = failures[-1].message if failures else "The others are on no node."
        return NodeFailedError(f"Too few chunks of the file can be read. {why}")

    async def open(self, spans: Iterable[Span], hedged: Container[int]) -> bool:
        """
        Have just these chunks open, each with its first bytes here; False if one was lost.

        Those that are open already, at the right place, stay so. A reader of a ``hedged`` one waits
        no longer than the hedging delay.
        """
        wanted = {span.chunk: span for span in spans}
        for index in [*self._open]:
            lane, span = self._open[index], wanted.get(index)
            if span is not None and lane.position == span.first and lane.end >= span.end:
                del wanted[index]
            else:
                self._close(index)
        steps = [self._open_one(span, span.chunk in hedged) for span in wanted.values()]
        opened = await all_done(steps)
        return all(opened)

    def complete(self, index: int) -> bool:
        """Whether all that was asked of that chunk is here: to read it does not wait."""
        return self._open[index].source.complete

    async def read(self, index: int, bytes_max: int) -> list[memoryview]:
        """At least one of the next bytes of that chunk; raises `LaneLostError`."""
        lane = self._open[index]
        began = self._shared.monotonic()
        try:
            parts = await lane.source.read(bytes_max)
        except LOSSES as failure:
            self._lose(index, failure, lane.hedged)
            raise LaneLostError from failure
        self._shared.hedging.observe(self._shared.monotonic() - began)
        lane.position += sum(len(part) for part in parts)
        return parts

    def close(self) -> None:
        """Hang up on nodes that still send."""
        for index in [*self._open]:
            self._close(index)

    def _open_one(self, span: Span, hedged: bool) -> "Deferred[bool]":
        shared, index = self._shared, span.chunk
        node_id = self._placement[index]
        assert node_id is not None, "a hole is no candidate"
        opening = shared.client.get(
            shared.members.peer(node_id),
            ChunkId(self._manifest.object_id, index),
            span.first,
            span.end,
            shared.hedging.seconds if hedged else None,
            self._manifest.chunk_bytes(index),
        )
        how = (span, hedged, shared.monotonic())
        return opening.addCallbacks(
            self._opened, self._not_opened, callbackArgs=how, errbackArgs=how
        )

    def _opened(self, source: IncomingChunk, span: Span, hedged: bool, began: float) -> bool:
        self._open[span.chunk] = _Lane(source, span.first, span.end, hedged)
        self._shared.hedging.observe(self._shared.monotonic() - began)
        return True

    def _not_opened(self, failure: Failure, span: Span, hedged: bool, _: float) -> bool:
        failure.trap(*LOSSES)
        assert isinstance(failure.value, StoreError)
        self._lose(span.chunk, failure.value, hedged)
        return False

    def _lose(self, index: int, failure: StoreError, hedged: bool) -> None:
        self._close(index)
        self._shared.metrics.lanes_lost.labels(_cause(failure)).inc()
        node_id = self._placement[index]
        assert node_id is not None, "a hole is no candidate"
        if hedged and isinstance(failure, NodeSlowError):
            self._slow.add(index)
            self._shared.members.slow(node_id)
            return
        self.lost[index] = failure
        if isinstance(failure, NodeFailedError):
            self._shared.members.failed(node_id, failure)
        else:
            log.warn(
                "chunk {index} of {object_id} is read from others: {reason}",
                index=index,
                object_id=self._manifest.object_id,
                reason=failure.message,
            )
        if isinstance(failure, ChunkNotFoundError):
            self._shared.absent(node_id, ChunkId(self._manifest.object_id, index))

    def _close(self, index: int) -> None:
        lane = self._open.pop(index, None)
        if lane is not None:
            lane.source.close()


def _cause(failure: StoreError) -> str:
    causes = {NodeSlowError: "slow", NodeFailedError: "failed", ChunkNotFoundError: "missing"}
    return next((text for kind, text in causes.items() if isinstance(failure, kind)), "damaged")
