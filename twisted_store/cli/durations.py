"""Times as people read them."""

from itertools import pairwise

_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


def format_seconds(seconds: float) -> str:
    """``seconds`` in the largest unit that they fill and the one below it, like 1 min 40 s."""
    whole = round(seconds)
    for (size, unit), (smaller_size, smaller_unit) in pairwise(_UNITS):
        if whole >= size:
            rest = whole % size // smaller_size
            return f"{whole // size} {unit}" + (f" {rest} {smaller_unit}" if rest else "")
    return f"{whole} s"
