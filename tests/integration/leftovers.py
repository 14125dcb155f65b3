"""What chunks there are on nodes, and what there should be."""

import json
import time
from collections.abc import Collection
from pathlib import Path
from urllib.parse import quote

from tests.integration.client import Client
from tests.integration.oracle import ViolationError
from twisted_store.storage.contents import chunks_in
from twisted_store.storage.directory import ChunkState
from twisted_store.storage.disk import OsDisk

SWEPT_SECONDS_MAX = 30.0
LOOK_SECONDS = 0.2
SHOWN_MAX = 10

Places = set[tuple[str, str]]
"""Node ids and chunks with their states."""


def listed_tags(client: Client, limit: int = 100) -> dict[str, str]:
    """All names with their entity tags, page by page."""
    tags: dict[str, str] = {}
    after: str | None = ""
    while after is not None:
        page = client.ask("GET", f"/files?limit={limit}&after={quote(after)}").json()
        tags |= {file["name"]: file["etag"] for file in page["files"]}
        after = page["next"]
    return tags


def wanted_places(client: Client) -> Places:
    """The chunks of all files that are listed, confirmed, those of lost nodes apart."""
    places: Places = set()
    for name in listed_tags(client):
        explained = client.ask("GET", f"/explain/{quote(name)}").json()
        chunks = [
            chunk
            for chunk in explained["chunks"]
            if not chunk["hole"] and chunk["membership"] != "lost"
        ]
        if not 5 <= len({chunk["node_id"] for chunk in chunks}) == len(chunks):
            raise ViolationError(f"{name} has not 5 chunks or more, each on a node: {explained}")
        places |= {
            (chunk["node_id"], f"{explained['object_id']}-{chunk['index']}.confirmed")
            for chunk in chunks
        }
    return places


def held_places(directory: Path, lost: Collection[str] = ()) -> Places:
    """
    All chunks that nodes with directories below this one hold, in any state.

    Dead needles apart: they are garbage, which is collected once there is more of it. The nodes
    whose directories have the names ``lost`` are left out.
    """
    places: Places = set()
    for identity in directory.glob("*/node.json"):
        if identity.parent.name in lost:
            continue
        node_id = json.loads(identity.read_text())["node_id"]
        places |= {
            (node_id, f"{chunk_id}.{found.state.value}")
            for chunk_id, found in chunks_in(OsDisk(), str(identity.parent)).items()
            if not (found.is_needle and found.state is ChunkState.DEAD)
        }
    return places


def wait_until_swept(client: Client, directory: Path, lost: Collection[str] = ()) -> None:
    """Wait until nodes hold the chunks of the files there are, and nothing else."""
    deadline = time.monotonic() + SWEPT_SECONDS_MAX
    # Both anew each time: what is repaired moves.
    while (held := held_places(directory, lost)) != (wanted := wanted_places(client)):
        if time.monotonic() > deadline:
            raise ViolationError(
                f"left over: {sorted(held - wanted)[:SHOWN_MAX]}, "
                f"missing: {sorted(wanted - held)[:SHOWN_MAX]}"
            )
        time.sleep(LOOK_SECONDS)
