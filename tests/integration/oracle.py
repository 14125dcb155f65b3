"""What a file may hold after all that was asked and answered, and what readers may see of it."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from blake3 import blake3

from tests.integration.client import Answer

SOURCE = random.Random(5).randbytes(8 * 1024 * 1024)
STRIDE = 7919
"""A prime, so that each version begins at a place of its own in the source."""

STATUSES_OF_NO_CHANGE = (503,)
"""The one error there is reason for while processes die."""


class ViolationError(AssertionError):
    """The store broke a promise."""


@dataclass(frozen=True)
class Version:
    """Bytes like those of no other number."""

    number: int
    size_bytes: int

    @property
    def content(self) -> bytes:
        """All its bytes."""
        start = self.number * STRIDE % (len(SOURCE) // 2)
        stamp = self.number.to_bytes(8, "little")
        end = start + self.size_bytes
        beyond = SOURCE * -(-max(end - len(SOURCE), 0) // len(SOURCE))
        return (stamp + SOURCE[start:end] + beyond)[: self.size_bytes]

    @cached_property
    def etag(self) -> str:
        """What the store names it by."""
        return blake3(self.content).hexdigest()


States = frozenset[Version | None]
"""What may be there; None is for no file."""

ABSENT: States = frozenset({None})


class File:
    """
    One name, written by one thread at a time, read by any.

    ``possible`` is what the name holds for all its writer knows: one state, or, after a request
    without an answer, the old one or the new one until the next answer tells which.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.possible = ABSENT
        self._visible = [ABSENT]

    def begin(self, new: Version | None) -> None:
        """A request is sent that makes it ``new``; from now on readers may see that."""
        self._visible.append(self.possible | {new})

    def lose_answer(self, new: Version | None) -> None:
        """That request broke off: old or new."""
        self._settle(self.possible | {new})

    def put_answered(self, new: Version, condition: str, answer: Answer) -> None:
        """A PUT has its answer; ``condition`` is a tag to match, ``*`` for a create, or empty."""
        met = frozenset(state for state in self.possible if _is_met(condition, state))
        if answer.status in (200, 201):
            self._require(answer, met & ABSENT if answer.status == 201 else met - ABSENT)
            self._settle(frozenset({new}))
        elif answer.status == 412:
            self._settle(self._require(answer, _tagged(self.possible - met, answer.etag)))
        else:
            self._refused(answer)

    def delete_answered(self, answer: Answer) -> None:
        """A DELETE has its answer."""
        if answer.status == 204:
            self._require(answer, self.possible - ABSENT)
            self._settle(ABSENT)
        elif answer.status == 404:
            self._settle(self._require(answer, self.possible & ABSENT))
        else:
            self._refused(answer)

    def read_by_writer(self, answer: Answer, asked: range | None = None) -> None:
        """A GET, of that range if any, has its answer, which ends all doubt unless it is a 503."""
        if answer.status not in STATUSES_OF_NO_CHANGE:
            self._settle(self._read(answer, asked, self.possible))

    @property
    def moment(self) -> int:
        """For `read_since`."""
        return len(self._visible) - 1

    def read_since(self, moment: int, answer: Answer, asked: range | None = None) -> None:
        """A GET, sent at that moment while the writer went on, has its answer."""
        if answer.status not in STATUSES_OF_NO_CHANGE:
            self._read(answer, asked, frozenset[Version | None]().union(*self._visible[moment:]))

    def listed(self, etag: str) -> None:
        """A listing shows it with that tag; an empty one if it does not show it."""
        shown = _tagged(self.possible, etag)
        if not shown:
            raise ViolationError(f"{self.name} is listed with tag {etag!r}: {self._known()}")
        self._settle(shown)

    def _read(self, answer: Answer, asked: range | None, allowed: States) -> States:
        """Those of ``allowed`` that the answer may come from."""
        part = slice(asked.start, asked.stop) if asked and answer.status == 206 else slice(None)
        match answer.status:
            case 404:
                seen = allowed & ABSENT
            case 416 if asked:
                seen = _select(allowed, lambda each: each.size_bytes <= asked.start)
            case 200 | 206:
                tagged = _tagged(allowed, answer.etag)
                seen = _select(tagged, lambda each: each.content[part] == answer.body)
            case _:
                seen = frozenset()
        return self._require(answer, seen)

    def _refused(self, answer: Answer) -> None:
        """An error changes nothing."""
        if answer.status not in STATUSES_OF_NO_CHANGE or not answer.json()["error"]:
            self._require(answer, frozenset())
        self._settle(self.possible)

    def _settle(self, states: States) -> None:
        self.possible = states
        self._visible.append(states)

    def _require(self, answer: Answer, states: States) -> States:
        if not states:
            raise ViolationError(
                f"{self.name} answers {answer.status} with {len(answer.body)} bytes, "
                f"tag {answer.etag!r}, {answer.body[:200]!r}: {self._known()}"
            )
        return states

    def _known(self) -> str:
        """What is known of it, for a message."""
        states = [f"{each} tagged {each.etag}" if each else "nothing" for each in self.possible]
        return f"all that is known to be possible there is {' or '.join(states)}."


def _select(states: States, fits: Callable[[Version], bool]) -> States:
    """The versions that fit."""
    return frozenset(each for each in states if each is not None and fits(each))


def _tagged(states: States, etag: str) -> States:
    """Those with that tag; no file has an empty one."""
    return frozenset(each for each in states if (each.etag if each else "") == etag)


def _is_met(condition: str, state: Version | None) -> bool:
    """Whether a PUT with this condition may replace this state."""
    if condition in ("", "*"):
        return not condition or state is None
    return state is not None and state.etag == condition
