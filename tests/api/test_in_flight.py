"""Uploads under way: each has an id, and nobody drops its chunks."""

from random import Random

from twisted_store.api.in_flight import InFlight
from twisted_store.core.ids import incarnation_of, parse_object_id


def test_an_upload_is_in_flight_until_it_ends() -> None:
    """Ending it again changes nothing."""
    in_flight = InFlight(3, Random(1))
    first, second = in_flight.begin(), in_flight.begin()
    assert in_flight.snapshot() == {first, second}
    in_flight.end(first)
    in_flight.end(first)
    assert in_flight.snapshot() == {second}


def test_a_snapshot_stays_as_it_was() -> None:
    """It is compared with what the catalog says later."""
    in_flight = InFlight(3, Random(1))
    begun = in_flight.begin()
    snapshot = in_flight.snapshot()
    in_flight.end(begun)
    assert snapshot == {begun}


def test_ids_grow_and_name_the_life_of_the_api() -> None:
    """So that a node can tell which of two is the later one."""
    in_flight = InFlight(3, Random(1))
    ids = [in_flight.begin() for _ in range(300)]
    assert ids == sorted(ids)
    assert {incarnation_of(parse_object_id(each)) for each in ids} == {3}


def test_two_lives_of_one_incarnation_do_not_give_the_same_ids() -> None:
    """A catalog restored from a copy counts from where the copy was; the random part differs."""
    assert InFlight(3, Random(1)).begin() != InFlight(3, Random(2)).begin()


def test_an_object_that_is_moved_is_in_flight_until_all_that_hold_it_end() -> None:
    """A move may begin while its upload has still to say that it is committed."""
    in_flight = InFlight(3, Random(1))
    begun = in_flight.begin()
    in_flight.hold(begun)
    in_flight.end(begun)
    assert in_flight.snapshot() == {begun}
    in_flight.end(begun)
    assert in_flight.snapshot() == frozenset()
    in_flight.hold(begun)
    assert in_flight.snapshot() == {begun}
    in_flight.end(begun)
    assert in_flight.snapshot() == frozenset()
