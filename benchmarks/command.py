"""The command line of the benchmarks."""

import argparse
import json
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks.conditions import conditions
from benchmarks.measure import Phase, measure_turn
from benchmarks.nginx import HOW_TO_INSTALL, nginx_path
from benchmarks.report import errors, ratios, tables
from benchmarks.systems import NGINX, System, systems
from benchmarks.workloads import FULL, QUICK, Workload

DATA = Path(__file__).with_name(".data")
WORKLOAD_NAMES = [workload.name for workload in FULL]
SYSTEM_NAMES = list(systems("strict"))


def main() -> int:
    """Measure and report; 1 if anything went wrong or nothing was measured."""
    # On the way out the servers are stopped, so SIGTERM has to take that way, too.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    options = _parser().parse_args()
    workloads = [
        each
        for each in (QUICK if options.quick else FULL)
        if each.name in _chosen(options.only, WORKLOAD_NAMES)
    ]
    found = conditions(options.durability)
    print("; ".join(f"{name} {value}" for name, value in found.items()), flush=True)
    repetitions = options.repetitions or (1 if options.quick else 3)
    options.data.mkdir(parents=True, exist_ok=True)
    phases = list(_measured(repetitions, workloads, _compared(options), options.data))
    _print_lines(tables(phases, workloads), ratios(phases, workloads), errors(phases))
    if options.json:
        run = {"conditions": found, "phases": [asdict(phase) for phase in phases]}
        options.json.write_text(json.dumps(run, indent=1) + "\n")
    return 1 if not phases or any(phase.errors for phase in phases) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="benchmarks/run.py",
        description="Measure the store beside a minimal relay in Twisted and nginx.",
    )
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that it runs")
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="NAME",
        choices=WORKLOAD_NAMES + SYSTEM_NAMES,
        help=f"only {', '.join(WORKLOAD_NAMES + SYSTEM_NAMES)}; may be given several times",
    )
    parser.add_argument(
        "--repetitions", type=int, metavar="N", help="after the warm-up: 3, with --quick 1"
    )
    parser.add_argument(
        "--durability", default="strict", choices=["strict", "relaxed", "none"], help="of the store"
    )
    parser.add_argument(
        "--data", type=Path, default=DATA, metavar="DIR", help="the servers write below it"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every single figure there")
    return parser


def _chosen(only: Sequence[str], names: Sequence[str]) -> Sequence[str]:
    """Those of the names that were asked for, or all if none of them was."""
    return [name for name in names if name in only] or names


def _compared(options: argparse.Namespace) -> dict[str, System]:
    every = systems(options.durability)
    compared = {name: every[name] for name in _chosen(options.only, SYSTEM_NAMES)}
    if NGINX in compared and nginx_path() is None:
        print(HOW_TO_INSTALL, file=sys.stderr)
        del compared[NGINX]
    return compared


def _measured(
    repetitions: int, workloads: Sequence[Workload], compared: Mapping[str, System], scratch: Path
) -> Iterator[Phase]:
    """All phases; the systems take turns, first a warm-up turn each."""
    for repetition in range(repetitions + 1):
        stage = f"{repetition} of {repetitions}" if repetition else "warm-up"
        for workload in workloads:
            for name, start in compared.items():
                for phase in measure_turn(repetition, workload, name, start, scratch):
                    print(f"{stage}: {_summary(phase)}", file=sys.stderr)
                    yield phase


def _summary(phase: Phase) -> str:
    failed = f", {sum(phase.errors.values())} ERRORS" if phase.errors else ""
    servers = f"{phase.servers_cpu_seconds:.2f} s of CPU in the servers"
    return f"{' '.join(phase.key)}: {phase.seconds:.2f} s, {servers}{failed}"


def _print_lines(*parts: Iterator[str]) -> None:
    for part in parts:
        for line in part:
            print(line)
