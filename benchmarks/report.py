"""What was measured as tables of medians, and the ratios at the end."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from statistics import median

from benchmarks.measure import OPERATIONS, Phase
from benchmarks.systems import NGINX, RELAY, STORE
from benchmarks.workloads import GIB, MIB, Workload

RELAY_BARS = {("large", "PUT"): 1.6, ("large", "GET"): 1.5}
"""How many times the CPU of the relay the store may take."""

Read = Callable[[Phase], float | None]


def tables(phases: Sequence[Phase], workloads: Sequence[Workload]) -> Iterator[str]:
    """A table of each workload, line by line."""
    for workload in workloads:
        columns = _columns(workload)
        rows = [("", "", *columns)]
        for operation, system, chosen in _groups(phases, workload):
            cells = (_cell(chosen, read) for read in columns.values())
            rows.append((operation, system, *cells))
        yield from ("", str(workload), *_aligned(rows))


def ratios(phases: Sequence[Phase], workloads: Sequence[Workload]) -> Iterator[str]:
    """CPU time of the store's servers over that of the others', line by line."""
    rows: list[tuple[str, ...]] = [("", "", "store/relay", "bar", "store/nginx")]
    for workload in workloads:
        cpu = {
            (operation, system): median(each.servers_cpu_seconds for each in chosen)
            for operation, system, chosen in _groups(phases, workload)
        }
        for operation in OPERATIONS:
            ours, relay, nginx = (cpu.get((operation, each)) for each in (STORE, RELAY, NGINX))
            bar = RELAY_BARS.get((workload.name, operation))
            cells = (_ratio(ours, relay), _shown(bar), _ratio(ours, nginx))
            rows.append((workload.name, operation, *cells))
    yield from ("", "CPU time of all server processes, ratio of the medians", *_aligned(rows))


def errors(phases: Sequence[Phase]) -> Iterator[str]:
    """All that went wrong, the warm-up included, line by line."""
    counted = Counter[tuple[str, ...]]()
    for each in phases:
        for error, count in each.errors.items():
            counted[each.workload, each.operation, each.system, error] += count
    for (*where, error), count in counted.items():
        yield f"ERRORS {' '.join(where)}: {count} times {error}"


def _columns(workload: Workload) -> dict[str, Read]:
    if workload.small:
        amount, rate, scale, cost = float(workload.files), "op/s", 1e6, "us/op"
    else:
        amount, rate, scale, cost = (
            workload.files * workload.size_bytes / GIB,
            "GiB/s",
            1.0,
            "s/GiB",
        )
    return {
        rate: lambda phase: amount / phase.seconds,
        "p50 ms": lambda phase: phase.p50_seconds and phase.p50_seconds * 1000,
        "p99 ms": lambda phase: phase.p99_seconds and phase.p99_seconds * 1000,
        f"front {cost}": lambda phase: phase.front_cpu_seconds / amount * scale,
        f"behind {cost}": lambda phase: phase.behind_cpu_seconds / amount * scale,
        f"servers {cost}": lambda phase: phase.servers_cpu_seconds / amount * scale,
        f"client {cost}": lambda phase: phase.client_cpu_seconds / amount * scale,
        "front peak MiB": lambda phase: phase.front_peak_bytes / MIB,
    }


def _groups(phases: Sequence[Phase], workload: Workload) -> Iterator[tuple[str, str, list[Phase]]]:
    """Operation, system, and the phases of both that count, where there are any."""
    for operation in OPERATIONS:
        for system in (STORE, RELAY, NGINX):
            key = (workload.name, operation, system)
            chosen = [each for each in phases if each.repetition and each.key == key]
            if chosen:
                yield operation, system, chosen


def _cell(phases: Sequence[Phase], read: Read) -> str:
    values = [read(each) for each in phases]
    known = [value for value in values if value is not None]
    return _shown(median(known) if known else None)


def _ratio(ours: float | None, theirs: float | None) -> str:
    return _shown(ours / theirs if ours is not None and theirs else None)


def _shown(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.2f}" if abs(value) < 10 else f"{value:.0f}"


def _aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for first, *cells in rows:
        right = (cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True))
        yield "  ".join([first.ljust(widths[0]), *right])
