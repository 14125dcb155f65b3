"""Why the chunks of an object are where they are: kept with the object, for whoever asks later."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

from twisted_store.core.ids import NodeId
from twisted_store.errors import FormatError


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a node was chosen or not, and how full it was then, as a fraction of its capacity."""

    node_id: NodeId
    fill: float
    text: str


@dataclass(frozen=True)
class Reasons:
    """
    All nodes that were considered, at the moment when the placement was opened.

    ``changes`` tells, in sentences, what became of it during the upload: nodes that failed, others
    that took their chunks, holes that stayed. Objects without such changes share one value.
    """

    considered: tuple[Reason, ...]
    changes: tuple[str, ...] = ()

    def text_of(self, node_id: NodeId) -> str:
        """The reason for one node, empty where it was not considered."""
        return next((reason.text for reason in self.considered if reason.node_id == node_id), "")

    def changed(self, changes: Iterable[str]) -> Self:
        """The same with more ``changes``; itself if there are none."""
        more = tuple(changes)
        return replace(self, changes=self.changes + more) if more else self

    def with_reason(self, reason: Reason) -> Self:
        """The same with that reason for its node, in place of an older one."""
        others = (each for each in self.considered if each.node_id != reason.node_id)
        return replace(self, considered=(*others, reason))

    @cached_property
    def encoded(self) -> str:
        """JSON: a list of [node, fill, reason], and a list of changes."""
        considered = [[each.node_id, round(each.fill, 6), each.text] for each in self.considered]
        return json.dumps([considered, self.changes], ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def decode(cls, encoded: str) -> Self:
        """Raise `FormatError` unless ``encoded`` is what `encoded` gives."""
        try:
            considered, changes = json.loads(encoded)
            return cls(tuple(Reason(*each) for each in considered), tuple(changes))
        except (ValueError, TypeError) as error:
            raise FormatError(f"Not the reasons of a placement: {error}.") from error


NO_REASONS = Reasons(())
"""Those of an object that nobody decided on here."""
