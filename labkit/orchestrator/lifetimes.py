"""When labs end without being asked, and what is said before. Pure: the time is a parameter."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from labkit.errors import Conflict
from labkit.store import LabRow, Terms
from labkit.templates import Template

WARNINGS = (15 * 60.0, 5 * 60.0)
"""Seconds before its end at which a lab is warned."""
_MINUTE = 60.0


@dataclass(frozen=True)
class Limits:
    """What an installation allows; 0 is no limit. Ages and idle times hold for templates that name none; `longest` is
    the greatest age to which a learner may extend a lab. `memory` is in bytes."""

    per_learner: int = 0
    labs: int = 0
    memory: int = 0
    age: float = 0.0
    idle: float = 0.0
    longest: float = 0.0


@dataclass(frozen=True)
class Deadline:
    """When a lab is to end, and why."""

    at: float
    why: Literal["age", "idle"]


@dataclass(frozen=True)
class Warn:
    """Tell a lab's people something, once for this `threshold` (a time). `until`: its end is put off to then."""

    threshold: float
    text: str
    until: float | None = None


@dataclass(frozen=True)
class End:
    """End a lab, and say why."""

    kind: str
    text: str


def terms(template: Template, limits: Limits, *, wait: bool) -> Terms:
    """What a new lab of a template needs, and how long it may live."""
    return Terms(
        memory=sum(machine.memory_bytes or 0 for machine in template.machines),
        max_seconds=template.lifetime.max_seconds or limits.age or None,
        idle_seconds=template.lifetime.idle_seconds or limits.idle or None,
        most=limits.per_learner,
        wait=wait,
    )


def deadline(row: LabRow) -> Deadline | None:
    """The lab's end as things are now: by age, or because nobody uses it (not while it is paused)."""
    ends = [Deadline(row.expires, "age")] if row.expires is not None else []
    if row.idle_seconds is not None and row.ready is not None and row.wanted == "running":
        ends.append(Deadline(max(row.used, row.ready) + row.idle_seconds, "idle"))
    return min(ends, key=lambda end: end.at, default=None)


def due(row: LabRow, now: float) -> Warn | End | None:
    """What is to be done about a ready lab's end.

    No lab ends without its last warning: where nobody was there to give it (a computer that slept, a controller that
    was away), it is given late, and the end put off.
    """
    end = deadline(row)
    passed = [end.at - seconds for seconds in WARNINGS if end.at - seconds <= now] if end else []
    if end is None or not passed:
        return None
    threshold, warned = max(passed), -math.inf if row.warned is None else row.warned
    if now >= end.at:
        until = now + WARNINGS[-1]
        late = Warn(now, warning(Deadline(until, end.why), now), until)
        return End(end.why, _because(row, end)) if warned >= threshold else late
    return Warn(threshold, warning(end, now)) if threshold > warned else None


def warning(end: Deadline, now: float) -> str:
    """What is said before an end."""
    left = minutes(end.at - now)
    if end.why == "idle":
        return f"Nobody uses this lab: it will end in {left}, and its machines' disks with it. Any use keeps it."
    return f"This lab will end in {left}, and its machines' disks with it. Extend it if you need longer."


def _because(row: LabRow, end: Deadline) -> str:
    if end.why == "idle":
        return f"it ended by itself: nobody used it for {minutes(row.idle_seconds or 0)}"
    return "it ended by itself: its time was up"


def extended(row: LabRow, seconds: float, longest: float, now: float) -> float:
    """The lab's new end by age, `seconds` later (counted from now at the earliest). `longest` (0: any) bounds its age.

    Raises Conflict where it has no end by age, or may not live longer.
    """
    if row.expires is None:
        raise Conflict(f"lab {row.id} has no set end: there is nothing to extend")
    wanted = max(row.expires, now) + seconds
    if longest and row.ready is not None:
        wanted = min(wanted, row.ready + longest)
    if wanted <= row.expires:
        raise Conflict(f"lab {row.id} cannot be extended: labs live {minutes(longest)} at most here")
    return wanted


def minutes(seconds: float) -> str:
    """A length of time in words: 50 seconds, 5 minutes, 3 hours."""
    for unit, size, least in (("hour", 60 * _MINUTE, 1.95), ("minute", _MINUTE, 1.5)):
        if seconds >= least * size or round(seconds / size, 1) == 1:
            return _count(round(seconds / size), unit)
    return _count(max(round(seconds), 0), "second")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
