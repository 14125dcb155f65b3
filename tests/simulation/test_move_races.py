"""
Moves, struck at every step: each event of the network from the beginning of a move until its nodes
have heard of it is one, and in each the api ends, or a client overwrites or deletes the file.
"""

from collections.abc import Callable
from random import Random

import pytest

from tests.simulation.calls import content_of
from tests.simulation.healing import Patient, patient
from twisted_store.api.service import ApiService
from twisted_store.simulation.setting import API

SIZE = 300_000
OTHER = content_of(SIZE + 7)[7:]

MOVES = ["repair", "drain", "upgrade"]
MOVED_SECONDS = 1.5
"""In so much time a small file is moved, and its nodes were told."""

SAMPLES = 3
"""So many of the steps are tried in the suite, all of them in the full proof."""

Strike = Callable[[Patient], object]


def begin_move(run: Patient, move: str) -> None:
    """Let the file ``a`` be moved; returns when that has begun."""
    run.put("a", SIZE)
    run.pass_time(10)
    if move == "repair":
        run.cluster.kill(run.holders("a")[1])
    elif move == "drain":
        run.drain(run.holders("a")[1])
    else:
        run.cluster.add_node()
    api = run.cluster.services[API]
    assert isinstance(api, ApiService)
    while not [*api.mover.moving]:
        run.pass_time(0.001)


def nodes_for(move: str) -> int:
    """With one to spare, or one that is still to join."""
    return 6 if move == "upgrade" else 8


def steps_of(move: str) -> int:
    """How many events there are until nodes have heard of the move."""
    with patient(nodes_for(move)) as run:
        begin_move(run, move)
        seen = run.at_event(0, lambda: None)
        run.pass_time(MOVED_SECONDS)
        assert run.job()["moved"], "nothing was moved in time"
        return seen()


def strike_at(move: str, step: int, strike: Strike) -> None:
    """Move the file, and strike at that step; afterwards all is well all the same."""
    with patient(nodes_for(move)) as run:
        begin_move(run, move)
        run.at_event(step, lambda: strike(run))
        run.pass_time(60)
        run.cluster.observers.clear()
        run.pass_time(30)
        run.heal()
        survived = {"2": len(run.files)} if run.files else {}
        assert run.survived() == survived
        run.check_reads()
        run.check_chunks()


def restart_api(run: Patient) -> None:
    """As SIGKILL does, and start it again at once."""
    run.cluster.kill(API)
    run.cluster.clock.callLater(0.5, run.cluster.start_api)


def overwrite(run: Patient) -> None:
    """A client stores another file of that name."""
    run.files["a"] = OTHER
    run.calls.begin_put("a", OTHER).addCallback(lambda answer: answer)


def delete(run: Patient) -> None:
    """A client deletes the file."""
    del run.files["a"]
    run.begin("DELETE", "/files/a")


@pytest.mark.parametrize("strike", [restart_api, overwrite, delete])
@pytest.mark.parametrize("move", MOVES)
def test_a_move_may_be_struck_at_every_step(move: str, strike: Strike, full: bool) -> None:
    """No byte is lost, the target is reached, and no chunk is left over or missing."""
    steps = [*range(1, steps_of(move) + 1)]
    chosen = steps if full else Random(f"{move} {strike.__name__}").sample(steps, SAMPLES)
    for step in chosen:
        strike_at(move, step, strike)
