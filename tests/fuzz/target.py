"""
What is fuzzed: a function that takes any bytes, and what it promises.

A new target is a new file in `tests/fuzz/targets`, which is found there by itself. It has one value
``TARGET``, made of

1. a few valid samples, small and of different kinds: everything else is made of them;
2. a function that takes bytes as whoever sends them would have them taken. It asserts what must
   hold of all that is accepted - encoded again it gives an equal value; cut in pieces
   (`tests.fuzz.cuts`) it gives the same - and returns a few words that say what kind of thing was
   accepted. Inputs with new words, or refused with new ones, are kept and changed further, so they
   should tell cases apart and not be different for each input;
3. the errors that it may raise: no other, and no assertion;
4. if there are checksums, a function that makes them right in bytes that were changed, and leaves
   alone what it cannot make sense of. Without it nothing that was changed gets past the checksums.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pkgutil import iter_modules

from tests.fuzz import targets


def unchanged(raw: bytes) -> bytes:
    """The repair of a form without checksums."""
    return raw


@dataclass(frozen=True)
class Target:
    """One of them; ``take`` and ``repair`` follow from their argument alone."""

    samples: Sequence[bytes]
    take: Callable[[bytes], str]
    errors: tuple[type[Exception], ...]
    repair: Callable[[bytes], bytes] = unchanged


def all_targets() -> dict[str, Target]:
    """By the names of their files."""
    names = sorted(module.name for module in iter_modules(targets.__path__))
    return {name: import_module(f"{targets.__name__}.{name}").TARGET for name in names}
