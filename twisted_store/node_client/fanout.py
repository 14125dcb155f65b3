"""Several calls at once, all or nothing."""

from collections.abc import Coroutine, Iterable, Sequence
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, FirstError, gatherResults

T = TypeVar("T")


async def all_of(calls: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """The results in order; the first failure cancels the other calls and is raised as it is."""
    return await all_done([Deferred.fromCoroutine(call) for call in calls])


async def all_done(deferreds: "Sequence[Deferred[T]]") -> list[T]:
    """The same of calls that were made already."""
    try:
        return await gatherResults(deferreds, consumeErrors=True)
    except FirstError as error:
        for deferred in deferreds:
            deferred.cancel()
        error.subFailure.raiseException()
        raise
