"""How many spares a reservation is to have: labs without a learner, kept ready. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from labkit.model import Reservation
from labkit.orchestrator.admission import LEAD
from labkit.store import LabRow

REST_SECONDS = 300.0
"""After a spare that could not start, before the next is tried."""


@dataclass(frozen=True)
class Decided:
    """How many spares to make, which to end, and whether the reservation is over."""

    make: int = 0
    end: tuple[str, ...] = ()
    over: bool = False


def decide(reservation: Reservation, spares: Sequence[LabRow], digest: str, now: float) -> Decided:
    """What to do about a reservation's spares (all of them, with those that have ended), given its template's digest.

    They are made from a while before it begins, replaced where the template has changed, and drained when it ends.
    """
    living = [row for row in spares if row.ended is None and row.wanted != "ended"]
    if reservation.ends is not None and reservation.ends <= now:
        return Decided(end=tuple(row.id for row in living), over=True)
    if now < reservation.begins - LEAD:
        return Decided()
    good = [row for row in living if row.digest == digest]
    surplus = good[reservation.spares :]
    outdated = [row for row in living if row.digest != digest]
    failed = any(row.fault and row.ended is not None and now - row.ended < REST_SECONDS for row in spares)
    make = 0 if failed else max(reservation.spares - len(good), 0)
    return Decided(make=make, end=tuple(row.id for row in (*surplus, *outdated)))
