"""
Whose data directory this is: `node.json`, `seen.json` and the lock.

`node.json` holds the role, the node's id, its cluster once it has one, and the version of the
format. `seen.json` holds the highest api incarnation and the highest commit sequence that this node
was called with: an api that comes with less of either has an older catalog than this node's chunks.
"""

import json
import posixpath
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from random import Random

from twisted_store.core.ids import NODE_ID_BITS, ClusterId, NodeId, hex_id, parse_node_id
from twisted_store.errors import (
    BadRequestError,
    DirectoryHeldError,
    ForeignClusterError,
    StartupError,
)
from twisted_store.storage.calls import DiskCalls, Lane, RunBlocking
from twisted_store.storage.disk import Closable, Disk

FORMAT_VERSION = 1
ROLE = "node"
IDENTITY_NAME = "node.json"
SEEN_NAME = "seen.json"
LOCK_NAME = "lock"

SEEN_SYNC_SECONDS = 1.0
"""Within one incarnation the sequence is written at most this often."""

_TEMPORARY = ".tmp"
# What a start that was cut short leaves behind, and what a file system puts into its root.
_NO_CONTENT = {LOCK_NAME, IDENTITY_NAME + _TEMPORARY, "lost+found"}


@dataclass(frozen=True, slots=True)
class Identity:
    """The content of `node.json`."""

    node_id: NodeId
    cluster_id: ClusterId | None = None
    role: str = ROLE
    format_version: int = FORMAT_VERSION


@dataclass(frozen=True, slots=True)
class Seen:
    """
    How far the catalog is, by two numbers that never go down.

    Neither is enough: a copy that is put back begins a new incarnation, and has fewer commits.
    """

    incarnation: int = 0
    sequence: int = 0

    def raised(self, incarnation: int, sequence: int) -> "Seen":
        """The higher one of each."""
        return Seen(max(self.incarnation, incarnation), max(self.sequence, sequence))


class NodeIdentity:
    """
    The identity of the node whose data is below ``root``, held alone by this process.

    Opening blocks; it makes a new node of an empty or missing directory, and refuses any other
    with a `StartupError`.
    """

    def __init__(
        self,
        disk: Disk,
        root: str,
        random: Random,
        run_blocking: RunBlocking,
        monotonic: Callable[[], float],
    ) -> None:
        self._disk = disk
        self._root = root
        self._monotonic = monotonic
        self._lane = Lane(DiskCalls(run_blocking, monotonic))
        try:
            self._lock = self._locked()
            try:
                self._identity = self._read_or_make(
                    NodeId(hex_id(random.getrandbits(NODE_ID_BITS)))
                )
                self._seen = self._written = self._read_seen()
            except BaseException:
                self._lock.close()
                raise
        except OSError as error:
            raise StartupError(f"Cannot use the data directory {root}: {error}.") from error
        self._written_seconds = monotonic()

    @property
    def node_id(self) -> NodeId:
        """Drawn when the directory was made; it never changes."""
        return self._identity.node_id

    @property
    def cluster_id(self) -> ClusterId | None:
        """The cluster that this node belongs to, None before its first heartbeat."""
        return self._identity.cluster_id

    @property
    def seen(self) -> Seen:
        """The highest incarnation and sequence so far."""
        return self._seen

    async def adopt_cluster(self, cluster_id: ClusterId) -> None:
        """Belong to this cluster from now on; `ForeignClusterError` when it is in another."""
        if self.cluster_id != cluster_id:
            await self._lane.run(partial(self._adopt, cluster_id))

    async def remember(self, incarnation: int, sequence: int) -> None:
        """Take note of a call of the api; a new incarnation is on the disk when this returns."""
        self._seen = self._seen.raised(incarnation, sequence)
        due = self._monotonic() - self._written_seconds >= SEEN_SYNC_SECONDS
        if due or self._seen.incarnation > self._written.incarnation:
            await self._lane.run(self._write_seen)

    async def close(self) -> None:
        """Write what is not written and let the directory go."""
        try:
            await self._lane.run(self._write_seen)
        finally:
            await self._lane.run(self._lock.close)

    def _locked(self) -> Closable:
        make_directory(self._disk, self._root)
        names = {entry.name for entry in self._disk.entries(self._root)}
        if IDENTITY_NAME not in names and names - _NO_CONTENT:
            raise StartupError(
                f"{self._root} is not a node's data directory: it has no {IDENTITY_NAME} and is not"
                " empty. Give --data a new directory, or the one that this node had before."
            )
        return hold(self._disk, self._root)

    def _read_or_make(self, new_id: NodeId) -> Identity:
        raw = read_file(self._disk, f"{self._root}/{IDENTITY_NAME}")
        if raw is not None:
            return _decode_identity(raw, f"{self._root}/{IDENTITY_NAME}")
        identity = Identity(new_id)
        self._write(IDENTITY_NAME, asdict(identity))
        return identity

    def _read_seen(self) -> Seen:
        path = f"{self._root}/{SEEN_NAME}"
        raw = read_file(self._disk, path)
        if raw is None:
            return Seen()
        try:
            return Seen(**json.loads(raw))
        except (ValueError, TypeError) as error:
            raise StartupError(
                f"{path} is damaged: {error}. Without it this node cannot tell an old catalog;"
                " remove it when you are sure that the api's is the latest."
            ) from error

    def _adopt(self, cluster_id: ClusterId) -> None:
        if self.cluster_id not in (None, cluster_id):
            raise ForeignClusterError(
                f"Node {self.node_id} belongs to cluster {self.cluster_id}, not to {cluster_id}."
            )
        adopted = replace(self._identity, cluster_id=cluster_id)
        self._write(IDENTITY_NAME, asdict(adopted))
        self._identity = adopted

    def _write_seen(self) -> None:
        seen = self._seen
        if seen != self._written:
            self._write(SEEN_NAME, asdict(seen))
            self._written, self._written_seconds = seen, self._monotonic()

    def _write(self, name: str, fields: dict[str, object]) -> None:
        content = json.dumps(fields, indent=2).encode() + b"\n"
        replace_file(self._disk, self._root, name, content)


def hold(disk: Disk, root: str) -> Closable:
    """
    Hold a node's data directory alone until what this gives is closed. Blocking.

    Raises `DirectoryHeldError` when another process has it.
    """
    try:
        return disk.lock(f"{root}/{LOCK_NAME}")
    except BlockingIOError as error:
        raise DirectoryHeldError(f"Another process uses the data directory {root}.") from error


def make_directory(disk: Disk, path: str) -> None:
    """Make a directory and those above it, so that they survive a power loss. Blocking."""
    above = posixpath.dirname(path) or "."
    if disk.size_bytes(path) is None:
        if disk.size_bytes(above) is None:
            make_directory(disk, above)
        disk.make_directory(path)
        disk.sync_directory(above)
    else:
        # It may have been made just before the last process was killed; not by us where we may not
        # even look.
        with suppress(PermissionError):
            disk.sync_directory(above)


def read_file(disk: Disk, path: str) -> bytes | None:
    """The bytes of a file, None when it is not there. Blocking."""
    try:
        with closing(disk.open(path)) as file:
            return file.read_at(0, file.size_bytes())
    except FileNotFoundError:
        return None


def replace_file(disk: Disk, root: str, name: str, content: bytes) -> None:
    """Give a file new bytes: after a power loss it has the old ones or these. Blocking."""
    temporary = f"{root}/{name}{_TEMPORARY}"
    with closing(disk.create(temporary)) as file:
        file.write_at(0, [content])
        file.sync()
    disk.rename(temporary, f"{root}/{name}")
    disk.sync_directory(root)


def _decode_identity(raw: bytes, path: str) -> Identity:
    try:
        identity = Identity(**json.loads(raw))
        parse_node_id(identity.node_id)
    except (ValueError, TypeError, BadRequestError) as error:
        raise StartupError(f"{path} is not a node's: {error}.") from error
    if identity.role != ROLE:
        raise StartupError(f"{path} belongs to the role {identity.role!r}, not to a node.")
    if identity.format_version > FORMAT_VERSION:
        raise StartupError(
            f"{path} was written by a newer version: it has format {identity.format_version}, this"
            f" version knows formats up to {FORMAT_VERSION}. Update this node."
        )
    return identity
