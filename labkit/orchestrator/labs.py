"""`Labs`: everything that a face (notebook, command line, LTI app) can ask. Every call names its principal.

Long work answers with an Operation, whose events are read from a cursor; no call waits for a machine.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Protocol

from labkit.errors import Conflict, Forbidden, Invalid, NotBuilt, NotFound
from labkit.instructions import PageModel, load_pages, render
from labkit.manifests import names
from labkit.model import (
    Credential,
    Event,
    LabState,
    LabStatus,
    MachineState,
    MachineStatus,
    Operation,
    OperationKind,
    PaneLink,
    PaneMode,
    Principal,
    Progress,
    Role,
)
from labkit.orchestrator import ssh
from labkit.orchestrator.access import Access
from labkit.orchestrator.keyring import Keyring
from labkit.orchestrator.observe import lab_state
from labkit.orchestrator.operations import ALLOWED_STATES, Surroundings, observe_machines
from labkit.store import LabRow
from labkit.templates import Template, media_file, values
from labkit.tickets import LIFETIME, Ticket, sign


class Labs(Protocol):
    """What a face may ask. NotFound where the principal may not see the lab; Forbidden where he may only see it."""

    def start(self, principal: Principal, template: str, *, activity: str | None = None) -> Operation:
        """Start the principal's lab of a template, or find the one that there is: the operation that makes it ready.

        `activity` is where the template is assigned (default: the template itself). Raises NotFound, Invalid.
        """

    def stop(self, principal: Principal, lab: str) -> Operation: ...

    def pause(self, principal: Principal, lab: str) -> Operation: ...

    def resume(self, principal: Principal, lab: str) -> Operation: ...

    def reset(self, principal: Principal, lab: str) -> Operation: ...

    def check(self, principal: Principal, lab: str, step: str) -> Operation:
        """Run a step's check. The operation's result is {step, verdict, feedback, time}."""

    def status(self, principal: Principal, lab: str) -> LabStatus: ...

    def labs(self, principal: Principal, *, ended: bool = False) -> list[LabStatus]:
        """The principal's labs, newest first; an operator's list has everybody's."""

    def operation(self, principal: Principal, operation: str) -> Operation: ...

    def events(self, principal: Principal, operation: str, after: int = 0) -> list[Event]: ...

    def pane_link(
        self, principal: Principal, lab: str, machine: str, pane: str, *, mode: PaneMode = PaneMode.CONTROL
    ) -> PaneLink: ...

    def instructions(self, principal: Principal, lab: str) -> PageModel: ...

    def media(self, principal: Principal, lab: str, path: str) -> bytes: ...

    def progress(self, principal: Principal, lab: str) -> Progress: ...

    def tick(self, principal: Principal, lab: str, step: str, done: bool) -> Progress:
        """Tick a step by hand. Raises Conflict for a step that a check decides."""

    def credentials(self, principal: Principal, lab: str) -> list[Credential]: ...

    def execute(self, principal: Principal, lab: str, machine: str, command: str, *, timeout: float) -> ssh.Completed:
        """Run a shell command as root in a machine: operators only."""


class DirectLabs:
    """`Labs` on this machine's store and an engine, without a service between."""

    def __init__(self, around: Surroundings, keys: Keyring) -> None:
        self._around = around
        self._store = around.store
        self._keys = keys
        self._rendered: dict[
            tuple[str, str, str], PageModel
        ] = {}  # the last one asked for: a view asks again and again

    def start(self, principal: Principal, template: str, *, activity: str | None = None) -> Operation:
        resolved = self._around.templates.resolve(template)
        loaded = self._around.templates.check(resolved)
        work = self._store.work(self._store.learner(principal), activity or resolved, resolved)
        row, made = self._store.begin_lab(work, template=resolved, digest=loaded.digest)
        if row.wanted == "ended":
            raise Conflict(f"lab {row.id} is being stopped; try again when it has ended")
        previous = self._store.latest_operation(row.id, OperationKind.START)
        if not made and previous is not None and row.ready is not None:
            return previous
        return self._store.queue(row.id, OperationKind.START)

    def stop(self, principal: Principal, lab: str) -> Operation:
        row = self._row(principal, lab)
        if row.ended is not None:
            raise Conflict(f"lab {lab} has ended already")
        self._store.want(lab, "ended")
        return self._store.queue(lab, OperationKind.STOP)

    def pause(self, principal: Principal, lab: str) -> Operation:
        return self._queue(principal, lab, OperationKind.PAUSE)

    def resume(self, principal: Principal, lab: str) -> Operation:
        return self._queue(principal, lab, OperationKind.RESUME)

    def reset(self, principal: Principal, lab: str) -> Operation:
        return self._queue(principal, lab, OperationKind.RESET)

    def check(self, principal: Principal, lab: str, step: str) -> Operation:
        template = self._template(self._row(principal, lab))
        if step not in template.checks:
            raise NotFound(f"step {step!r} of {template.name} has no check")
        return self._queue(principal, lab, OperationKind.CHECK, {"step": step})

    def status(self, principal: Principal, lab: str) -> LabStatus:
        return self._status(self._row(principal, lab))

    def labs(self, principal: Principal, *, ended: bool = False) -> list[LabStatus]:
        learner = None if principal.role is Role.OPERATOR else self._store.learner(principal)
        return [self._status(row) for row in self._store.labs(learner=learner, ended=ended)]

    def operation(self, principal: Principal, operation: str) -> Operation:
        found = self._store.operation(operation)
        if found is None:
            raise NotFound(f"there is no operation {operation}")
        self._row(principal, found.lab)
        return found

    def events(self, principal: Principal, operation: str, after: int = 0) -> list[Event]:
        self.operation(principal, operation)
        return self._store.events(operation, after)

    def pane_link(
        self, principal: Principal, lab: str, machine: str, pane: str, *, mode: PaneMode = PaneMode.CONTROL
    ) -> PaneLink:
        row = self._row(principal, lab)
        if mode is PaneMode.VIEW:
            raise NotBuilt("watching a pane without control is not built in this version")
        if row.ended is not None:
            raise Conflict(f"lab {lab} has ended")
        panes = self._template(row).machine(machine).panes
        if pane not in (found.name for found in panes):
            known = ", ".join(found.name for found in panes)
            raise NotFound(f"machine {machine} has no pane {pane!r}; it has: {known}")
        ticket = Ticket(lab, row.learner, time.time() + LIFETIME, (machine,), mode.value, self._epoch(lab))
        path = f"panes/{lab}/{machine}/{pane}/"
        return PaneLink(path, sign(ticket, self._keys.tickets), ticket.expires)

    def instructions(self, principal: Principal, lab: str) -> PageModel:
        row = self._row(principal, lab)
        template = self._template(row)
        key = (template.digest, row.id, row.learner_name)
        if key not in self._rendered:
            known = values(template, learner=row.learner_name, lab=row.id, seed=row.seed)
            pages = load_pages(template.folder)
            self._rendered = {key: render(pages, variables=known, checks=template.checks, title=template.title)}
        return self._rendered[key]

    def media(self, principal: Principal, lab: str, path: str) -> bytes:
        return media_file(self._template(self._row(principal, lab)).folder, path).read_bytes()

    def progress(self, principal: Principal, lab: str) -> Progress:
        return self._store.progress(self._row(principal, lab).work)

    def tick(self, principal: Principal, lab: str, step: str, done: bool) -> Progress:
        row = self._row(principal, lab)
        template = self._template(row)
        if step not in {found.id for found in self.instructions(principal, lab).steps}:
            raise NotFound(f"{template.name} has no step {step!r}")
        if step in template.checks:
            raise Conflict(f"step {step!r} is ticked by its check, not by hand")
        self._store.tick(row.work, step, done)
        return self._store.progress(row.work)

    def credentials(self, principal: Principal, lab: str) -> list[Credential]:
        row = self._row(principal, lab)
        return self._access(row).credentials(self._template(row)) if row.ended is None else []

    def execute(self, principal: Principal, lab: str, machine: str, command: str, *, timeout: float) -> ssh.Completed:
        row = self._row(principal, lab)
        if principal.role is not Role.OPERATOR:
            raise Forbidden("commands as root in a machine are for operators")
        self._template(row).machine(machine)
        status = next(found for found in self._status(row).machines if found.name == machine)
        if status.state is not MachineState.RUNNING:
            raise Conflict(f"machine {machine} is {status.state.value}: commands can be run in a running one only")
        return ssh.run(self._around.cluster, self._access(row), machine, command, timeout=timeout)

    # Below: what the calls above share

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
        state = self._status(self._row(principal, lab)).state
        allowed = ALLOWED_STATES[kind]
        if state not in allowed:
            wanted = " or ".join(sorted(found.value for found in allowed))
            raise Conflict(f"lab {lab} is {state.value}; to {kind.value} it, it must be {wanted}")
        return self._store.queue(lab, kind, arguments)

    def _status(self, row: LabRow) -> LabStatus:
        machines, title, detail = self._observe(row)
        state = lab_state(row, machines)
        latest = self._store.latest_operation(row.id)
        under_way = latest is not None and not latest.state.final
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
            detail=row.fault or detail or ("its machines are gone" if state is LabState.LOST else ""),
        )

    def _observe(self, row: LabRow) -> tuple[list[MachineStatus], str, str]:
        """The lab's machines, its title, and what is wrong. A lab whose template was taken away is still told of."""
        try:
            template = self._template(row)
        except (NotFound, Invalid) as error:
            return [], row.template, f"its template cannot be read: {error}"
        machines = observe_machines(self._around.cluster, template, row.id) if row.ended is None else []
        return machines, template.title, ""
