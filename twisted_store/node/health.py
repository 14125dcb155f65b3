"""Whether this node can serve, and what an operator should know."""

from dataclasses import dataclass

from twisted.logger import Logger

from twisted_store.core.ids import ChunkId, object_id
from twisted_store.core.membership import DISK_CALL_SECONDS_MAX
from twisted_store.errors import NodeFailedError, NoSpaceError, StoreError
from twisted_store.storage.store import ChunkStore

CHECK_SECONDS = 5.0
"""From one look at the disk to the next."""

TRIAL_CHUNK = ChunkId(object_id(0, 0, 0), 0)
"""Written and removed again to find out whether a disk that failed works; no upload has this id."""

log = Logger()


@dataclass(frozen=True, slots=True)
class Reason:
    """Something that is not as it should be: a code for programs, a message for people."""

    code: str
    message: str


class NodeHealth:
    """
    What is known of the disk.

    A disk that failed to write or to sync is taken for read-only until a trial succeeds, since no
    other chunks will come that could tell.
    """

    def __init__(self, store: ChunkStore) -> None:
        self._store = store
        self._disk_failure = ""

    @property
    def writable(self) -> bool:
        """Whether the last thing that was written was, and was synced."""
        return not self._problem

    def check_writable(self) -> None:
        """Raise `NodeFailedError` while chunks would only be lost."""
        if self._problem:
            raise NodeFailedError(f"This node takes no chunks now: {self._problem}")

    def disk_failed(self, error: NodeFailedError) -> None:
        """A chunk could not be written."""
        self._disk_failure = error.message

    def objections(self) -> list[Reason]:
        """Why this node cannot serve now; none if it can."""
        found = []
        if not self.writable:
            found.append(Reason("disk_read_only", self._problem))
        oldest_seconds = self._store.oldest_call_seconds
        if oldest_seconds > DISK_CALL_SECONDS_MAX:
            message = f"A disk call takes {oldest_seconds:.0f} s already."
            found.append(Reason("disk_stalled", message))
        return found

    def remarks(self) -> list[Reason]:
        """What limits this node although it serves."""
        found = []
        if self._store.free_bytes <= 0:
            message = "There is no room left above the reserve: no new chunks are taken."
            found.append(Reason("full", message))
        if count := len(self._store.quarantined):
            message = (
                f"{count} damaged {'chunk is' if count == 1 else 'chunks are'} set aside and not "
                "sent any more: look at the disk."
            )
            found.append(Reason("quarantined", message))
        return found

    async def check(self) -> float:
        """Measure the free space and try a disk that failed; the seconds until the next time."""
        await self._store.measure_space()
        if not self.writable:
            await self._try_disk()
        return CHECK_SECONDS

    @property
    def _problem(self) -> str:
        return self._disk_failure or self._store.problem

    async def _try_disk(self) -> None:
        try:
            await self._store.try_disk(TRIAL_CHUNK)
        except NoSpaceError:
            return
        except StoreError as error:
            self._disk_failure = error.message
            log.warn("the disk still fails: {problem}", problem=error.message)
        else:
            self._disk_failure = ""
            log.info("the disk can be written again")
