"""Bytes in pieces, as a network may deliver them."""

from random import Random

CUTS_MAX = 8


def pieces_of(raw: bytes) -> list[bytes]:
    """
    The bytes cut at a few places of chance, or everywhere when there are few bytes.

    The same bytes are always cut at the same places, so that an input alone says what happened.
    """
    random = Random(raw)
    if len(raw) < 500 and random.random() < 0.2:
        return [raw[at : at + 1] for at in range(len(raw))]
    cuts = sorted(random.randint(0, len(raw)) for _ in range(random.randint(1, CUTS_MAX)))
    return [raw[start:end] for start, end in zip([0, *cuts], [*cuts, len(raw)], strict=True)]
