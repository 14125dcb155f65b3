"""`make powerloss`: the proof of the volumes, on as many histories as one likes."""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from tests.powerloss.volumes.proof import Proof
from twisted_store.seams import raise_open_files

PROGRESS_HISTORIES = 20

_MEMORY = Path("/dev/shm")


def main(arguments: list[str]) -> int:
    """The status to exit with: 1 when a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.powerloss.volumes", description=__doc__)
    parser.add_argument("--histories", type=int, default=300)
    parser.add_argument("--cuts", type=int, default=40, help="in each life of a history")
    parser.add_argument("--seed", type=int, default=0, help="of the first history")
    options = parser.parse_args(arguments)
    folder = _MEMORY if _MEMORY.is_dir() else None
    raise_open_files()  # stores that were killed leave theirs open
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        proof = Proof(Path(scratch), options.cuts)
        for seed in range(options.seed, options.seed + options.histories):
            proof.run(seed)
            if proof.report.violations or proof.report.histories % PROGRESS_HISTORIES == 0:
                _tell(proof, options.seed)
            if proof.report.violations:
                print("\n".join(proof.report.violations), flush=True)
                return 1
    _tell(proof, options.seed)
    return 0


def _tell(proof: Proof, seed: int) -> None:
    report = proof.report
    print(
        f"volumes: {report.histories} histories from seed {seed} on, {report.images} images, "
        f"{len(report.distinct)} distinct, {len(report.violations)} violations, "
        f"{time.process_time():.0f} s of CPU",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
