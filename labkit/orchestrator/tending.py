"""What the controller does as time goes by: warnings, ends, room for those that wait, spares. Thin: it reads, asks
the pure parts (`lifetimes`, `admission`, `spares`), and writes.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from labkit.errors import Invalid, NotFound
from labkit.model import OperationKind, Reservation
from labkit.orchestrator import admission, lifetimes, spares
from labkit.orchestrator.lifetimes import End, Warn
from labkit.orchestrator.waiting import tell_place
from labkit.orchestrator.work import Surroundings
from labkit.store import LabRow

_log = logging.getLogger(__name__)

Ending = tuple[LabRow, End]
_HEARD_SECONDS = 60.0
"""A report of the panes' use that is older is none: the gateway writes one every ten seconds."""


def ends(around: Surroundings, now: float) -> tuple[list[Ending], list[str]]:
    """The labs whose time is up, and those whose time was up before anybody could be warned. Those whose end draws near
    are warned. Nobody's want of use is believed while the gateway does not report."""
    store, heard = around.store, hears(around.activity, now)
    store.used(last_uses(around.activity))
    found: list[Ending] = []
    late: list[str] = []
    for row in store.near_end(now, lifetimes.WARNINGS[0]):
        match lifetimes.due(row if heard else replace(row, idle_seconds=None), now):
            case End() as end:
                found.append((row, end))
            case Warn(until=None) as warn:
                store.warn(row.id, warn.threshold, warn.text)
            case Warn():
                late.append(row.id)
    return found, late


def warn_late(around: Surroundings, lab: str, now: float) -> None:
    """Give a lab the last warning that nobody gave it in time, and put its end off for as long."""
    row = around.store.lab(lab)
    if row is None or row.ready is None or row.wanted == "ended":
        return
    match lifetimes.due(row, now):
        case Warn(until=float() as until) as warn:
            if row.expires is not None and row.expires < until:
                around.store.set_expiry(lab, until)
            if row.idle_seconds is not None:
                around.store.used({lab: until - row.idle_seconds})
            around.store.warn(lab, warn.threshold, warn.text)


def end(around: Surroundings, endings: Sequence[Ending]) -> None:
    """Stop labs, and say why."""
    for row, why in endings:
        _log.info("lab %s: %s", row.id, why.text)
        around.store.audit("controller", f"end ({why.kind})", row.id)
        around.store.end(row.id, why.text, kind=why.kind)


def give_room(around: Surroundings, now: float) -> None:
    """Let in whoever waits and fits; tell the others their place."""
    store = around.store
    for lab in store.admit(partial(admission.admit, limits=around.limits, now=now)):
        _log.info("there is room for lab %s", lab)
        store.queue(lab, OperationKind.START)
    for row in admission.waiting(store.labs()):
        tell_place(store, row.id, now)


def tend_spares(around: Surroundings, now: float) -> None:
    """Make the spares that reservations ask for, and end those that they do not ask for any more."""
    store = around.store
    for reservation in store.reservations():
        if reservation.spares:
            _tend(around, reservation, now)
        elif reservation.ends is not None and reservation.ends < now:
            store.unreserve(reservation.id)


def _tend(around: Surroundings, reservation: Reservation, now: float) -> None:
    store = around.store
    try:
        template = around.templates.load(reservation.template)
        decided = spares.decide(reservation, store.spares(reservation.id), template.digest, now)
        if decided.make:
            around.templates.check(reservation.template)  # keeps this version for as long as they live
    except (NotFound, Invalid) as error:
        _log.warning("no spares for reservation %s: %s", reservation.id, error)
        return
    for lab in decided.end:
        store.want(lab, "ended")
        store.queue(lab, OperationKind.STOP)
    wait = bool(around.limits.labs or around.limits.memory)
    for _ in range(decided.make):
        row = store.begin_spare(
            reservation, lifetimes.terms(template, around.limits, wait=wait), digest=template.digest
        )
        store.queue(row.id, OperationKind.START)
    if decided.over:
        store.unreserve(reservation.id)


def hears(report: Path | None, now: float) -> bool:
    """Whether the gateway reports: else nobody knows who uses a lab."""
    try:
        return report is not None and now - report.stat().st_mtime < _HEARD_SECONDS
    except OSError:
        return False


def last_uses(report: Path | None) -> Mapping[str, float]:
    """What the gateway reports of panes' use: {lab: time}. Nothing where it has not reported (yet)."""
    if report is None or not report.exists():
        return {}
    try:
        found = json.loads(report.read_text())
    except (OSError, ValueError) as error:
        _log.warning("the gateway's report %s cannot be read: %s", report, error)
        return {}
    return {str(lab): float(when) for lab, when in found.items()}
