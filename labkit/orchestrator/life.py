"""The calls of `Labs` on a lab's life: start, stop, and all between. Each answers at once; a worker does the work."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from functools import partial

from labkit.errors import Conflict, LabkitError, NotFound
from labkit.manifests import names
from labkit.model import (
    Event,
    LabState,
    LabStatus,
    MachineState,
    Offer,
    Operation,
    OperationKind,
    Principal,
    Role,
    Snapshot,
)
from labkit.orchestrator import admission, lifetimes
from labkit.orchestrator.asking import Asking
from labkit.orchestrator.waiting import tell_place

_LOOK_SECONDS = 0.04
_STILL = (MachineState.PAUSED, MachineState.STOPPED)
_SNAPSHOT_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,28}[a-z0-9])?")


class Life(Asking):
    """The part of `DirectLabs` that has to do with a lab's life."""

    def templates(self, principal: Principal) -> list[Offer]:
        return self._around.templates.offers()

    def start(self, principal: Principal, template: str, *, activity: str | None = None) -> Operation:
        resolved = self._around.templates.resolve(template)
        loaded, limits = self._around.templates.check(resolved), self._around.limits
        work = self._store.work(self._store.learner(principal), activity or resolved, resolved)
        terms = lifetimes.terms(loaded, limits, wait=bool(limits.labs or limits.memory))
        row, made = self._store.begin_lab(work, template=resolved, digest=loaded.digest, terms=terms)
        if row.wanted == "ended":
            raise Conflict(f"lab {row.id} is being stopped; try again when it has ended")
        previous = self._store.latest_operation(row.id, OperationKind.START)
        if not made and previous is not None and (row.ready is not None or not previous.state.final):
            return previous
        if row.admitted is None:
            self._store.admit(partial(admission.admit, limits=limits, now=time.time()))
        spare = made and previous is not None
        operation = self._store.queue(row.id, OperationKind.START, {"claimed": True} if spare else None)
        tell_place(self._store, row.id, time.time())
        return operation

    def stop(self, principal: Principal, lab: str) -> Operation:
        row = self._row(principal, lab)
        if row.ended is not None:
            raise Conflict(f"lab {lab} has ended already")
        self._store.want(lab, "ended")
        return self._store.queue(lab, OperationKind.STOP)

    def pause(self, principal: Principal, lab: str, *, off: bool = False, machine: str | None = None) -> Operation:
        if machine is not None and self._template(self._row(principal, lab)).machine(machine).type != "vm":
            raise Conflict(f"machine {machine} is a container, which cannot be paused")
        given = ({"off": True} if off else {}) | ({"machine": machine} if machine else {})
        return self._queue(principal, lab, OperationKind.PAUSE, given)

    def resume(self, principal: Principal, lab: str, *, machine: str | None = None) -> Operation:
        row = self._row(principal, lab)
        if machine is not None:
            self._template(row).machine(machine)
        status = self._status(row)
        still = any(one.state in _STILL and machine in (None, one.name) for one in status.machines)
        if status.state is LabState.RUNNING and not still:
            what = f"machine {machine}" if machine else f"lab {lab}"
            raise Conflict(f"{what} is not paused; to resume it, it must be")
        return self._queue(principal, lab, OperationKind.RESUME, {"machine": machine} if machine else None)

    def reset(self, principal: Principal, lab: str, *, machine: str | None = None) -> Operation:
        if machine is not None:
            self._template(self._row(principal, lab)).machine(machine)
        return self._queue(principal, lab, OperationKind.RESET, {"machine": machine} if machine else None)

    def snapshot(self, principal: Principal, lab: str, name: str | None = None, *, memory: bool = False) -> Operation:
        name = name or time.strftime("%Y%m%d-%H%M%S", time.gmtime())
        if not _SNAPSHOT_NAME.fullmatch(name):
            raise LabkitError(f"{name!r} is no name for a snapshot: use up to 30 of a-z, 0-9 and '-'")
        if name in {found.name for found in self.snapshots(principal, lab)}:
            raise Conflict(f"lab {lab} has a snapshot {name!r} already")
        return self._queue(
            principal, lab, OperationKind.SNAPSHOT, {"name": name} | ({"memory": True} if memory else {})
        )

    def restore(self, principal: Principal, lab: str, name: str) -> Operation:
        known = [found.name for found in self.snapshots(principal, lab) if found.ready]
        if name not in known:
            has = f"it has: {', '.join(known)}" if known else "it has none"
            raise NotFound(f"lab {lab} has no snapshot {name!r}; {has}")
        return self._queue(principal, lab, OperationKind.RESTORE, {"name": name})

    def snapshots(self, principal: Principal, lab: str) -> list[Snapshot]:
        row, cluster = self._row(principal, lab), self._around.cluster
        found: dict[str, Snapshot] = {}
        taken = cluster.select("VirtualMachineSnapshot", names.namespace_of(row.id)) if row.ended is None else []
        for body in taken:
            metadata, ready = body["metadata"], bool((body.get("status") or {}).get("readyToUse"))
            name = str(metadata.get("labels", {}).get(names.SNAPSHOT) or "")
            memory = names.MEMORY in metadata.get("annotations", {})
            one = found.get(name, Snapshot(name, str(metadata["creationTimestamp"]), (), True, memory))
            machines = (*one.machines, str(body["spec"]["source"]["name"]))
            found[name] = replace(one, machines=machines, ready=one.ready and ready)
        return sorted((one for name, one in found.items() if name), key=lambda one: one.created)

    def extend(self, principal: Principal, lab: str, seconds: float) -> Operation:
        row, now = self._row(principal, lab), time.time()
        self._check_state(row, OperationKind.EXTEND)
        longest = 0.0 if principal.role is Role.OPERATOR else self._around.limits.longest
        expires = lifetimes.extended(row, seconds, longest, now)
        self._store.set_expiry(lab, expires)
        text = f"The lab ends in {lifetimes.minutes(expires - now)} now"
        return self._store.record(lab, OperationKind.EXTEND, "extended", text, {"ends": expires})

    def cancel(self, principal: Principal, operation: str) -> Operation:
        found = self.operation(principal, operation)
        if found.state.final:
            raise Conflict(f"the {found.kind} {operation} has ended already: it is {found.state}")
        if found.kind is OperationKind.STOP:
            raise Conflict("a stop cannot be cancelled: part of the lab may be gone already")
        if found.kind is OperationKind.START:
            self.stop(principal, found.lab)
        self._store.cancel(operation)
        return self.operation(principal, operation)

    def status(self, principal: Principal, lab: str) -> LabStatus:
        return _for(principal, self._status(self._row(principal, lab)))

    def labs(self, principal: Principal, *, ended: bool = False) -> list[LabStatus]:
        learner = None if principal.role is Role.OPERATOR else self._store.learner(principal)
        return [_for(principal, self._status(row)) for row in self._store.labs(learner=learner, ended=ended)]

    def operation(self, principal: Principal, operation: str) -> Operation:
        found = self._store.operation(operation)
        if found is None:
            raise NotFound(f"there is no operation {operation}")
        return self._told(principal, found)

    def operations(self, principal: Principal, lab: str) -> list[Operation]:
        self._row(principal, lab)
        return [self._told(principal, found) for found in self._store.operations(lab)]

    def _told(self, principal: Principal, operation: Operation) -> Operation:
        """An operation as this principal may see it: a start's failure in the learner's words."""
        row = self._row(principal, operation.lab)
        plain = principal.role is not Role.OPERATOR and operation.kind is OperationKind.START and row.cause
        return replace(operation, error=row.fault) if plain and operation.error else operation

    def events(self, principal: Principal, operation: str, after: int = 0, *, wait: float = 0.0) -> list[Event]:
        deadline = time.monotonic() + wait
        while True:
            # The operation first: an event written between the two calls is then not missed by a last look.
            final = self.operation(principal, operation).state.final
            found = self._store.events(operation, after)
            if found or final or time.monotonic() >= deadline:
                return found
            time.sleep(_LOOK_SECONDS)

    def lab_events(self, principal: Principal, lab: str, after: int = 0) -> list[Event]:
        self._row(principal, lab)
        return self._store.lab_events(lab, after)


def _for(principal: Principal, status: LabStatus) -> LabStatus:
    """A status as this principal may see it: causes are for operators."""
    if principal.role is Role.OPERATOR:
        return status
    machines = tuple(replace(machine, cause="") for machine in status.machines)
    return replace(status, machines=machines, cause="")
