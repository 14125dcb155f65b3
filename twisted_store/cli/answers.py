"""What the api answers, as types: JSON objects with these fields, and perhaps more."""

from typing import NotRequired, TypedDict


class File(TypedDict):
    """A file as a PUT and a listing describe it; ``modified`` is ISO 8601 in UTC."""

    name: str
    size: int
    etag: str
    modified: str
    content_type: NotRequired[str]


class Page(TypedDict):
    """Part of a listing; ``next`` is to be given as ``after`` for the part that follows."""

    files: list[File]
    prefixes: list[str]
    next: str | None


class Chunk(TypedDict):
    """One chunk of a file, and the node that holds it."""

    index: int
    node_id: str
    url: str
    bytes: int


class Explanation(TypedDict):
    """Where a file is."""

    name: str
    object_id: str
    size: int
    scheme: str
    unit_bytes: int
    chunks: list[Chunk]


class Node(TypedDict):
    """A node in the eyes of the api; ``fill`` is a fraction of its capacity."""

    node_id: str
    url: str
    zone: str
    capacity_bytes: int
    used_bytes: int
    fill: float
    membership: str
    reason: str | None
    heard_seconds_ago: float | None


class Cluster(TypedDict):
    """The state of the whole; ``spread`` is a fraction, None when there is nothing to compare."""

    cluster_id: str
    version: str
    scheme: str
    durability: str
    nodes: list[Node]
    spread: float | None
    usable_bytes: int
    objects: int
    bytes: int


class Reason(TypedDict):
    """Something that the api says of its health; a mere warning while it is ready."""

    code: str
    message: str


class Readiness(TypedDict):
    """Whether the api can take files now."""

    ready: bool
    reasons: list[Reason]
