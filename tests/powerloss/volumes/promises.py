"""What a chunk store may show of each chunk, at any moment of a history."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from twisted_store.core.ids import ChunkId
from twisted_store.simulation.recording import Event
from twisted_store.storage.directory import ChunkState

State = ChunkState | None
"""None for a chunk that is not there."""

Targets = Sequence[tuple[ChunkId, State]]
"""Chunks, and what becomes of them."""

PROVISIONAL, DEAD, QUARANTINED = ChunkState.PROVISIONAL, ChunkState.DEAD, ChunkState.QUARANTINED


@dataclass(frozen=True, slots=True)
class Began:
    """Somebody asked for this; until it is acknowledged it may be done or not."""

    targets: Targets


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """It is done; with ``synced`` it, and all before, survives a power loss."""

    targets: Targets
    synced: bool


@dataclass(frozen=True, slots=True)
class Settled:
    """All that was acknowledged is synced: so much time went by, and nothing failed."""


@dataclass(frozen=True, slots=True)
class Rotted:
    """The disk will give back other bytes of this chunk than it took."""

    chunk_id: ChunkId


@dataclass(frozen=True, slots=True)
class Started:
    """A store was started, after a kill or a power loss, and shows this."""

    found: Mapping[ChunkId, ChunkState]


@dataclass
class Promises:
    """
    What may be seen after a kill, and what after a power loss; all other chunks are not there.

    ``now`` is what the store shows. Of ``rotted`` chunks it may find the damage at any time.
    """

    now: dict[ChunkId, State] = field(default_factory=dict)
    after_kill: dict[ChunkId, frozenset[State]] = field(default_factory=dict)
    after_loss: dict[ChunkId, frozenset[State]] = field(default_factory=dict)
    rotted: set[ChunkId] = field(default_factory=set)

    def learn(self, event: Event) -> None:
        """Go on by an event."""
        match event.effect:
            case Began(targets):
                self._may_become(targets)
            case Acknowledged(targets, synced):
                self._may_become(targets)
                self.now.update(targets)
                self._is_certain(synced)
            case Settled():
                # What failed is not cut off before something else is written.
                self.after_loss = dict(self.after_kill)
            case Rotted(chunk_id):
                self.rotted.add(chunk_id)
                self._may_become([(chunk_id, self.now.get(chunk_id))])
            case Started(found):
                known = {*self.now, *found}
                self.now = {each: self._gone_or(found.get(each), each) for each in known}
                self._is_certain(synced=True)

    def power_lost(self) -> None:
        """What a power loss left is there: a kill takes no more."""
        self.after_kill = dict(self.after_loss)

    def faults(
        self, found: Mapping[ChunkId, ChunkState], allowed: Mapping[ChunkId, frozenset[State]]
    ) -> Iterable[str]:
        """What of it is not as it may be."""
        for chunk_id in {*found, *allowed}:
            state = found.get(chunk_id)
            expected = allowed.get(chunk_id, frozenset({None}))
            if state not in expected:
                yield f"{chunk_id} is {_named([state])}, may be {_named(expected)}"

    def _gone_or(self, state: State, chunk_id: ChunkId) -> State:
        """A dead chunk that is not listed is dead."""
        return DEAD if state is None and self.now.get(chunk_id) is DEAD else state

    def _may_become(self, targets: Targets) -> None:
        for chunk_id, state in targets:
            # A put that a power loss tore, with whole batches behind it, looks like damage.
            torn = {QUARANTINED} if state is PROVISIONAL else set()
            for allowed, more in ((self.after_kill, set()), (self.after_loss, torn)):
                before = allowed.get(chunk_id, frozenset({None}))
                allowed[chunk_id] = before | self._states(chunk_id, state) | more

    def _is_certain(self, synced: bool) -> None:
        """Nothing that failed can come back; with ``synced`` nothing else can be lost."""
        self.after_kill = {each: self._states(each, state) for each, state in self.now.items()}
        if synced:
            self.after_loss = dict(self.after_kill)

    def _states(self, chunk_id: ChunkId, state: State) -> frozenset[State]:
        """As what the chunk is seen that was moved to that state."""
        if state is DEAD:
            return frozenset({DEAD, None})
        if chunk_id in self.rotted:
            # Its name may be damaged; and an older index does not know what a later start found.
            return frozenset({*ChunkState, None})
        return frozenset({state})


def _named(states: Iterable[State]) -> str:
    return " or ".join(sorted("gone" if state is None else state.value for state in states))
