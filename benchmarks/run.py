"""`make bench`: see docs/benchmarks.md."""

import sys
from pathlib import Path

# Run as a file, so its own folder is on the path; the packages are in the one above.
sys.path[0] = str(Path(__file__).parents[1])

from benchmarks.command import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
