"""Brings labs and cluster together, one changed lab at a time. What to do is decided in `plan.py`."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping

from labkit.errors import ClusterError
from labkit.manifests import names
from labkit.model import OperationKind
from labkit.orchestrator import tending
from labkit.orchestrator.observed import Watches
from labkit.orchestrator.plan import HALF_MADE_SECONDS, Act, Desired, Step, excess, plan
from labkit.orchestrator.work import Surroundings
from labkit.store import Hold, LabRow

BEAT_SECONDS = 5.0
_LATELY_SECONDS = 60.0

_log = logging.getLogger(__name__)


class Reconciler:
    """Knows which labs have changed, looks at those, and does what is planned unless it is suspiciously much.

    `alert` is called with the sentence that says why it waits for a person.
    """

    def __init__(self, around: Surroundings, alert: Callable[[str], None]) -> None:
        self._around, self._alert = around, alert
        self.watches = Watches(around.cluster, around.store.installation(), self.touch)
        self._changed: set[str] = set()
        self._again: set[str] = set()
        self._lock = threading.Lock()
        self._next_beat = 0.0
        self._retired: deque[float] = deque()
        self._hold: Hold | None = None
        self._begun = False
        self._acts: Mapping[Act, Callable[[Step], object]] = {
            Act.DELETE: self._delete,
            Act.STOP: lambda step: around.store.queue(step.lab, OperationKind.STOP),
            Act.END: lambda step: around.store.end(step.lab, step.why, kind="half made"),
            Act.LOST: self._lost,
            Act.WARN: lambda step: tending.warn_late(around, step.lab, time.time()),
        }

    def touch(self, lab: str) -> None:
        """Have a lab looked at in the next turn."""
        with self._lock:
            self._changed.add(lab)

    def turn(self) -> None:
        """Look at the labs that have changed; every few seconds, at what time alone has changed."""
        if not self.watches.ready():
            return
        now = time.time()
        if not self._begun:
            self._begun = True
            self._touch_all(self.watches.labs())
            self._touch_all(row.id for row in self._around.store.labs())
        if time.monotonic() >= self._next_beat:
            self._next_beat = time.monotonic() + BEAT_SECONDS
            self._beat(now)
        with self._lock:
            changed, self._changed = self._changed, set()
        if changed:
            self._apply(self._plan(changed, now), now)

    def _touch_all(self, labs: Iterable[str]) -> None:
        for lab in labs:
            self.touch(lab)

    def _beat(self, now: float) -> None:
        store = self._around.store
        self._touch_all({*store.unattended(now - HALF_MADE_SECONDS), *self._again})
        self._again.clear()
        self._hold = store.hold()
        if self._hold is not None and self._hold.approved is not None:
            self._approved(self._hold, now)
        # An end that was announced in time is no surprise, however many there are. One that nobody saw coming may be a
        # clock's or an absence's doing, and a restored store's word is not trusted at all.
        endings, late = tending.ends(self._around, now)
        self._apply([Step(lab, Act.WARN, "its time was up before anybody could be warned") for lab in late], now)
        if self._hold is None:
            tending.end(self._around, endings)
        tending.tend_spares(self._around, now)
        if store.anyone_waits():
            tending.give_room(self._around, now)

    def _plan(self, labs: Iterable[str], now: float) -> list[Step]:
        watches, store = self.watches, self._around.store
        observed = {lab: found for lab in labs if (found := watches.lab(lab)) is not None}
        rows = {lab: store.lab(lab) for lab in labs}
        desired = {lab: _desired(row, store.busy(lab)) for lab, row in rows.items() if row is not None}
        return plan(desired, observed, now)

    def _apply(self, steps: list[Step], now: float) -> None:
        while self._retired and self._retired[0] < now - _LATELY_SECONDS:
            self._retired.popleft()
        unasked = [step for step in steps if step.unasked]
        labs = self.watches.count() + sum(self.watches.lab(step.lab) is None for step in steps)
        why = excess(steps, labs, lately=len(self._retired))
        if unasked and (why or self._hold is not None):
            self._wait_for_a_person(why, unasked, now)
            steps = [step for step in steps if not step.unasked]
        for step in steps:
            self._do(step)

    def _wait_for_a_person(self, why: str, steps: list[Step], now: float) -> None:
        known = self._hold.labs if self._hold else {}
        labs = {**known, **{step.lab: step.why for step in steps}}
        if self._hold is None or labs != known:
            self._hold = self._around.store.hold_back(why, labs, now)
            self._around.store.audit("controller", "wait for approval", f"{len(labs)} labs")
            self._alert(f"{self._hold.reason}. Nothing is retired until `labkit controller approve`")

    def _approved(self, hold: Hold, now: float) -> None:
        """Do what a person has seen and approved, as far as it still is to be done; what is new is judged anew."""
        _log.warning("approved: retiring %d labs", len(hold.labs))
        self._hold = None
        for step in self._plan(hold.labs, now):
            self._do(step)
        for lab in hold.labs:
            tending.warn_late(self._around, lab, now)
        self._around.store.release_hold()
        self._retired.clear()
        self._begun = False

    def _do(self, step: Step) -> None:
        level = logging.WARNING if step.unasked else logging.INFO
        _log.log(level, "%s lab %s: %s", step.act, step.lab, step.why)
        try:
            self._acts[step.act](step)
        except ClusterError as error:
            _log.warning("lab %s is looked at again: %s", step.lab, error)
            self._again.add(step.lab)
            return
        if step.unasked:
            self._retired.append(time.time())
            self._around.store.audit("controller", f"{step.act} ({step.why})", step.lab)

    def _delete(self, step: Step) -> None:
        self._around.cluster.delete("Namespace", None, names.namespace_of(step.lab))

    def _lost(self, step: Step) -> None:
        # A watch may lag behind: what cannot be taken back is done on the engine's own word alone.
        if self._around.cluster.get("Namespace", None, names.namespace_of(step.lab)) is None:
            self._around.store.lab_lost(step.lab)
            self._around.store.lab_ended(step.lab)


def _desired(row: LabRow, busy: bool) -> Desired:
    return Desired(
        created=row.created,
        ready=row.ready is not None,
        ending=row.wanted == "ended",
        ended=row.ended is not None,
        busy=busy,
    )
