"""`make fuzz`: all targets in turn, for as long as one likes."""

import argparse
import sys
import time
import traceback
from collections.abc import Mapping
from random import SystemRandom

from tests.fuzz.fuzzer import Fuzzer, MisbehaviourError
from tests.fuzz.target import Target, all_targets

TURN_SECONDS = 0.5
STEP_EXECUTIONS = 10
PROGRESS_SECONDS = 10.0


class Watch:
    """Says once in a while how far it has come."""

    def __init__(self, fuzzers: dict[str, Fuzzer]) -> None:
        self._fuzzers = fuzzers
        self._began = self._told = time.monotonic()

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return time.monotonic() - self._began

    def look(self) -> None:
        """Tell, if it was not told lately."""
        if time.monotonic() - self._told >= PROGRESS_SECONDS:
            self.tell()

    def tell(self) -> None:
        """Print a line."""
        self._told = time.monotonic()
        executions = sum(fuzzer.executions for fuzzer in self._fuzzers.values())
        outcomes = ", ".join(
            f"{len(fuzzer.outcomes)} of {name}" for name, fuzzer in self._fuzzers.items()
        )
        rate = executions / self.seconds
        print(
            f"{self.seconds:.0f} s: {executions} executions, {rate:.0f}/s, outcomes: {outcomes}",
            flush=True,
        )


def fuzz(targets: Mapping[str, Target], seconds: float, seed: int) -> None:
    """Go on for ``seconds``; raise `MisbehaviourError` at the first input that is done wrong."""
    fuzzers = {name: Fuzzer(name, target, seed) for name, target in targets.items()}
    watch = Watch(fuzzers)
    while watch.seconds < seconds:
        for fuzzer in fuzzers.values():
            end = watch.seconds + min(TURN_SECONDS, seconds / len(fuzzers))
            while watch.seconds < min(end, seconds):
                fuzzer.run(STEP_EXECUTIONS)
            watch.look()
    watch.tell()


def main(arguments: list[str], targets: Mapping[str, Target]) -> int:
    """The status to exit with: 1 when a target misbehaved."""
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=SystemRandom().getrandbits(32))
    options = parser.parse_args(arguments)
    print(f"seed {options.seed}", flush=True)
    try:
        fuzz(targets, options.seconds, options.seed)
    except MisbehaviourError as error:
        traceback.print_exception(error, file=sys.stdout)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], all_targets()))
