"""What `twisted-store check` finds out about a store, a function for each."""

import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from twisted_store.cli.answers import Chunk, Cluster, Explanation
from twisted_store.cli.bodies import announced_bytes
from twisted_store.cli.client import files_path
from twisted_store.cli.exits import CommandError, FileChangedError
from twisted_store.cli.explain import redundancy
from twisted_store.cli.pattern import Pattern
from twisted_store.cli.trial import CheckFailedError, NotJudgedError, Trial, expect
from twisted_store.core.scheme import Scheme
from twisted_store.core.striping import DATA_CHUNKS, UNIT_BYTES, UNSIZED_UNIT_BYTES

STRIPE_BYTES = DATA_CHUNKS * UNIT_BYTES
LARGE_BYTES = 100 * 1024 * 1024
SMALL_BYTES = 100_000
CREATORS = 8

SPREAD_MAX = 0.01
"""How far the fill of a node, a fraction, may be from the best possible, one chunk aside."""


@dataclass(frozen=True, slots=True)
class Check:
    """
    One thing to find out; ``moved_bytes`` go to the store and back for it.

    ``run`` returns a figure, or raises `CheckFailedError`, or `NotJudgedError`.
    """

    what: str
    run: Callable[[Trial], str]
    moved_bytes: int = 0


def all_checks(before: Cluster, large_bytes: int = LARGE_BYTES) -> list[Check]:
    """
    The checks of a store that was in the state ``before``, the simple ones first.

    Files get as large as ``large_bytes``.
    """
    return [
        *(_round_trip(size, sized=True) for size in _sizes(UNIT_BYTES, large_bytes)),
        *(_round_trip(size, sized=False) for size in _sizes(UNSIZED_UNIT_BYTES, large_bytes)),
        Check("ranges", check_ranges, 3 * STRIPE_BYTES),
        Check("overwrite", check_overwrite, 5 * SMALL_BYTES),
        Check(f"{CREATORS} creators at once", check_creators, 2 * SMALL_BYTES),
        Check("delete", check_delete, SMALL_BYTES),
        Check("listing", check_listing),
        Check("fill", lambda trial: check_fill(trial, before, large_bytes)),
    ]


def check_round_trip(trial: Trial, size_bytes: int, *, sized: bool) -> str:
    """A file comes back as it went, and lies in equal chunks on different nodes."""
    name = f"{trial.prefix}{size_bytes}-{'sized' if sized else 'chunked'}"
    pattern = Pattern(name, size_bytes)
    trial.put(name, pattern, sized=sized)
    trial.compare(name, pattern)
    where = trial.client.explain(name)
    sizes = _chunk_sizes(trial, where, size_bytes)
    return f"5 chunks of {' or '.join(map(str, sizes))} bytes, {redundancy(where)}"


def check_ranges(trial: Trial) -> str:
    """Ranges within and across units and stripes are right, and one beyond the end is refused."""
    name = f"{trial.prefix}ranges"
    pattern = Pattern(name, 2 * STRIPE_BYTES + 7)
    trial.put(name, pattern)
    last = pattern.size_bytes - 1
    wanted = [
        ("0-0", 0, 0),
        (f"{last}-", last, last),
        ("-100", last - 99, last),
        (f"{UNIT_BYTES - 1}-{UNIT_BYTES}", UNIT_BYTES - 1, UNIT_BYTES),
        (f"{STRIPE_BYTES - 1}-{STRIPE_BYTES}", STRIPE_BYTES - 1, STRIPE_BYTES),
        (f"{UNIT_BYTES + 1}-{2 * STRIPE_BYTES}", UNIT_BYTES + 1, 2 * STRIPE_BYTES),
        (f"{last - 5}-{last + 5}", last - 5, last),
    ]
    for text, first, end in wanted:
        _compare_range(trial, name, pattern, text, first, end)
    beyond = {"Range": f"bytes={last + 1}-"}
    answer = trial.client.call("GET", files_path(name), headers=beyond, accept=416)
    expect("status of a range beyond the end", answer.status_code, 416)
    return f"{len(wanted)} right, 1 beyond the end refused"


def check_overwrite(trial: Trial) -> str:
    """A second PUT replaces the first."""
    name = f"{trial.prefix}overwrite"
    old, new = Pattern(f"{name} old", SMALL_BYTES), Pattern(f"{name} new", SMALL_BYTES + 1)
    expect("the first PUT made a new file", trial.put(name, old), True)
    trial.compare(name, old)
    expect("the second PUT made a new file", trial.put(name, new), False)
    trial.compare(name, new)
    return "replaced"


def check_creators(trial: Trial) -> str:
    """Of several clients that create the same file at once, one succeeds, and its bytes stay."""
    name = f"{trial.prefix}creators"
    patterns = [Pattern(f"{name} {number}", SMALL_BYTES // CREATORS) for number in range(CREATORS)]
    start = threading.Barrier(CREATORS)

    def create(pattern: Pattern) -> bool:
        start.wait()
        try:
            return trial.put(name, pattern, headers={"If-None-Match": "*"})
        except FileChangedError:
            return False

    with ThreadPoolExecutor(CREATORS) as threads:
        created = list(threads.map(create, patterns))
    expect("creators that succeeded", created.count(True), 1)
    trial.compare(name, patterns[created.index(True)])
    return f"1 created it, {CREATORS - 1} were told that it exists"


def check_delete(trial: Trial) -> str:
    """A deleted file is gone for every call."""
    name = f"{trial.prefix}delete"
    trial.put(name, Pattern(name, SMALL_BYTES))
    trial.delete(name)
    for method in ("GET", "HEAD", "DELETE"):
        answer = trial.client.call(method, files_path(name), accept=404)
        expect(f"status of {method} afterwards", answer.status_code, 404)
    return "gone"


def check_listing(trial: Trial) -> str:
    """The listing has all that was stored, in order, and nothing else."""
    expect("names listed", trial.listed(), trial.names)
    return f"{len(trial.names)} names, in order"


def check_fill(trial: Trial, before: Cluster, large_bytes: int) -> str:
    """The nodes are as full as each other, but for 1 % and what one file puts on a node."""
    after = trial.client.cluster()
    scheme = Scheme(after["target"])
    chunk_bytes = -(-large_bytes // DATA_CHUNKS)
    return judge_fill(before, after, chunk_bytes * scheme.width // scheme.nodes)


def judge_fill(before: Cluster, after: Cluster, chunk_bytes: int) -> str:
    """
    The spread, if it is within `SPREAD_MAX` and a chunk of ``chunk_bytes``.

    Raises `NotJudgedError` when the store could not have kept it there: while a node is out, or
    when the nodes were filled unevenly before, as they are after a node has joined.
    """
    out = [node["node_id"] for node in after["nodes"] if node["membership"] != "up"]
    if out or after["spread"] is None:
        raise NotJudgedError(f"not up: {', '.join(out)}" if out else "no spread is known")
    capacity = min(node["capacity_bytes"] for node in after["nodes"])
    allowed = SPREAD_MAX + chunk_bytes / max(capacity, 1)
    figure = f"spread {after['spread']:.2%}, allowed {allowed:.2%}"
    if after["spread"] <= allowed:
        return figure
    if before["spread"] is not None and before["spread"] > allowed:
        raise NotJudgedError(f"{figure}, but it was {before['spread']:.2%} before")
    raise CheckFailedError(figure)


def _sizes(unit_bytes: int, large_bytes: int) -> list[int]:
    stripe = DATA_CHUNKS * unit_bytes
    return [0, 1, 4, 5, 6, stripe - 1, stripe, stripe + 1, 3 * stripe + 7, large_bytes]


def _round_trip(size_bytes: int, *, sized: bool) -> Check:
    framing = "length announced" if sized else "length unknown"
    return Check(
        f"{size_bytes} bytes, {framing}",
        lambda trial: check_round_trip(trial, size_bytes, sized=sized),
        2 * size_bytes,
    )


def _chunk_sizes(trial: Trial, where: Explanation, size_bytes: int) -> list[int]:
    """The sizes that data chunks have, on the nodes themselves; at most two, a byte apart."""
    scheme = Scheme(where["scheme"])
    indexes = [chunk["index"] for chunk in where["chunks"]]
    expect("chunks that explain names", indexes, list(range(scheme.width)))
    present = [chunk for chunk in where["chunks"] if not chunk["hole"]]
    _check_holes(trial, scheme, len(present))
    _check_nodes(scheme, present)
    held = {chunk["index"]: _held_bytes(trial, where["object_id"], chunk) for chunk in present}
    expect("sizes that explain names", {each["index"]: each["bytes"] for each in present}, held)
    sizes = [chunk["bytes"] for chunk in where["chunks"]]
    data = sizes[:DATA_CHUNKS]
    expect("bytes in all data chunks", sum(data), size_bytes)
    if max(data) - min(data) > 1:
        raise CheckFailedError(f"unequal chunks: {data} bytes")
    expect("sizes of all chunks", sizes, [data[scheme.model(index)] for index in indexes])
    return sorted(set(data))


def _check_nodes(scheme: Scheme, present: Sequence[Chunk]) -> None:
    """Chunks are on different nodes; copies two on each at most, and never both of one."""
    held = defaultdict[str, list[int]](list)
    for chunk in present:
        held[chunk["node_id"]].append(chunk["index"])
    for node_id, indexes in held.items():
        models = {scheme.model(index) for index in indexes}
        if len(indexes) > scheme.width // scheme.nodes or len(models) < len(indexes):
            raise CheckFailedError(f"node {node_id} holds chunks {indexes} of a {scheme} file")


def _check_holes(trial: Trial, scheme: Scheme, chunks: int) -> None:
    """Chunks may only be missing where nodes are."""
    up = sum(node["membership"] == "up" for node in trial.client.cluster()["nodes"])
    if chunks < scheme.width and up >= scheme.nodes:
        raise CheckFailedError(f"{chunks} of {scheme.width} chunks, though {up} nodes are up")


def _held_bytes(trial: Trial, object_id: str, chunk: Chunk) -> int:
    """Bytes of a chunk by the word of the node that holds it."""
    try:
        path = f"/chunks/{object_id}/{chunk['index']}"
        held = announced_bytes(trial.node(chunk["url"]).call("HEAD", path))
    except CommandError as error:
        raise CheckFailedError(f"node {chunk['node_id']}: {error}") from error
    if held is None:
        raise CheckFailedError(f"node {chunk['node_id']} does not say how long chunk {path} is")
    return held


def _compare_range(
    trial: Trial, name: str, pattern: Pattern, text: str, first: int, last: int
) -> None:
    headers = {"Range": f"bytes={text}"}
    answer = trial.client.call("GET", files_path(name), headers=headers)
    expect(f"status of range {text}", answer.status_code, 206)
    content_range = f"bytes {first}-{last}/{pattern.size_bytes}"
    expect(f"Content-Range of {text}", answer.headers.get("Content-Range"), content_range)
    if answer.content != pattern.piece(first, last - first + 1):
        raise CheckFailedError(f"range {text} has other bytes than were stored")
