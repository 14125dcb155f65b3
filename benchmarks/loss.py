"""`make loss`: how likely files are lost, by scheme, as the tables of docs/redundancy.md."""

import argparse
import sys
from collections.abc import Iterable, Iterator, Sequence
from math import floor, log10
from pathlib import Path

# Run as a file, so its own folder is on the path; the packages are in the one above.
sys.path[0] = str(Path(__file__).parents[1])

from benchmarks.copysets import open_at_once, part_within, used_combinations  # noqa: E402
from benchmarks.risk import (  # noqa: E402
    lost_at_once,
    lost_in_a_year,
    readable,
    some_lost_at_once,
    zones_to_lose_one,
)
from twisted_store.core.redundancy import losses_to_survive  # noqa: E402
from twisted_store.core.scheme import Scheme  # noqa: E402
from twisted_store.core.striping import DATA_CHUNKS  # noqa: E402

NODES = 10
ANNUAL_FAILURE_RATE = 0.04
NODE_UP = 0.99
REPAIRS_HOURS = {"1 hour": 1.0, "24 hours": 24.0, "7 days": 168.0, "never": None}
GROWING_NODES = (8, 10, 20, 50, 100)
LOSING_NODES = (10, 20, 50, 100)

MUCH = 0.01
"""Probabilities from here on are shown in percent, smaller ones as odds."""

CERTAIN = 0.9999
"""How much more likely than this a loss is makes no difference."""

ODDS_MAX = 10**9
"""Beyond them, what the model leaves out is likelier by far than what it computes."""


def tables(nodes: int, annual_failure_rate: float) -> Iterator[list[str]]:
    """All tables, in the order of the page."""
    yield scheme_table()
    yield year_table(nodes, annual_failure_rate)
    yield growth_table(annual_failure_rate)
    yield at_once_table()


def scheme_table() -> list[str]:
    """What each scheme survives, takes and needs."""
    head = (
        "scheme",
        "survives any",
        "bytes stored per byte",
        "nodes: needed / advised",
        "a PUT needs",
        "zones to survive one",
        f"readable, nodes {100 * NODE_UP:.0f} % up",
    )
    return _table(
        head,
        (
            (
                f"`{scheme}`",
                f"{scheme.losses} nodes" if scheme.losses != 1 else "1 node",
                f"{scheme.overhead:.1f}",
                f"{scheme.nodes} / {scheme.nodes + 1}",
                f"{_chunks_needed(scheme)} of {scheme.width} chunks",
                str(zones_to_lose_one(scheme) or "-"),
                _percent(readable(scheme, NODE_UP)),
            )
            for scheme in Scheme
        ),
    )


def year_table(nodes: int, annual_failure_rate: float) -> list[str]:
    """Any file lost in a year, by scheme and time of repair."""
    return _table(
        (f"{nodes} nodes, repaired after", *REPAIRS_HOURS),
        (
            (
                f"`{scheme}`",
                *(
                    odds(lost_in_a_year(scheme, nodes, annual_failure_rate, hours))
                    for hours in REPAIRS_HOURS.values()
                ),
            )
            for scheme in Scheme
            if scheme.nodes <= nodes
        ),
    )


def growth_table(annual_failure_rate: float) -> list[str]:
    """Any file lost in a year, by number of nodes, repaired after 24 hours."""
    schemes = [Scheme.PARITY_1, Scheme.COPIES, Scheme.PARITY_2, Scheme.PARITY_3]
    few = Scheme.PARITY_2
    return _table(
        (
            "nodes",
            *(f"`{scheme}`" for scheme in schemes),
            f"`{few}` in 2n/{few.nodes} combinations",
        ),
        (
            (
                str(nodes),
                *(odds(lost_in_a_year(each, nodes, annual_failure_rate, 24)) for each in schemes),
                odds(
                    lost_in_a_year(
                        few, nodes, annual_failure_rate, 24, open_at_once(nodes, few.nodes)
                    )
                ),
            )
            for nodes in GROWING_NODES
        ),
    )


def at_once_table() -> list[str]:
    """Any file lost when one node more than it survives dies, under ``5+2``, by combinations."""
    scheme = Scheme.PARITY_2
    dead = scheme.losses + 1
    head = (
        f"nodes, {dead} dead",
        "part of the files lost",
        f"any, in 2n/{scheme.nodes} combinations",
        "any, in those after filling to half",
    )
    rows = []
    for nodes in LOSING_NODES:
        few = open_at_once(nodes, scheme.nodes)
        used = used_combinations(nodes, scheme.nodes)
        at_best = some_lost_at_once(scheme, nodes, dead, few)
        cells = (
            str(nodes),
            odds(lost_at_once(scheme, nodes, dead)),
            f"{odds(at_best)} ({few})",
            f"{odds(part_within(used, nodes, dead))} ({len(used)})",
        )
        rows.append(cells)
    return _table(head, rows)


def odds(probability: float) -> str:
    """Two digits of it: ``34 %``, or ``1 in 2,400`` where it is small."""
    if probability > CERTAIN:
        return f"over {100 * CERTAIN:.2f} %"
    if probability >= MUCH:
        return _percent(probability)
    if probability * ODDS_MAX < 1:
        return f"under 1 in {ODDS_MAX:,}"
    scale = 10 ** (floor(-log10(probability)) - 1)
    return f"1 in {round(1 / probability / scale) * scale:,}"


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(prog="benchmarks/loss.py", description=__doc__)
    parser.add_argument("--nodes", type=int, default=NODES, metavar="N", help="of the second table")
    parser.add_argument(
        "--annual-failure-rate",
        type=_rate,
        default=ANNUAL_FAILURE_RATE,
        metavar="P",
        help="how likely a node loses its disk within a year (0.04)",
    )
    options = parser.parse_args()
    for table in tables(options.nodes, options.annual_failure_rate):
        print("\n".join(table), end="\n\n")


def _rate(text: str) -> float:
    rate = float(text)
    if not 0 <= rate < 1:
        raise argparse.ArgumentTypeError(f"must be at least 0 and below 1, not {text}")
    return rate


def _chunks_needed(scheme: Scheme) -> int:
    """How many chunks must be safe before a PUT is acknowledged, nodes being there for all."""
    losses = losses_to_survive(scheme, scheme.nodes)
    return scheme.width if scheme is Scheme.COPIES else DATA_CHUNKS + losses


def _percent(probability: float) -> str:
    """So many digits that two tell it from the nearer of nothing and certainty."""
    rest = min(probability, 1 - probability)
    digits = max(0, -floor(log10(rest)) - 1) if rest > 0 else 0
    return f"{100 * probability:.{digits}f} %"


def _table(head: Sequence[str], rows: Iterable[tuple[str, ...]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return [f"| {' | '.join(cells)} |" for cells in lines]


if __name__ == "__main__":
    main()
