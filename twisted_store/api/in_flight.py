"""What is under way: its chunks belong to no row yet and must not be dropped."""

from collections import Counter
from random import Random

from twisted_store.core.ids import SALT_BITS, ObjectId, object_id


class InFlight:
    """
    Gives each upload its object id and remembers it until its commit is decided.

    Objects that are being moved are remembered as well.
    """

    def __init__(self, incarnation: int, random: Random) -> None:
        self.incarnation = incarnation
        self._random = random
        self._sequence = 0
        self._object_ids: Counter[ObjectId] = Counter()

    def begin(self) -> ObjectId:
        """A new object id, in flight from now on."""
        self._sequence += 1
        begun = object_id(self.incarnation, self._sequence, self._random.getrandbits(SALT_BITS))
        self.hold(begun)
        return begun

    def hold(self, object_id: ObjectId) -> None:
        """Chunks of the object are being made, until `end` is called for it once more."""
        self._object_ids[object_id] += 1

    def end(self, begun: ObjectId) -> None:
        """The upload or the move failed, or its commit is decided."""
        self._object_ids[begun] -= 1
        if self._object_ids[begun] <= 0:
            del self._object_ids[begun]

    def snapshot(self) -> frozenset[ObjectId]:
        """Those in flight now; take it *before* reading the catalog, or a commit slips between."""
        return frozenset(self._object_ids)
