"""What the controller does as time goes by: warnings, ends, room for those that wait, spares. Thin: it reads, asks
the pure parts (`lifetimes`, `admission`, `spares`), and writes.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
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


def ends(around: Surroundings, now: float) -> list[Ending]:
    """The labs whose time is up. Those whose end draws near are warned."""
    store = around.store
    store.used(last_uses(around.activity))
    found: list[Ending] = []
    for row in store.near_end(now, lifetimes.WARNINGS[0]):
        match lifetimes.due(row, now):
            case End() as end:
                found.append((row, end))
            case Warn() as warn:
                _put_off(around, row, warn)
                store.warn(row.id, warn.threshold, warn.text)
    return found


def end(around: Surroundings, endings: Sequence[Ending]) -> None:
    """Stop labs, and say why."""
    for row, why in endings:
        _log.info("lab %s: %s", row.id, why.text)
        around.store.audit("controller", f"end ({why.kind})", row.id)
        around.store.end(row.id, why.text, kind=why.kind)


def _put_off(around: Surroundings, row: LabRow, warn: Warn) -> None:
    if warn.until is None:
        return
    if row.expires is not None and row.expires < warn.until:
        around.store.set_expiry(row.id, warn.until)
    if row.idle_seconds is not None:
        around.store.used({row.id: warn.until - row.idle_seconds})


def give_room(around: Surroundings, now: float) -> None:
    """Let in whoever waits and fits; tell the others their place."""
    store = around.store
    if not store.somebody_waits():
        return
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
    except (NotFound, Invalid) as error:
        _log.warning("no spares for reservation %s: %s", reservation.id, error)
        return
    decided = spares.decide(reservation, store.spares(reservation.id), template.digest, now)
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
