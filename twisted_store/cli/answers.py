"""What the api answers, as types: JSON objects with these fields, and perhaps more."""

from typing import Literal, NotRequired, TypedDict

JobName = Literal["repair", "rebalance"]


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
    """One chunk of a file, and the node that holds it; a hole has none of the optional fields."""

    index: int
    kind: str
    bytes: int
    hole: bool
    node_id: NotRequired[str]
    url: NotRequired[str]
    zone: NotRequired[str]
    membership: NotRequired[str]
    reason: NotRequired[str]


class Skipped(TypedDict):
    """A node that holds nothing of a file, and why; ``fill`` as it was then."""

    node_id: str
    fill: float
    reason: str


class Redundancy(TypedDict):
    """What a file has of the chunks that its scheme wants, and how many losses that survives."""

    scheme: str
    chunks_wanted: int
    chunks_present: int
    losses_survived: int
    note: str


class Explanation(Redundancy):
    """Where a file is, and why."""

    name: str
    object_id: str
    size: int
    unit_bytes: int
    chunks_reachable: int
    losses_survived_now: int
    chunks: list[Chunk]
    skipped: list[Skipped]
    changes: list[str]


class Candidate(TypedDict):
    """A node's part in a placement that was only tried."""

    node_id: str
    zone: str
    chunks: list[int]
    fill_before: float
    fill_after: float
    reason: str


class DryRun(Redundancy):
    """Where a file of that size would go."""

    size: int
    nodes: list[Candidate]


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
    draining: bool
    quarantined_chunks: int


class Amount(TypedDict):
    """So many files, and so many bytes to move for them."""

    objects: int
    bytes: int


class FailedMove(TypedDict):
    """A file that a job could not do its part for, and when it tries again."""

    name: str
    reason: str
    retry_seconds: float


class Job(TypedDict):
    """
    Work that the api does by itself, by its causes; causes without any are left out.

    What is ``blocked`` needs nodes that are not there. ``moved`` counts from the start of the api.
    ``rate_bytes`` are those of a second.
    """

    state: Literal["idle", "running", "waiting", "paused", "halted"]
    reason: str
    queued: dict[str, Amount]
    blocked: dict[str, Amount]
    moved: dict[str, Amount]
    failed: list[FailedMove]
    failed_objects: int
    bytes_left: int
    rate_bytes: float
    eta_seconds: float | None


class ThrottledJob(Job):
    """A job, and how many bytes all jobs together may move in a second; None: as they can."""

    rate_bytes_max: int | None


class JobChanges(TypedDict, total=False):
    """What a job is asked for: those of these that are to change."""

    paused: bool
    rate_bytes_max: int | None
    start: bool


class Cluster(TypedDict):
    """The state of the whole; ``spread`` is a fraction, None when there is nothing to compare."""

    cluster_id: str
    version: str
    scheme: str
    target: str
    durability: str
    objects_by_losses_survived: dict[str, int]
    nodes: list[Node]
    jobs: dict[JobName, Job]
    rate_bytes_max: int | None
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


class SafeToStop(TypedDict):
    """Whether a node can be stopped without harm, and if not, why."""

    safe: bool
    reasons: list[Reason]
