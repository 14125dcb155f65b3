"""Makes the chunks of a move: copied from node to node, or made anew from other chunks here."""

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass

from twisted_store.api.chunk_upload import NODE_ERRORS
from twisted_store.api.lanes import LOSSES, LaneLostError, Lanes, LaneSources, Span
from twisted_store.cluster.jobs import Jobs
from twisted_store.core.durability import Durability
from twisted_store.core.galois import Combine
from twisted_store.core.ids import ChunkId
from twisted_store.core.moves import Plan, Step
from twisted_store.core.redundancy import RebuildPlan, rebuild_plan
from twisted_store.errors import NoSpaceError
from twisted_store.node_client.client import NodeClient
from twisted_store.node_client.fanout import all_of
from twisted_store.node_client.transfers import OutgoingChunk

WINDOW_BYTES = 256 * 1024
"""So much of each chunk is made at once, and asked of the throttle."""


@dataclass(frozen=True, slots=True)
class ChunkMaker:
    """Chunks are as durable as those of uploads, and verified by the nodes that take them."""

    sources: LaneSources
    client: NodeClient
    jobs: Jobs
    combine: Combine
    durability: Durability

    async def make(self, plan: Plan) -> None:
        """Make the chunks of all steps; raises the `StoreError` of what failed."""
        rest = [step for step in plan.steps if not await self._copied(plan, step)]
        if rest:
            rebuild = _Rebuild(self, plan, rest)
            try:
                await rebuild.run()
            finally:
                rebuild.close()

    async def _copied(self, plan: Plan, step: Step) -> bool:
        """Whether the chunk could be copied from where it is."""
        if step.source is None:
            return False
        try:
            await self._copy(plan, step)
        except NoSpaceError as failure:
            self.sources.members.failed(step.target, failure)
            raise
        except LOSSES:
            return False  # what can be made of other chunks is tried instead
        return True

    async def _copy(self, plan: Plan, step: Step) -> None:
        members = self.sources.members
        assert step.source is not None, "there is something to copy"
        left_bytes = plan.manifest.chunk_bytes(step.index)
        copy = self.client.copy(
            members.peer(step.target),
            ChunkId(plan.manifest.object_id, step.index),
            members.peer(step.source),
            left_bytes,
            self.durability,
        )
        try:
            while left_bytes and not copy.ended:
                granted_bytes = min(left_bytes, WINDOW_BYTES)
                await self.jobs.take(plan.cause, granted_bytes)
                copy.grant(granted_bytes)
                left_bytes -= granted_bytes
            await copy.finished()
        finally:
            copy.abort()


class _Rebuild:
    """Some chunks of one object, made from others a window at a time."""

    def __init__(self, shared: ChunkMaker, plan: Plan, steps: Sequence[Step]) -> None:
        self._shared = shared
        self._plan = plan
        self._manifest = plan.manifest
        self._steps = steps
        self._lanes = Lanes(shared.sources, plan.manifest, plan.placement)
        self._encoded = plan.manifest.encoded
        self._puts: list[OutgoingChunk] = []
        self._position = 0
        self._end = max(plan.manifest.chunk_bytes(step.index) for step in steps)

    async def run(self) -> None:
        """Returns when the nodes have stored the chunks."""
        while self._position < self._end:
            how = await self._open()
            try:
                while self._position < self._end:
                    await self._make_window(how)
            except LaneLostError:
                continue  # from the same position on with other sources
        self._begin_puts()
        await all_of(
            self._guarded(step, put.finish(self._encoded))
            for step, put in zip(self._steps, self._puts, strict=True)
        )

    def close(self) -> None:
        """Hang up on all that is still under way."""
        self._lanes.close()
        for put in self._puts:
            put.abort()

    async def _open(self) -> RebuildPlan:
        wanted = tuple(step.index for step in self._steps)
        while True:
            how = rebuild_plan(self._manifest.scheme, wanted, self._lanes.candidates())
            if how is None:
                raise self._lanes.too_few()
            spans = [
                Span(index, self._position, self._manifest.chunk_bytes(index))
                for index in how.sources
                if self._position < self._manifest.chunk_bytes(index)
            ]
            if await self._lanes.open(spans, hedged=()):
                return how

    async def _make_window(self, how: RebuildPlan) -> None:
        end = min(self._position + WINDOW_BYTES, self._end)
        sizes = [self._part_bytes(step.index, end) for step in self._steps]
        await self._shared.jobs.take(self._plan.cause, sum(sizes))
        sums = [memoryview(bytearray(end - self._position)) for _ in self._steps]
        combination = self._shared.combine(how.matrix)
        for column, index in enumerate(how.sources):
            done, wanted_bytes = 0, self._part_bytes(index, end)
            while done < wanted_bytes:
                for part in await self._lanes.read(index, wanted_bytes - done):
                    combination.add(column, part, [each[done : done + len(part)] for each in sums])
                    done += len(part)
            self._shared.sources.metrics.move_read_bytes.inc(wanted_bytes)
        # Only now: nodes that are asked to take a chunk wait for its bytes.
        self._begin_puts()
        for step, put, made, size_bytes in zip(self._steps, self._puts, sums, sizes, strict=True):
            await self._guarded(step, put.write(made[:size_bytes].toreadonly()))
        self._position = end

    def _part_bytes(self, index: int, end: int) -> int:
        """What a chunk has of the window."""
        return max(min(end, self._manifest.chunk_bytes(index)) - self._position, 0)

    def _begin_puts(self) -> None:
        if self._puts:
            return
        for step in self._steps:
            sizes = (self._manifest.chunk_bytes(step.index), len(self._encoded))
            chunk_id = ChunkId(self._manifest.object_id, step.index)
            peer = self._shared.sources.members.peer(step.target)
            self._puts.append(
                self._shared.client.put(peer, chunk_id, sizes, self._shared.durability)
            )

    async def _guarded(self, step: Step, call: Awaitable[None]) -> None:
        try:
            await call
        except NODE_ERRORS as failure:
            self._shared.sources.members.failed(step.target, failure)
            raise
