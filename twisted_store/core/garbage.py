"""Which volume to compact: pure."""

from collections.abc import Mapping

GARBAGE_FRACTION = 0.25
"""A volume of which so much is garbage is compacted."""

GARBAGE_FRACTION_PRESSED = 0.05
"""The same when a node has little room left: it counts on getting its garbage back."""

GARBAGE_FRACTION_MIN = 1 / 1024
"""Less garbage than this part of a full volume is left alone: there is always some."""

SMALL_VOLUMES_MAX = 8
"""More sealed volumes than this that are small are compacted into one."""

SMALL_FRACTION = 1 / 16
"""A volume is small that has only so much of the size at which one is full."""


def volume_to_compact(
    sizes: Mapping[int, int],
    live_bytes: Mapping[int, int],
    active: int | None,
    full_bytes: int,
    *,
    pressed: bool = False,
) -> int | None:
    """
    The volume that gives back most for what must be rewritten, or None.

    ``sizes`` and ``live_bytes``, by volume: all bytes, and those still needed. The ``active``
    volume counts as the others do, but is not merged for being small. ``pressed`` says that there
    is little room left.
    """
    fraction = GARBAGE_FRACTION_PRESSED if pressed else GARBAGE_FRACTION
    garbage = {number: size - live_bytes.get(number, 0) for number, size in sizes.items()}
    wanted = [
        number
        for number, size in sizes.items()
        if garbage[number] >= max(GARBAGE_FRACTION_MIN * full_bytes, fraction * size)
    ]
    if wanted:
        return max(wanted, key=lambda number: garbage[number] / sizes[number])
    small = [
        number
        for number, size in sizes.items()
        if number != active and size < SMALL_FRACTION * full_bytes
    ]
    return min(small) if len(small) > SMALL_VOLUMES_MAX else None
