"""
The bytes of a range of an object, in order, from whichever of its chunks can be had.

While all data chunks that are needed can be read, their bytes go on as they arrive. If not, each
stripe is read from 5 chunks at once: what is missing is summed up as they arrive, and the stripe
goes on when it is whole. When a source fails in mid-stripe, what was passed on already stays as it
is, and reading begins anew at the next byte with other chunks.
"""

from collections import deque

from twisted_store.api.lanes import LaneLostError, Lanes, Span
from twisted_store.core.galois import Combination, Combine
from twisted_store.core.manifest import Manifest
from twisted_store.core.redundancy import ReadPlan, read_plan


class ObjectReader:
    """Reads from ``first`` up to, not including, ``end``."""

    def __init__(
        self,
        manifest: Manifest,
        lanes: Lanes,
        combine: Combine,
        first: int,
        end: int,
    ) -> None:
        self._manifest = manifest
        self._striping = manifest.striping
        self._lanes = lanes
        self._combine = combine
        self._position = first
        self._end = end
        self._ready: deque[list[memoryview]] = deque()
        self._plan = ReadPlan({}, (), (), ())
        self._combination: Combination | None = None

    @property
    def degraded(self) -> tuple[int, ...]:
        """The data chunks that are not read from their own place."""
        return self._plan.degraded

    async def open(self) -> None:
        """
        Returns when the first bytes of each chunk that is needed are here and right.

        Raises `NodeFailedError` when too few are left, `ChunkNotFoundError` if one of them is gone.
        """
        while True:
            rest, prompt = self._data_spans(self._end), self._lanes.prompt()
            wanted = tuple(span.chunk for span in rest)
            self._plan = self._best_plan(wanted, len(prompt))
            self._combination = self._combine(self._plan.matrix) if self._plan.missing else None
            spans = self._spans(rest)
            spare = {each.chunk for each in spans if self._spares(wanted, prompt, each.chunk)}
            if await self._lanes.open(spans, spare):
                return

    async def read(self) -> list[memoryview]:
        """What comes next; empty at the end."""
        while not self._ready and self._position < self._end:
            try:
                await self._advance()
            except LaneLostError:
                await self.open()
        return self._ready.popleft() if self._ready else []

    def close(self) -> None:
        """Hang up on nodes that still send."""
        self._lanes.close()

    async def _advance(self) -> None:
        if self._combination is not None:
            await self._decode_stripe(self._combination)
            return
        run = self._striping.run_at(self._position, self._end)
        parts = await self._lanes.read(self._plan.direct[run.index], run.size_bytes)
        self._position += sum(len(part) for part in parts)
        self._ready.append(parts)

    async def _decode_stripe(self, combination: Combination) -> None:
        """Read what the stripe at the position has of the range, and make what is missing."""
        spans = self._stripe_spans()
        first, last = min(span.first for span in spans), max(span.end for span in spans)
        sums = [memoryview(bytearray(last - first)) for _ in self._plan.missing]
        parts_of: dict[int, list[memoryview]] = {}
        for column, index in enumerate(self._plan.sources):
            size_bytes = min(last, self._manifest.chunk_bytes(index)) - first
            parts_of[index] = parts = []
            done = 0
            while done < size_bytes:
                for part in await self._lanes.read(index, size_bytes - done):
                    targets = [sum_[done : done + len(part)] for sum_ in sums]
                    combination.add(column, part, targets)
                    done += len(part)
                    parts.append(part)
        for data, sum_ in zip(self._plan.missing, sums, strict=True):
            parts_of[data] = [sum_]
        for span in spans:
            source = self._plan.direct.get(span.chunk, span.chunk)
            self._ready.append(_cut(parts_of[source], span.first - first, span.end - first))
        self._position = self._striping.stripe_end(self._position, self._end)

    def _best_plan(self, wanted: tuple[int, ...], prompt: int) -> ReadPlan:
        """How to read the data chunks ``wanted``; so many of the candidates answer soon."""
        candidates = self._lanes.candidates()
        # No more of those that may keep us waiting than are needed.
        for count in range(prompt, len(candidates) + 1):
            plan = read_plan(self._manifest.scheme, wanted, candidates[:count])
            if plan is not None:
                return plan
        raise self._lanes.too_few()

    def _spares(self, wanted: tuple[int, ...], prompt: tuple[int, ...], index: int) -> bool:
        """Whether chunks that can be had soon would do without this one."""
        others = tuple(other for other in prompt if other != index)
        return read_plan(self._manifest.scheme, wanted, others) is not None

    def _spans(self, rest: list[Span]) -> list[Span]:
        """What has to be read of each chunk from the position on, for ``rest`` of the range."""
        if not self._plan.missing:
            return [Span(self._plan.direct[span.chunk], span.first, span.end) for span in rest]
        first = min(span.first for span in self._stripe_spans())
        last = max(span.end for span in rest)
        return [
            Span(index, first, end)
            for index in self._plan.sources
            if first < (end := min(last, self._manifest.chunk_bytes(index)))
        ]

    def _stripe_spans(self) -> list[Span]:
        """What the stripe at the position has of the rest of the range."""
        return self._data_spans(self._striping.stripe_end(self._position, self._end))

    def _data_spans(self, end: int) -> list[Span]:
        """Which bytes of which data chunks lie between the position and ``end``."""
        split = self._striping.split
        bounds = zip(split(self._position), split(end), strict=True)
        return [Span(index, *each) for index, each in enumerate(bounds) if each[0] < each[1]]


def _cut(parts: list[memoryview], first: int, end: int) -> list[memoryview]:
    """The bytes from ``first`` to ``end`` of ``parts``, counted through all of them."""
    cut, start = [], 0
    for part in parts:
        piece = part[max(first - start, 0) : max(end - start, 0)]
        if piece:
            cut.append(piece)
        start += len(part)
    return cut
