"""What a controller should do about labs, given what should be and what is. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

HALF_MADE_SECONDS = 60.0
"""A lab for which nothing has worked for as long, and that is not ready, will not become so by itself."""
MOST_AT_ONCE = 10
MOST_SHARE = 0.1
FEW = 2
"""So many may always be retired: on a laptop, one lab is more than a tenth of all."""


class Act(StrEnum):
    """What can be done about a lab."""

    DELETE = "delete"
    """its namespace, which should not be"""
    STOP = "stop"
    """queue the stop that somebody wanted"""
    END = "end"
    """want its end and queue a stop"""
    LOST = "lost"
    """write down that it is gone"""
    WARN = "warn"
    """say late that its time was up, and end it five minutes after"""


@dataclass(frozen=True)
class Desired:
    """What the store says of a lab. `busy`: it has an operation that is not final. Times are UTC seconds."""

    created: float
    ready: bool = False
    ending: bool = False
    ended: bool = False
    busy: bool = False


@dataclass(frozen=True)
class Observed:
    """What the cluster has of a lab: its namespace, which may be on its way out."""

    terminating: bool = False


@dataclass(frozen=True)
class Step:
    """One thing to do. `why` is a sentence; `unasked`: nobody wanted that, so that many of them are suspicious."""

    lab: str
    act: Act
    why: str
    unasked: bool = True


def plan(desired: Mapping[str, Desired], observed: Mapping[str, Observed], now: float) -> list[Step]:
    """What is to be done about these labs; each is judged by itself, so that one can be looked at alone.

    What is desired must have been read after what is observed: a lab's row is written before its namespace. A lab with
    an operation under way is left to that operation.
    """
    steps = (_step(lab, desired.get(lab), observed.get(lab), now) for lab in sorted({*desired, *observed}))
    return [step for step in steps if step is not None]


def _step(lab: str, desired: Desired | None, observed: Observed | None, now: float) -> Step | None:
    if desired is not None and desired.busy:
        return None
    if desired is None or desired.ended:
        why = "the store knows no such lab" if desired is None else "the lab has ended"
        return Step(lab, Act.DELETE, why) if observed is not None and not observed.terminating else None
    if desired.ending:
        return Step(lab, Act.STOP, "its end is wanted", unasked=False)
    if not desired.ready:
        late = now - desired.created > HALF_MADE_SECONDS
        return Step(lab, Act.END, "its start came to no end") if late else None
    return Step(lab, Act.LOST, "it is gone from the cluster") if observed is None else None


def excess(steps: Sequence[Step], labs: int, *, lately: int = 0) -> str:
    """Why steps that nobody asked for are too many at once, in one sentence; "" where they are not.

    `labs` is how many there are, `lately` how many were retired in the minute before.
    """
    number = sum(step.unasked for step in steps)
    share = max(FEW, int(labs * MOST_SHARE))
    if number <= share and number + lately <= MOST_AT_ONCE:
        return ""
    before = f" after {lately} in the last minute" if lately else ""
    return f"{number} of {labs} labs would be retired at once{before}: {_reasons(steps)}"


def _reasons(steps: Iterable[Step]) -> str:
    reasons = [step.why for step in steps if step.unasked]
    return ", ".join(f"{why} ({reasons.count(why)})" for why in dict.fromkeys(reasons))
