"""`twisted-store check`: it passes a good store and finds what is wrong with a bad one."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import click
import pytest

from tests.cli.conftest import Run
from tests.cli.fake_store import GIB, FakeStore
from twisted_store.cli.answers import Cluster
from twisted_store.cli.check import FAILED, NOT_JUDGED, OK, Finding, check, examine
from twisted_store.cli.checks import judge_fill
from twisted_store.cli.pattern import PIECE_BYTES, Pattern
from twisted_store.cli.trial import CheckFailedError, NotJudgedError
from twisted_store.core.scheme import Scheme

LARGE_BYTES = 6_000_001
COPIES = Scheme.COPIES


def findings(store: FakeStore, headers: Mapping[str, str] | None = None) -> list[Finding]:
    """What comes of the checks, with files that are not so large."""
    return examine(store.url, headers or {}, large_bytes=LARGE_BYTES)


def failed(store: FakeStore) -> set[str]:
    """The checks that fail; those of single sizes by the last word of their framing."""
    return {each.what.split()[-1] for each in findings(store) if each.verdict == FAILED}


def test_a_good_store_passes_and_is_left_as_it_was(store: FakeStore) -> None:
    """Every size with both framings, and all the rest."""
    store.add("mine", b"mine")
    found = findings(store)
    assert [each for each in found if each.verdict != OK] == []
    assert [each.what for each in found][:4] == [
        "ready",
        "0 bytes, length announced",
        "1 bytes, length announced",
        "4 bytes, length announced",
    ]
    assert found[1].figure == "5 chunks of 0 bytes, 5+1: 6 of 6 chunks, survives any 1 node"
    assert len(found) == 28
    assert list(store.files) == ["mine"]


@dataclass
class Fault:
    """A setting of the store that breaks a promise, and the checks that are to see it."""

    settings: dict[str, Any]
    seen_by: set[str]


FAULTS = [
    Fault({"flipped": ("-sized",)}, {"announced"}),
    Fault({"cut": ("-chunked",)}, {"unknown"}),
    Fault({"nodes": (0, 1, 2, 3, 0, 5)}, {"announced", "unknown"}),
    Fault({"skew_bytes": 2}, {"announced", "unknown"}),
    Fault({"parity_skew_bytes": 1}, {"announced", "unknown"}),
    Fault({"nodes": (0, 1, 2, 3, 4, None)}, {"announced", "unknown"}),
    Fault({"nodes": (0, 1, 2, 3, 4)}, {"announced", "unknown"}),
    Fault({"scheme": COPIES, "nodes": (0, 1, 2, 3, 4) * 2}, {"announced", "unknown"}),
    Fault({"scheme": COPIES, "nodes": (0, 1, 2, 3, 4, 1, 2, 3, 4, 1)}, {"announced", "unknown"}),
    Fault({"heeds_ranges": False}, {"ranges"}),
    Fault({"flipped": ("ranges",)}, {"ranges"}),
    Fault({"flipped": ("overwrite",)}, {"overwrite"}),
    Fault({"heeds_conditions": False}, {"once"}),
    Fault({"heeds_deletes": False}, {"delete", "listing", "behind"}),
    Fault({"spread": 0.2}, set()),
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: "-".join(map(str, fault.settings)))
def test_a_fault_is_seen(store: FakeStore, fault: Fault) -> None:
    """By the checks that it concerns, and no others."""
    for name, value in fault.settings.items():
        setattr(store, name, value)
    assert failed(store) == fault.seen_by


@pytest.mark.parametrize(
    ("scheme", "nodes"),
    [
        (Scheme.PLAIN, (4, 3, 2, 1, 0)),
        (COPIES, (0, 1, 2, 3, 4, 1, 2, 3, 4, 0)),
        (COPIES, (0, 1, 2, 3, 4, 1, 2, 3, 4, 5)),
    ],
)
def test_a_good_store_passes_with_every_scheme(
    store: FakeStore, scheme: Scheme, nodes: tuple[int, ...]
) -> None:
    """Copies lie two on a node, or on another one where a node failed during the upload."""
    store.scheme, store.nodes = scheme, nodes
    assert failed(store) == set()


def test_chunks_may_be_missing_where_nodes_are(store: FakeStore) -> None:
    """Those of data too: their bytes are counted all the same."""
    store.memberships = ("up",) * 5 + ("suspect",)
    store.nodes = (0, 1, None, 3, 4, 2)
    assert failed(store) == set()


def test_nodes_that_share_a_secret_are_asked_with_it(store: FakeStore) -> None:
    """Without it the chunks cannot be looked at, which is a failure."""
    store.secret = "s3cret"
    assert failed(store) == {"announced", "unknown"}
    found = findings(store, {"Authorization": "Bearer s3cret"})
    assert [each for each in found if each.verdict != OK] == []


def test_the_secret_is_read_from_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the option, or by the variable that the roles have, too."""
    file = tmp_path / "secret"
    words = ["--secret-file", str(file)]
    with pytest.raises(click.BadParameter, match="cannot be read"):
        check.make_context("check", list(words))
    file.write_text("s3cret\n")
    headers = {"Authorization": "Bearer s3cret"}
    assert check.make_context("check", words).params["node_headers"] == headers
    assert check.make_context("check", []).params["node_headers"] == {}
    monkeypatch.setenv("TWISTED_STORE_SECRET_FILE", str(file))
    assert check.make_context("check", []).params["node_headers"] == headers


def test_files_are_removed_from_a_bad_store_too(store: FakeStore) -> None:
    """Whatever it answered to the uploads."""
    store.lies_about_etags = True
    assert "announced" in failed(store)
    assert not store.files


def test_a_store_that_is_not_ready_is_not_tried(store: FakeStore, run: Run) -> None:
    """Its own reasons are the finding."""
    store.ready = False
    result = run("check", store.url)
    assert result.exit_code == 1
    assert result.stdout.splitlines()[1] == "ready  A file needs 5 nodes.  FAILED"
    result = run("check", "--json")
    assert json.loads(result.stdout) == {
        "url": store.url,
        "ok": False,
        "checks": [{"what": "ready", "figure": "A file needs 5 nodes.", "verdict": "FAILED"}],
    }


def test_a_node_that_is_out_keeps_the_fill_from_being_judged(store: FakeStore) -> None:
    """It gets no chunks, so it falls behind."""
    store.memberships = ("up",) * 5 + ("suspect",)
    [fill] = [each for each in findings(store) if each.what == "fill"]
    assert (fill.verdict, fill.figure) == (NOT_JUDGED, f"not up: {5:016x}")


def cluster(spread: float | None) -> Cluster:
    """A cluster whose nodes of 1 GiB are filled so unevenly."""
    return cast(Cluster, FakeStore(spread=spread).cluster())


def test_the_fill_may_be_uneven_by_one_percent_and_a_chunk() -> None:
    """The chunk by the capacity of the smallest node."""
    chunk_bytes = GIB // 100
    assert judge_fill(cluster(0.0), cluster(0.0199), chunk_bytes) == ("spread 1.99%, allowed 2.00%")
    with pytest.raises(CheckFailedError, match="spread 2.01%, allowed 2.00%"):
        judge_fill(cluster(0.0), cluster(0.0201), chunk_bytes)


def test_an_uneven_past_is_not_held_against_the_store() -> None:
    """A node that joined late starts empty."""
    with pytest.raises(NotJudgedError, match=r"it was 30\.00% before"):
        judge_fill(cluster(0.3), cluster(0.2), 0)
    with pytest.raises(NotJudgedError, match="no spread is known"):
        judge_fill(cluster(0.0), cluster(None), 0)


def test_a_pattern_is_the_same_in_pieces_and_from_anywhere() -> None:
    """Its end is where its size says."""
    pattern = Pattern("seed", PIECE_BYTES + 10)
    whole = b"".join(pattern.pieces(lambda _: None))
    assert len(whole) == pattern.size_bytes
    assert pattern.piece(PIECE_BYTES - 5, 100) == whole[PIECE_BYTES - 5 :]
    assert pattern.piece(pattern.size_bytes, 1) == b""
    assert Pattern("other", 10).piece(0, 10) != whole[:10]
