"""Tests of `benchmarks.loss`: the page has the figures of the model."""

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.copysets import open_at_once, part_within, used_combinations
from benchmarks.loss import ANNUAL_FAILURE_RATE, NODES, odds, scheme_table, tables
from twisted_store.core.ids import NodeId

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "redundancy.md"


def tables_of(text: str) -> list[list[str]]:
    """Each run of lines that are rows of a table."""
    runs: list[list[str]] = [[]]
    for line in text.splitlines():
        if line.startswith("|"):
            runs[-1].append(line)
        elif runs[-1]:
            runs.append([])
    return [run for run in runs if run]


def test_the_page_has_the_tables_of_the_model() -> None:
    """Figure by figure, and in the same order; other tables may stand between them."""
    computed = list(tables(NODES, ANNUAL_FAILURE_RATE))
    assert [table for table in tables_of(PAGE.read_text()) if table in computed] == computed


def test_the_command_prints_the_tables() -> None:
    """What stands on the page is what `make loss` prints; the second is for the nodes asked for."""
    command = [sys.executable, str(ROOT / "benchmarks" / "loss.py"), "--nodes", "7"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert tables_of(done.stdout) == list(tables(7, ANNUAL_FAILURE_RATE))


@pytest.mark.parametrize("rate", ["4", "1", "-0.01", "nan"])
def test_the_command_refuses_a_rate_that_is_none(rate: str) -> None:
    """Who gives percent is told so, and sees no traceback."""
    path = str(ROOT / "benchmarks" / "loss.py")
    command = [sys.executable, path, f"--annual-failure-rate={rate}"]
    refused = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert refused.returncode == 2
    assert refused.stderr.endswith(f"at least 0 and below 1, not {rate}\n")


def test_a_scheme_is_not_promised_to_a_cluster_too_small_for_it() -> None:
    """Seven nodes cannot keep `5+3` apart, so its row is left out."""
    of_year = list(tables(7, ANNUAL_FAILURE_RATE))[1]
    assert [row.split("`")[1] for row in of_year[2:]] == ["5+0", "5+1", "5+2", "5x2"]


def test_what_the_schemes_need_and_survive() -> None:
    """The promises themselves, written by hand: losses, bytes, nodes, chunks of a PUT, zones."""
    rows = [[cell.strip() for cell in row.strip("|").split(" | ")] for row in scheme_table()[2:]]
    assert [row[:6] for row in rows] == [
        ["`5+0`", "0 nodes", "1.0", "5 / 6", "5 of 5 chunks", "-"],
        ["`5+1`", "1 node", "1.2", "6 / 7", "6 of 6 chunks", "6"],
        ["`5+2`", "2 nodes", "1.4", "7 / 8", "6 of 7 chunks", "4"],
        ["`5+3`", "3 nodes", "1.6", "8 / 9", "6 of 8 chunks", "3"],
        ["`5x2`", "1 node", "2.0", "5 / 6", "10 of 10 chunks", "5"],
    ]


@pytest.mark.parametrize(
    ("probability", "text"),
    [
        (1.0, "over 99.99 %"),
        (0.99999, "over 99.99 %"),
        (0.9995, "99.950 %"),
        (0.998, "99.80 %"),
        (0.5, "50 %"),
        (0.05, "5.0 %"),
        (0.0099, "1 in 100"),
        (1 / 2449, "1 in 2,400"),
        (1 / 5_500_000, "1 in 5,500,000"),
        (1e-10, "under 1 in 1,000,000,000"),
        (0.0, "under 1 in 1,000,000,000"),
    ],
)
def test_probabilities_as_people_read_them(probability: float, text: str) -> None:
    """Two digits, whichever side the small part is on."""
    assert odds(probability) == text


def test_combinations_of_a_cluster_that_fills_up() -> None:
    """At least those open at once, at most all there are."""
    assert open_at_once(10, 7) == 2
    assert len(used_combinations(7, 7)) == open_at_once(5, 7) == 1
    assert open_at_once(8, 7) <= len(used_combinations(8, 7)) <= 8


def test_the_part_of_sets_within_combinations() -> None:
    """Three pairs in each of two combinations of three nodes, one of them in both."""
    nodes = [NodeId(name) for name in "abcd"]
    assert part_within([frozenset(nodes[:3]), frozenset(nodes[1:])], 4, 2) == 5 / 6
