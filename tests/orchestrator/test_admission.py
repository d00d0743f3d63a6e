"""Who gets room: caps, the queue, reservations."""

from __future__ import annotations

import pytest

from labkit.model import Reservation
from labkit.orchestrator.admission import LEAD, admit, overbooked, prospect
from labkit.orchestrator.lifetimes import Limits
from labkit.orchestrator.spares import decide
from labkit.store import LabRow
from tests.orchestrator.rows import GIB, lab, reservation, waits

THREE = Limits(labs=3)


@pytest.mark.parametrize(
    ("labs", "limits", "admitted"),
    [
        ([waits("x", 1), waits("y", 2)], Limits(), ["x", "y"]),
        ([lab("a"), lab("b"), waits("y", 2), waits("x", 1)], THREE, ["x"]),
        ([lab("a"), lab("b"), lab("c"), waits("x", 1)], THREE, []),
        ([lab("a"), waits("x", 1, memory=2 * GIB)], Limits(memory=3 * GIB), ["x"]),
        ([lab("a"), waits("x", 1, memory=3 * GIB), waits("y", 2)], Limits(memory=3 * GIB), []),
        ([waits("x", 1, retry=2000.0), waits("y", 2)], THREE, ["y"]),
        ([waits("x", 1, wanted="ended"), waits("y", 2)], Limits(labs=1), ["y"]),
        ([waits("s", 1, spare="r1"), waits("y", 2)], Limits(labs=1), ["y"]),
    ],
    ids=["no caps", "in order", "full", "memory fits", "none overtakes", "engine full", "leaving", "spares last"],
)
def test_room_is_given_in_order_within_the_caps(labs: list[LabRow], limits: Limits, admitted: list[str]) -> None:
    assert admit(labs, [], limits, now=1000.0) == admitted


def test_reserved_room_is_kept_for_its_activity_which_passes_the_queue() -> None:
    labs = [lab("a"), waits("x", 1), waits("y", 2, activity="exam")]
    assert admit(labs, [reservation()], THREE, now=1000.0) == ["y"]


@pytest.mark.parametrize(("now", "admitted"), [(4000 - LEAD, []), (3999 - LEAD, ["x"]), (5000, ["x"]), (4500, [])])
def test_a_reservation_holds_from_half_an_hour_before_it_begins_until_it_ends(now: float, admitted: list[str]) -> None:
    held = reservation(begins=4000.0, ends=5000.0)
    assert admit([lab("a"), waits("x", 1)], [held], THREE, now) == admitted


def test_labs_of_the_activity_take_up_its_reserved_room() -> None:
    labs = [lab("a", activity="exam"), lab("b", activity="exam"), waits("x", 1)]
    assert admit(labs, [reservation()], THREE, now=1000.0) == ["x"]


@pytest.mark.parametrize(
    ("new", "others", "why"),
    [
        (reservation(labs=3), [], ""),
        (reservation(labs=4), [], "not room for so many labs"),
        (reservation(labs=2), [reservation("b")], "reserved already are r1 (2 of b)"),
        (reservation(labs=2), [reservation("b", begins=10_000.0, ends=None)], ""),
        (reservation(labs=1), [reservation("b"), reservation("c", labs=1)], "reserved already"),
    ],
)
def test_no_more_is_reserved_at_any_moment_than_there_is(new: Reservation, others: list[Reservation], why: str) -> None:
    found = overbooked(new, others, THREE)
    assert why in found
    assert bool(found) == bool(why)


def test_room_without_a_bound_cannot_be_reserved() -> None:
    assert "LABKIT_MOST_LABS" in overbooked(reservation(), [], Limits())


def test_the_queue_tells_a_place_and_an_estimate_from_ends_and_measured_starts() -> None:
    labs = [lab("a", expires=400.0), lab("b", expires=300.0), lab("c"), *(waits(name, 1.0) for name in "xyz")]
    assert prospect("x", labs, [10.0, 20.0, 90.0], now=200.0) == (1, 120.0)
    assert prospect("y", labs, [], now=200.0) == (2, 200.0)
    assert prospect("z", labs, [], now=200.0) == (3, None)
    assert prospect("a", labs, [], now=200.0) == (None, None)


READY = [lab("a", spare="r1"), lab("b", spare="r1")]


@pytest.mark.parametrize(
    ("held", "spares", "now", "make", "end"),
    [
        (reservation(spares=3), READY, 100.0, 1, ()),
        (reservation(spares=1), READY, 100.0, 0, ("b",)),
        (reservation(spares=2), [lab("a", digest="old"), lab("b")], 100.0, 1, ("a",)),
        (reservation(spares=2), READY, 10_000.0, 0, ("a", "b")),
        (reservation(spares=2, begins=5000.0), [], 100.0, 0, ()),
        (reservation(spares=2, begins=5000.0), [], 5000 - LEAD, 2, ()),
        (reservation(spares=2), [lab("a", fault="no image", ended=50.0)], 100.0, 0, ()),
        (reservation(spares=2), [lab("a", fault="no image", ended=50.0)], 500.0, 2, ()),
    ],
    ids=["refill", "too many", "template changed", "drained", "too early", "ahead of time", "failing", "tried again"],
)
def test_spares_are_refilled_and_drained(
    held: Reservation, spares: list[LabRow], now: float, make: int, end: tuple[str, ...]
) -> None:
    found = decide(held, spares, "d", now)
    assert (found.make, found.end, found.over) == (make, end, now >= 10_000)
