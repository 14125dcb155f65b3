"""`make memory`: what processes hold while large files come; ends with 1 when a bar is missed."""

import shutil
import sys
import tempfile
from pathlib import Path

# Run as a file, so its own folder is on the path; the packages are in the one above.
sys.path[0] = str(Path(__file__).parents[1])

from benchmarks.connection import Transfer  # noqa: E402
from benchmarks.load import Load  # noqa: E402
from benchmarks.processes import Running, peak_bytes  # noqa: E402
from benchmarks.systems import run_store  # noqa: E402

UPLOADS = 8
UPLOAD_BYTES = 256 * 2**20

API_BYTES_MAX = {"5+0": 150_000_000, "5+2": 180_000_000}
"""By scheme: parity is summed up and queued besides the data."""

NODE_BYTES_MAX = 100_000_000


def upload_all(running: Running) -> list[str]:
    """Send all files at once; what went wrong."""
    transfers = [
        Transfer("PUT", f"large-{number}", number, UPLOAD_BYTES, 0) for number in range(UPLOADS)
    ]
    outcome = Load(transfers).run(running.address, running.dialect, UPLOADS)
    rate = UPLOADS * UPLOAD_BYTES / outcome.seconds / 1e6
    print(f"{UPLOADS} uploads of {UPLOAD_BYTES // 2**20} MiB at once: {rate:.0f} MB/s")
    return list(outcome.errors)


def report(what: str, peaks: list[int], bar: int) -> bool:
    """Print the peaks; whether none is above the bar."""
    figures = ", ".join(f"{peak / 1e6:.0f}" for peak in peaks)
    passed = max(peaks) <= bar
    verdict = "within" if passed else "MISSED"
    print(f"  {what}: {figures} MB at most, {verdict} the bar of {bar / 1e6:.0f} MB", flush=True)
    return passed


def main() -> int:
    """Measure; 1 if a bar is missed or an upload failed."""
    passed = [measure(scheme) for scheme in API_BYTES_MAX]
    return 0 if all(passed) else 1


def measure(scheme: str) -> bool:
    """Whether nothing failed and no bar was missed with that scheme."""
    directory = Path(tempfile.mkdtemp(prefix="memory-"))
    try:
        with run_store("strict", directory, scheme) as running:
            print(f"{scheme}: ", end="")
            errors = upload_all(running)
            print("".join(f"  {error}\n" for error in errors), end="")
            api = report("api", [peak_bytes(running.front)], API_BYTES_MAX[scheme])
            nodes = [peak_bytes([pid]) for pid in running.behind]
            return report("nodes", nodes, NODE_BYTES_MAX) and api and not errors
    finally:
        shutil.rmtree(directory)


if __name__ == "__main__":
    sys.exit(main())
