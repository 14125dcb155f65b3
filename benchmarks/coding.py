"""What parity costs: `python benchmarks/coding.py`; see docs/decisions/0011."""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

# Run as a file, so its own folder is on the path; the packages are in the one above.
sys.path[0] = str(Path(__file__).parents[1])

from twisted.internet import reactor  # noqa: E402
from twisted.internet.defer import Deferred  # noqa: E402
from twisted.internet.threads import deferToThreadPool  # noqa: E402
from twisted.python.threadpool import ThreadPool  # noqa: E402

from twisted_store.coding import isal  # noqa: E402
from twisted_store.coding.tables import TableCombination  # noqa: E402
from twisted_store.core.scheme import PARITY_ROWS  # noqa: E402

SIZES = (820, 4096, 65536, 262144, 1048576)
MEASURED_SECONDS = 0.2
HOPS = 2000


def cpu_seconds_of(call: Callable[[], object]) -> float:
    """CPU time of one call, over as many as fill a while."""
    call()
    count, began = 0, time.process_time()
    while (spent := time.process_time() - began) < MEASURED_SECONDS:
        call()
        count += 1
    return spent / count


def report_additions() -> None:
    """One source added to the sums of 1 to 3 parity chunks."""
    loaded = isal.load()
    makers = {"tables": TableCombination} | ({} if loaded is None else {"ISA-L": loaded})
    for name, combine in makers.items():
        for rows in (1, 2, 3):
            combination = combine(PARITY_ROWS[:rows])
            for size in SIZES:
                source, sums = os.urandom(size), [bytearray(size) for _ in range(rows)]
                seconds = cpu_seconds_of(lambda: combination.add(1, source, sums))  # noqa: B023
                rate = size / seconds / 1e9
                print(f"{name:6} m={rows} {size:8} B {seconds * 1e6:9.1f} us {rate:6.2f} GB/s")


def report_hops() -> None:
    """What it takes to have nothing done in a thread, and to learn of it."""
    loop: Any = reactor
    pool = ThreadPool(1, 2)

    async def hop() -> None:
        began = time.process_time()
        for _ in range(HOPS):
            await deferToThreadPool(loop, pool, int)
        print(f"hop to a thread and back {(time.process_time() - began) / HOPS * 1e6:.1f} us")

    def start() -> None:
        pool.start()
        Deferred.fromCoroutine(hop()).addBoth(stop)

    def stop(_: object) -> None:
        pool.stop()
        loop.stop()

    loop.callWhenRunning(start)
    loop.run()


if __name__ == "__main__":
    report_additions()
    report_hops()
