"""Which uploads are under way: their chunks belong to no row yet and must not be dropped."""

from random import Random

from twisted_store.core.ids import SALT_BITS, ObjectId, object_id


class InFlight:
    """Gives each upload its object id and remembers it until its commit is decided."""

    def __init__(self, incarnation: int, random: Random) -> None:
        self.incarnation = incarnation
        self._random = random
        self._sequence = 0
        self._object_ids: set[ObjectId] = set()

    def begin(self) -> ObjectId:
        """A new object id, in flight from now on."""
        self._sequence += 1
        begun = object_id(self.incarnation, self._sequence, self._random.getrandbits(SALT_BITS))
        self._object_ids.add(begun)
        return begun

    def end(self, begun: ObjectId) -> None:
        """The upload failed, or its commit is decided."""
        self._object_ids.discard(begun)

    def snapshot(self) -> frozenset[ObjectId]:
        """Those in flight now; take it *before* reading the catalog, or a commit slips between."""
        return frozenset(self._object_ids)
