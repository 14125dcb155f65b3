"""Several calls at once, all or nothing."""

from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, FirstError, gatherResults

T = TypeVar("T")


async def all_of(calls: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """The results in order; the first failure cancels the other calls and is raised as it is."""
    deferreds = [Deferred.fromCoroutine(call) for call in calls]
    try:
        return await gatherResults(deferreds, consumeErrors=True)
    except FirstError as error:
        for deferred in deferreds:
            deferred.cancel()
        error.subFailure.raiseException()
        raise
