"""What may be wrong with what stands on the disks of a cluster, or with what clients read."""

from collections.abc import Iterator
from dataclasses import dataclass

from tests.powerloss.engines import FoundCatalog, FoundNode, version_of
from tests.powerloss.histories import MACHINES, NODES
from tests.powerloss.notes import Read, Unreadable
from tests.powerloss.promises import Allowed, Knowledge
from twisted_store.core.ids import ChunkId, NodeId, ObjectId, Placement
from twisted_store.simulation.recording import Event


@dataclass(frozen=True)
class FoundCluster:
    """What the engines of all machines found."""

    catalog: FoundCatalog
    nodes: tuple[FoundNode, ...]

    def is_torn(self, knowledge: Knowledge, horizon_seconds: float) -> bool:
        """Whether a version is seen that has lost chunks, in place of one that is not lost."""
        return any(
            None not in knowledge.allowed(name, horizon_seconds).versions
            and self._holds(entry.manifest.object_id, entry.placement) is None
            for name, entry in self.catalog.rows.items()
        )

    def faults(self, knowledge: Knowledge, horizon_seconds: float) -> Iterator[str]:
        """All that breaks a promise, when what was acknowledged until then must be there."""
        yield from self._problems()
        for name in {*knowledge.names, *self.catalog.rows}:
            fault = self._fault(name, knowledge.allowed(name, horizon_seconds))
            if fault:
                yield f"{name} {fault}"

    def _problems(self) -> Iterator[str]:
        """Engines that do not start, or do not know of each other what they should."""
        problems = (self.catalog.problem, *(node.problem for node in self.nodes))
        for machine, problem in zip(MACHINES, problems, strict=True):
            if problem:
                yield f"{machine}: {problem}"
        for name, node in zip(NODES, self.nodes, strict=True):
            if node.incarnation >= self.catalog.incarnation:
                yield f"{name} has seen incarnation {node.incarnation}, which begins again"
            for chunk_id in node.confirmed - self._known(node.node_id):
                yield f"{name} keeps {chunk_id} for ever"

    def _fault(self, name: str, allowed: Allowed) -> str:
        entry = self.catalog.rows.get(name)
        version = None if entry is None else version_of(entry.manifest)
        if version not in allowed.versions:
            return f"shows version {version}, allowed are {set(allowed.versions)}"
        if entry is None or self._holds(entry.manifest.object_id, entry.placement) == version:
            return ""
        if version in allowed.readable:
            return f"lost chunks of version {version}"
        kept = {self._holds(dying.object_id, dying.placement) for dying in self.catalog.dying}
        if None in allowed.versions or (kept - {None}) & allowed.versions:
            return ""
        return f"lost chunks of version {version}, and what it replaced, {set(allowed.versions)}"

    def _known(self, node_id: NodeId) -> frozenset[ChunkId]:
        """The chunks that the catalog knows to be on a node."""
        current = [
            (entry.manifest.object_id, entry.placement) for entry in self.catalog.rows.values()
        ]
        dying = [(version.object_id, version.placement) for version in self.catalog.dying]
        return frozenset(
            ChunkId(object_id, index)
            for object_id, placement in (*current, *dying)
            for index, holder in enumerate(placement)
            if holder == node_id
        )

    def _holds(self, object_id: ObjectId, placement: Placement) -> int | None:
        """The version that can be glued of these chunks."""
        by_node = {node.node_id: node.whole for node in self.nodes}
        versions = {
            by_node[node_id].get(ChunkId(object_id, index)) if node_id in by_node else None
            for index, node_id in enumerate(placement)
        }
        return versions.pop() if len(versions) == 1 else None


def misreadings(event: Event, knowledge: Knowledge) -> Iterator[str]:
    """What is wrong with what a client reads."""
    match event.effect:
        case Read(name, version):
            allowed = knowledge.allowed(name, event.at_seconds)
            if version not in allowed.versions:
                yield f"{name} reads as version {version}, allowed are {set(allowed.versions)}"
        case Unreadable(name):
            allowed = knowledge.allowed(name, event.at_seconds)
            if allowed.versions <= allowed.readable:
                yield f"{name} cannot be read, allowed are {set(allowed.versions)}"
