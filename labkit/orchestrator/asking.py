"""What all calls of `Labs` share: whose lab it is, its template, how it stands, an operation queued."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from labkit.errors import Conflict, Invalid, NotFound
from labkit.manifests import names
from labkit.model import LabState, LabStatus, MachineStatus, Operation, OperationKind, Principal, Role
from labkit.orchestrator import admission, lifetimes
from labkit.orchestrator.access import Access
from labkit.orchestrator.kinds import ALLOWED_STATES
from labkit.orchestrator.observe import lab_state
from labkit.orchestrator.work import Surroundings, observe_machines
from labkit.store import LabRow
from labkit.templates import Template


class Asking:
    """The base of `DirectLabs`."""

    def __init__(self, around: Surroundings) -> None:
        self._around = around
        self._store = around.store

    def _row(self, principal: Principal, lab: str) -> LabRow:
        """The lab's row, where the principal may see it: a stranger's lab is not told from one that is not."""
        row = self._store.lab(lab)
        if row is None or (principal.role is not Role.OPERATOR and row.learner != self._store.learner(principal)):
            raise NotFound(f"there is no lab {lab!r}; `labkit list` shows yours")
        return row

    def _template(self, row: LabRow) -> Template:
        return self._around.templates.load(row.template, row.digest)

    def _access(self, row: LabRow) -> Access:
        secret = self._around.cluster.get("Secret", names.namespace_of(row.id), names.ACCESS_SECRET)
        return Access.from_secret(row.id, secret)

    def _epoch(self, lab: str) -> int:
        """The lab's ticket epoch, which stands in the cluster, where the gateway reads it too."""
        found = self._around.cluster.get("Namespace", None, names.namespace_of(lab))
        if found is None:
            raise Conflict(f"lab {lab} has no machines at the moment")
        return int(found["metadata"].get("annotations", {}).get(names.TICKET_EPOCH, "0"))

    def _queue(
        self, principal: Principal, lab: str, kind: OperationKind, arguments: Mapping[str, Any] | None = None
    ) -> Operation:
        self._check_state(self._row(principal, lab), kind)
        return self._store.queue(lab, kind, arguments)

    def _check_state(self, row: LabRow, kind: OperationKind) -> None:
        """Raises Conflict where the lab's state does not allow this."""
        state, allowed = self._status(row).state, ALLOWED_STATES[kind]
        if state not in allowed:
            wanted = " or ".join(sorted(found.value for found in allowed))
            raise Conflict(f"lab {row.id} is {state.value}; to {kind.value} it, it must be {wanted}")

    def _status(self, row: LabRow) -> LabStatus:
        machines, title, detail = self._observe(row)
        state = lab_state(row, machines)
        latest = self._store.latest_operation(row.id)
        under_way = latest is not None and not latest.state.final
        place, wait = self._prospect(row, state)
        end = lifetimes.deadline(row) if row.ended is None else None
        return LabStatus(
            id=row.id,
            template=row.template,
            title=title,
            state=state,
            created=row.created,
            work=row.work,
            learner=row.learner,
            machines=tuple(machines),
            ended=row.ended,
            operation=latest.id if latest and under_way else None,
            detail=row.fault or row.ending or detail or _in_words(row, state, place, wait),
            cause=row.cause,
            ends=end.at if end else None,
            place=place,
            wait=wait,
        )

    def _prospect(self, row: LabRow, state: LabState) -> tuple[int | None, float | None]:
        """The place in the queue of a lab that waits for room, and in how many seconds it is likely to be ready."""
        if state is LabState.QUEUED:
            return admission.prospect(row.id, self._store.labs(), self._store.start_seconds(row.template), time.time())
        if state is LabState.STARTING and (measured := self._store.start_seconds(row.template)):
            return None, max(admission.typical(measured) - (time.time() - (row.admitted or row.created)), 0.0)
        return None, None

    def _observe(self, row: LabRow) -> tuple[list[MachineStatus], str, str]:
        """The lab's machines, its title, and what is wrong. A lab whose template was taken away is still told of."""
        try:
            template = self._template(row)
        except (NotFound, Invalid) as error:
            return [], row.template, f"its template cannot be read: {error}"
        present = row.ended is None and row.admitted is not None
        machines = observe_machines(self._around.cluster, template, row.id) if present else []
        return machines, template.title, ""


def _in_words(row: LabRow, state: LabState, place: int | None, wait: float | None) -> str:
    """What there is to say of a lab with which nothing is wrong: that it waits, is gone, or will end soon."""
    if place is not None:
        return admission.in_words(place, wait)
    if state is LabState.LOST:
        return "its machines are gone"
    end, now = lifetimes.deadline(row), time.time()
    soon = end is not None and row.ended is None and end.at - lifetimes.WARNINGS[0] <= now < end.at
    return lifetimes.warning(end, now) if end and soon else ""
