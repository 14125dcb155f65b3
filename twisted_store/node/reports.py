"""What this node tells the api of itself."""

from dataclasses import dataclass

from twisted_store import __version__
from twisted_store.cluster.heartbeat import WIRE_FORMAT, NodeReport
from twisted_store.core import chunk_file
from twisted_store.node.health import NodeHealth
from twisted_store.storage.identity import NodeIdentity
from twisted_store.storage.store import ChunkStore


@dataclass(slots=True)
class Reports:
    """
    Makes the report of each heartbeat; nothing in it waits for the disk.

    ``url`` is known once the node listens.
    """

    store: ChunkStore
    identity: NodeIdentity
    health: NodeHealth
    zone: str
    zone_named: bool
    instance: str
    url: str = ""

    def current(self) -> NodeReport:
        """As things are now."""
        return NodeReport(
            node_id=self.identity.node_id,
            url=self.url,
            zone=self.zone,
            zone_named=self.zone_named,
            capacity_bytes=self.store.capacity_bytes,
            used_bytes=self.store.needed_bytes,
            free_bytes=self.store.free_bytes,
            instance=self.instance,
            version=__version__,
            wire_format=WIRE_FORMAT,
            chunk_format=chunk_file.VERSION,
            cluster_id=self.identity.cluster_id,
            oldest_disk_call_seconds=self.store.oldest_call_seconds,
            last_sync_ok=self.health.writable,
            quarantined_chunks=len(self.store.quarantined),
        )
