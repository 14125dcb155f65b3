"""A page of the chunks that a node holds."""

from dataclasses import dataclass
from typing import Any, Self

from twisted_store.core.ids import ChunkId


@dataclass(frozen=True, slots=True)
class ChunkList:
    """
    Chunks with the word for the state of each; ``next_after`` is where the next page begins.

    It is None on the last page.
    """

    chunks: tuple[tuple[ChunkId, str], ...]
    next_after: ChunkId | None

    @classmethod
    def parse(cls, answer: dict[str, Any]) -> Self:
        """
        The page in a node's answer.

        Raises KeyError, TypeError or `BadRequestError` when there is none in it.
        """
        chunks = tuple(
            (ChunkId.parse(str(each["chunk"])), str(each["state"])) for each in answer["chunks"]
        )
        after = answer["next"]
        return cls(chunks, None if after is None else ChunkId.parse(str(after)))
