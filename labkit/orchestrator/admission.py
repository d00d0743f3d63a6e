"""Who gets room: caps, the queue, reservations. Pure: rows and the time come in, decisions go out.

First come, first served: a lab that does not fit holds up those behind it, so that it is not overtaken for ever. Only
labs of an activity for which room is reserved pass by, into that room. A lab for which the engine had no room holds up
nobody: there may be none for it for a long time.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from labkit.model import Reservation
from labkit.orchestrator.lifetimes import Limits, deadline, minutes
from labkit.store import LabRow

LEAD = 30 * 60.0
"""Seconds before its beginning from which a reservation's room is kept free."""


@dataclass(frozen=True)
class Room:
    """An amount of room: labs, and the bytes of memory that their machines have."""

    labs: int = 0
    memory: int = 0

    def __add__(self, other: Room) -> Room:
        return Room(self.labs + other.labs, self.memory + other.memory)

    def within(self, limits: Limits) -> bool:
        """Whether it is no more than the caps allow."""
        return (not limits.labs or self.labs <= limits.labs) and (not limits.memory or self.memory <= limits.memory)


def waiting(labs: Sequence[LabRow]) -> list[LabRow]:
    """The labs that wait for room, in the order in which they will get it."""
    queue = [row for row in labs if row.admitted is None and row.ended is None and row.wanted != "ended"]
    return sorted(queue, key=lambda row: (row.spare is not None, row.created))


def admit(labs: Sequence[LabRow], reservations: Sequence[Reservation], limits: Limits, now: float) -> list[str]:
    """Of all labs that have not ended, those that wait and have room now."""
    present = [row for row in labs if row.admitted is not None]
    chosen: list[str] = []
    held_up = False
    reserved = {held.activity for held in _current(reservations, now)}
    for row in waiting(labs):
        if row.retry > now or (held_up and row.activity not in reserved):
            continue
        if _fits(row, present, reservations, limits, now):
            present.append(row)
            chosen.append(row.id)
        else:
            held_up = True
    return chosen


def _fits(
    row: LabRow, present: Sequence[LabRow], reservations: Sequence[Reservation], limits: Limits, now: float
) -> bool:
    taken = sum((Room(1, other.memory) for other in present), Room(1, row.memory))
    kept = kept_free(present, reservations, now)
    return sum((room for activity, room in kept.items() if activity != row.activity), taken).within(limits)


def kept_free(present: Sequence[LabRow], reservations: Sequence[Reservation], now: float) -> Mapping[str, Room]:
    """By activity, the reserved room that is not taken yet."""
    kept: dict[str, Room] = {}
    for held in _current(reservations, now):
        kept[held.activity] = kept.get(held.activity, Room()) + Room(held.labs, held.labs * held.memory)
    for row in present:
        if (room := kept.get(row.activity)) is not None:
            kept[row.activity] = Room(max(room.labs - 1, 0), max(room.memory - row.memory, 0))
    return kept


def _current(reservations: Sequence[Reservation], now: float) -> list[Reservation]:
    return [held for held in reservations if held.begins - LEAD <= now and (held.ends is None or now < held.ends)]


def overbooked(new: Reservation, reservations: Sequence[Reservation], limits: Limits) -> str:
    """Why a reservation cannot be kept beside the others, in one sentence; nothing where it can."""
    if not limits.labs and not limits.memory:
        return "no room can be reserved where it has no bound: set LABKIT_MOST_LABS or LABKIT_MOST_MEMORY_MIB first"
    others = [held for held in reservations if held.labs and _overlap(held, new)]
    for moment in [new.begins, *(held.begins for held in others if held.begins > new.begins)]:
        at_once = [held for held in others if held.begins <= moment and (held.ends is None or moment < held.ends)]
        room = sum((Room(held.labs, held.labs * held.memory) for held in (*at_once, new)), Room())
        if not room.within(limits):
            names = ", ".join(f"{held.id} ({held.labs} of {held.activity})" for held in at_once)
            return (
                f"there is not room for so many labs at that time{': reserved already are ' + names if names else ''}"
            )
    return ""


def _overlap(one: Reservation, other: Reservation) -> bool:
    return (one.ends is None or other.begins < one.ends) and (other.ends is None or one.begins < other.ends)


def prospect(
    lab: str, labs: Sequence[LabRow], start_seconds: Sequence[float], now: float
) -> tuple[int | None, float | None]:
    """The place (from 1) of a lab that waits for room, and in how many seconds it is likely to be ready: when as many
    labs have ended, and then as long as starts of its template took. None where too few of those that run have an end.
    """
    queue = [row.id for row in waiting(labs)]
    if lab not in queue:
        return None, None
    place = queue.index(lab) + 1
    running = [row for row in labs if row.admitted is not None]
    ends = sorted(max(end.at - now, 0.0) for row in running if (end := deadline(row)))
    return place, ends[place - 1] + typical(start_seconds) if place <= len(ends) else None


def in_words(place: int, wait: float | None) -> str:
    """What somebody in the queue is told."""
    likely = f"; it is likely to be ready in {minutes(wait)}" if wait is not None else ""
    return f"All room is taken: this lab is number {place} in the queue and starts by itself{likely}"


def typical(start_seconds: Sequence[float]) -> float:
    """How long a start is likely to take; 0 where none was measured yet."""
    return statistics.median(start_seconds) if start_seconds else 0.0
