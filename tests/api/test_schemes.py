"""How the scheme of a file is chosen, and how everybody can ask what it got."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api.world import ApiCluster
from tests.simulation.calls import Calls
from twisted_store.core.scheme import AUTO, Scheme, SchemeRules

RULES = SchemeRules(AUTO, (("logs/", Scheme.PLAIN), ("logs/kept/", Scheme.COPIES)))


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[ApiCluster]:
    """Eight nodes, and two rules."""
    with ApiCluster(tmp_path, nodes=8, rules=RULES) as running:
        yield running


@pytest.fixture
def calls(cluster: ApiCluster) -> Calls:
    """A client of it."""
    return Calls(cluster)


@pytest.mark.parametrize(
    ("name", "asked", "scheme", "chunks", "survived"),
    [
        ("a", None, "5+2", 7, 2),
        ("a", "5+3", "5+3", 8, 3),
        ("logs/a", None, "5+0", 5, 0),
        ("logs/a", "auto", "5+2", 7, 2),
        ("logs/kept/a", None, "5x2", 10, 1),
        ("logs/kept/a", "5+1", "5+1", 6, 1),
    ],
)
def test_the_upload_goes_before_the_rule_before_the_option(
    calls: Calls, name: str, asked: str | None, scheme: str, chunks: int, survived: int
) -> None:
    """And the answer and `explain` say what came of it."""
    answer = calls.put(name, b"content", {"X-Scheme": asked} if asked else {})
    told = answer.json
    assert (told["scheme"], told["chunks_present"], told["losses_survived"]) == (
        scheme,
        chunks,
        survived,
    )
    explained = calls.call("GET", f"/explain/{name}").json
    assert (explained["scheme"], len(explained["chunks"])) == (scheme, chunks)
    assert calls.get(name).body == b"content"


def test_a_scheme_that_there_is_not_is_refused_before_the_body(calls: Calls) -> None:
    """With a sentence, and nothing is stored."""
    answer = calls.put("a", b"content", {"X-Scheme": "5+9"})
    assert (answer.status, answer.json["error"]) == (400, "bad_request")
    assert "X-Scheme: '5+9' is not a scheme" in answer.json["message"]
    assert calls.get("a").status == 404


def test_an_overwrite_may_change_the_scheme(calls: Calls, cluster: ApiCluster) -> None:
    """Its chunks are those of the new version, and the old ones go."""
    calls.put("a", b"old", {"X-Scheme": "5x2"})
    calls.put("a", b"new", {"X-Scheme": "5+0"})
    cluster.clock.run_for(120)
    assert calls.get("a").body == b"new"
    assert len(cluster.chunk_files()) == 5


def test_explain_has_the_reasons_of_the_upload(calls: Calls, cluster: ApiCluster) -> None:
    """They outlive changes of the cluster."""
    calls.put("a", b"content")
    before = calls.call("GET", "/explain/a").json
    assert {chunk["reason"] for chunk in before["chunks"]} == {"among the least filled"}
    [skipped] = before["skipped"]
    assert skipped["reason"] == "filled more than those chosen"
    cluster.kill("node0")
    cluster.clock.run_for(60)
    after = calls.call("GET", "/explain/a").json
    assert [chunk["reason"] for chunk in after["chunks"]] == [
        chunk["reason"] for chunk in before["chunks"]
    ]


def test_a_dry_run_tells_what_the_next_upload_does(calls: Calls) -> None:
    """The same nodes, for a rule's name or a scheme that is asked for; nothing is stored."""
    for number in range(3):  # until as many placements are open as take turns
        calls.put(f"logs/{number}", b"content")
    tried = calls.call("GET", "/explain?size=7&name=logs/x").json
    assert (tried["scheme"], tried["chunks_present"]) == ("5+0", 5)
    taking = {node["node_id"]: node["chunks"] for node in tried["nodes"] if node["chunks"]}
    assert len(calls.call("GET", "/files").json["files"]) == 3
    calls.put("logs/x", b"content")
    chunks = calls.call("GET", "/explain/logs/x").json["chunks"]
    assert {chunk["node_id"]: [chunk["index"]] for chunk in chunks} == taking
    tried = calls.call("GET", "/explain?size=7&scheme=5%2B3").json
    assert (tried["scheme"], tried["losses_survived"]) == ("5+3", 3)


@pytest.mark.parametrize("query", ["", "?size=", "?size=-1", "?size=much", "?size=7&scheme=raid"])
def test_a_dry_run_of_nonsense_is_refused(calls: Calls, query: str) -> None:
    """With a sentence in JSON."""
    answer = calls.call("GET", f"/explain{query}")
    assert (answer.status, answer.json["error"]) == (400, "bad_request")


def test_a_dry_run_of_too_much_says_why(calls: Calls) -> None:
    """As the upload would."""
    answer = calls.call("GET", f"/explain?size={10**17}")
    assert (answer.status, answer.json["error"]) == (503, "too_few_nodes")
    assert "full" in answer.json["message"]


def test_metrics_are_in_the_form_of_prometheus(calls: Calls) -> None:
    """With the name of the store in front."""
    answer = calls.call("GET", "/metrics")
    assert answer.status == 200
    assert answer.header("Content-Type").startswith("text/plain")
    assert b"\ntwisted_store_degraded_reads_total 0.0\n" in answer.body
