"""Gives a target one input after another, and keeps those that led to something new."""

import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random

from tests.fuzz.mutation import Mutator
from tests.fuzz.target import Target

CPU_SECONDS_MAX = 5.0
"""No input may keep a target busy for so long: each is small, and takes milliseconds."""

CORPUS_MAX = 1000
"""Inputs that are kept, one for each outcome."""

SHAPE_CHARACTERS_MAX = 100

_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")
_NUMBER = re.compile(r"0x[0-9a-f]+|[0-9a-f]{8,}|[0-9a-f]*[0-9][0-9a-f]*")


class MisbehaviourError(Exception):
    """A target did with ``raw`` what it must not do; the cause says what."""

    def __init__(self, name: str, raw: bytes) -> None:
        super().__init__(f"{name} must not do this with {raw.hex()}")
        self.raw = raw


class TooSlowError(BaseException):
    """An input takes too long; no error of the target's own, so that it is not caught there."""


class Fuzzer:
    """One target under fire: its seed determines all inputs, one after another."""

    def __init__(self, name: str, target: Target, seed: int) -> None:
        self.executions = 0
        self._name = name
        self._target = target
        self._random = Random(f"{name} {seed}")
        self._mutator = Mutator(self._random)
        self._corpus: dict[str, bytes] = {}
        for sample in target.samples:
            self._execute(sample)

    @property
    def outcomes(self) -> list[str]:
        """All that was done with the inputs so far, each once."""
        return list(self._corpus)

    def run(self, executions: int) -> None:
        """Go on for so many inputs; raise `MisbehaviourError` at the first that is done wrong."""
        for _ in range(executions):
            raw = self._mutator.mutate([*self._target.samples, *self._corpus.values()])
            self._execute(self._target.repair(raw) if self._random.random() < 0.5 else raw)

    def _execute(self, raw: bytes) -> None:
        self.executions += 1
        outcome = self._outcome(raw)
        known = self._corpus.get(outcome)
        if known is None and len(self._corpus) < CORPUS_MAX or known and len(raw) < len(known):
            self._corpus[outcome] = raw

    def _outcome(self, raw: bytes) -> str:
        try:
            with limited_time():
                return f"accepted: {self._target.take(raw)}"
        except self._target.errors as error:
            return f"{type(error).__name__}: {shape(str(error))}"
        except (Exception, TooSlowError) as error:
            raise MisbehaviourError(self._name, raw) from error


def shape(message: str) -> str:
    """A message without what differs from input to input: what is quoted, and numbers."""
    plain = _NUMBER.sub("#", _QUOTED.sub("''", message))
    return plain[:SHAPE_CHARACTERS_MAX]


@contextmanager
def limited_time(cpu_seconds: float = CPU_SECONDS_MAX) -> Iterator[None]:
    """Raise `TooSlowError` in what takes longer; other processes of the machine do not count."""
    before = signal.signal(signal.SIGVTALRM, _too_slow)
    signal.setitimer(signal.ITIMER_VIRTUAL, cpu_seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def _too_slow(*_: object) -> None:
    raise TooSlowError
