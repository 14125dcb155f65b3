"""What killed processes leave behind in this one."""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from twisted.logger import globalLogPublisher


def bury(dead: list[object]) -> None:
    """
    Forget the dead, whom nothing else refers to, without a word in the log.

    When Python collects a coroutine that waits it runs its ``finally`` blocks, which SIGKILL does
    not. They cannot change anything any more, but they wake others of the dead, which complain.
    What the living have to say is heard: their garbage goes first.
    """
    gc.collect()
    with _silence():
        dead.clear()
        gc.collect()
        gc.collect()  # what those blocks have made


@contextmanager
def _silence() -> Iterator[None]:
    hook, sys.unraisablehook = sys.unraisablehook, _ignore
    log: Any = globalLogPublisher
    observers, log._observers = log._observers, []
    try:
        yield
    finally:
        sys.unraisablehook = hook
        log._observers = observers


def _ignore(_: object) -> None:
    """Tell nobody."""
