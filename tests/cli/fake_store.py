"""What a store answers, from files in memory and with faults at will."""

import threading
from dataclasses import dataclass, field
from typing import Any

from blake3 import blake3

from tests.cli.fake_jobs import FakeJobs
from twisted_store.core.scheme import Scheme
from twisted_store.core.striping import DATA_CHUNKS, UNIT_BYTES, Striping

MODIFIED = "2026-03-01T12:00:00.000001Z"
PAGE_FILES = 2
GIB = 2**30


@dataclass(frozen=True)
class Stored:
    """One file."""

    content: bytes
    object_id: str
    unit_bytes: int
    content_type: str

    @property
    def etag(self) -> str:
        """Hex BLAKE3."""
        return blake3(self.content).hexdigest()


@dataclass
class FakeStore:
    """
    The state of a store that keeps its promises as far as these settings let it.

    The bodies of files whose names end in ``cut`` break off; the first byte of those whose names
    end in ``flipped`` changes on its way. Chunk 0 has ``skew_bytes`` too many. The chunks of every
    file are on ``nodes``, None being a hole. Nodes ask for the ``secret``, if there is one. Those
    that are ``needed`` cannot be forgotten or stopped.
    """

    files: dict[str, Stored] = field(default_factory=dict)
    cut: tuple[str, ...] = ()
    flipped: tuple[str, ...] = ()
    skew_bytes: int = 0
    ready: bool = True
    lies_about_etags: bool = False
    heeds_conditions: bool = True
    heeds_ranges: bool = True
    heeds_deletes: bool = True
    parity_skew_bytes: int = 0
    scheme: Scheme = Scheme.PARITY_1
    nodes: tuple[int | None, ...] = tuple(range(DATA_CHUNKS + 1))
    spread: float | None = 0.0
    survivors: dict[str, int] = field(default_factory=dict)
    memberships: tuple[str, ...] = ("up",) * 6
    quarantined: dict[int, int] = field(default_factory=dict)
    draining: set[str] = field(default_factory=set)
    needed: set[str] = field(default_factory=set)
    forgotten: set[str] = field(default_factory=set)
    jobs: FakeJobs = field(default_factory=FakeJobs)
    secret: str | None = None
    url: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)
    made: int = 0

    def add(self, name: str, content: bytes, content_type: str = "text/plain") -> None:
        """Store a file past HTTP."""
        self.store(name, content, UNIT_BYTES, content_type)

    def store(self, name: str, content: bytes, unit_bytes: int, content_type: str) -> None:
        """Store a file under a fresh object id."""
        self.made += 1
        self.files[name] = Stored(content, f"{self.made:032x}", unit_bytes, content_type)

    def view(self, name: str) -> dict[str, Any]:
        """The JSON of a file."""
        file = self.files[name]
        return {
            "name": name,
            "size": len(file.content),
            "etag": "0" * 64 if self.lies_about_etags else file.etag,
            "content_type": file.content_type,
            "modified": MODIFIED,
        }

    def page(self, prefix: str, delimiter: str, after: str) -> dict[str, Any]:
        """A short page of the listing."""
        entries = {
            _entry(name, prefix, delimiter) for name in self.files if name.startswith(prefix)
        }
        left = sorted(entry for entry in entries if entry > after)
        shown = left[:PAGE_FILES]
        return {
            "files": [self.view(entry) for entry in shown if entry in self.files],
            "prefixes": [entry for entry in shown if entry not in self.files],
            "next": shown[-1] if len(left) > len(shown) else None,
        }

    def explanation(self, name: str) -> dict[str, Any]:
        """Where the chunks of a file are said to be."""
        file = self.files[name]
        return {
            "name": name,
            "object_id": file.object_id,
            "size": len(file.content),
            "scheme": self.scheme,
            "chunks_wanted": self.scheme.width,
            "chunks_present": len(self.nodes) - self.nodes.count(None),
            "chunks_reachable": 5,
            "losses_survived": int(None not in self.nodes),
            "losses_survived_now": 0,
            "note": "It survives the loss of any 1 nodes, not of a host.",
            "unit_bytes": file.unit_bytes,
            "skipped": [{"node_id": "f" * 16, "fill": 0.5, "reason": "filled more"}],
            "changes": ["Chunk 4 went to another node. It rained."],
            "chunks": [
                {
                    "index": index,
                    "kind": "data" if index < DATA_CHUNKS else "parity",
                    "bytes": self.chunk_bytes(file.object_id, index),
                    **self._place(number),
                }
                for index, number in enumerate(self.nodes)
            ],
        }

    def _place(self, number: int | None) -> dict[str, Any]:
        if number is None:
            return {"hole": True}
        return {
            "hole": False,
            "zone": "here",
            "membership": "up",
            "reason": "among the least filled",
            "node_id": f"{number:016x}",
            "url": f"{self.url}/node{number}",
        }

    def dry_run(self, size_bytes: int, scheme: str) -> dict[str, Any]:
        """Where a file would go."""
        return {
            "size": size_bytes,
            "scheme": scheme,
            "chunks_wanted": 5,
            "chunks_present": 5,
            "losses_survived": 0,
            "note": "",
            "nodes": [
                {
                    "node_id": "e" * 16,
                    "zone": "here",
                    "chunks": [3],
                    "fill_before": 0.25,
                    "fill_after": 0.5,
                    "reason": "among the least filled",
                }
            ],
        }

    def chunk_bytes(self, object_id: str, index: int) -> int:
        """Bytes of a chunk by the word of its node."""
        [file] = [file for file in self.files.values() if file.object_id == object_id]
        striping = Striping(len(file.content), file.unit_bytes)
        chunk_bytes = striping.chunk_bytes(self.scheme.model(index))
        if index >= DATA_CHUNKS:
            return chunk_bytes + self.parity_skew_bytes
        return chunk_bytes if index else chunk_bytes + self.skew_bytes

    def cluster(self) -> dict[str, Any]:
        """The state of the whole."""
        nodes = [
            {
                "node_id": f"{number:016x}",
                "url": f"{self.url}/node{number}",
                "zone": "here",
                "capacity_bytes": GIB,
                "used_bytes": GIB // 4,
                "fill": 0.25,
                "membership": membership,
                "reason": None if membership == "up" else "silent",
                "heard_seconds_ago": 1.0,
                "draining": f"{number:016x}" in self.draining,
                "quarantined_chunks": self.quarantined.get(number, 0),
            }
            for number, membership in enumerate(self.memberships)
            if f"{number:016x}" not in self.forgotten
        ]
        return {
            "cluster_id": "c" * 16,
            "version": "1",
            "scheme": "auto",
            "target": "5+1",
            "objects_by_losses_survived": self.survivors,
            "durability": "strict",
            "nodes": nodes,
            **self.jobs.look(),
            "spread": self.spread,
            "usable_bytes": 5 * GIB,
            "objects": len(self.files),
            "bytes": sum(len(file.content) for file in self.files.values()),
        }

    def drain(self, node_id: str, *, draining: bool) -> dict[str, Any]:
        """Change whether a node is drained; returns it."""
        (self.draining.add if draining else self.draining.discard)(node_id)
        [node] = [each for each in self.cluster()["nodes"] if each["node_id"] == node_id]
        return dict(node)

    def safe_to_stop(self, node_id: str) -> dict[str, Any]:
        """Whether a node is not needed."""
        reason = {"code": "node_needed", "message": "2 files need it."}
        needed = node_id in self.needed
        return {"safe": not needed, "reasons": [reason] if needed else []}

    def readiness(self) -> dict[str, Any]:
        """Whether it takes files."""
        reason = {"code": "too_few_nodes", "message": "A file needs 5 nodes."}
        return {"ready": self.ready, "reasons": [] if self.ready else [reason]}


def _entry(name: str, prefix: str, delimiter: str) -> str:
    """The name, or the prefix that stands for it and others up to the next delimiter."""
    end = name.find(delimiter, len(prefix)) if delimiter else -1
    return name if end < 0 else name[: end + 1]
