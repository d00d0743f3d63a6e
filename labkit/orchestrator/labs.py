"""`Labs`: everything that a face (notebook, command line, LTI app) can ask. Every call names its principal.

Long work answers with an Operation, whose events are read from a cursor; no call waits for a machine.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from labkit.cluster.streams import StreamTarget
from labkit.errors import Conflict, NotFound
from labkit.instructions import PageModel, load_pages, render
from labkit.model import (
    Credential,
    Event,
    LabStatus,
    Login,
    Operation,
    OperationKind,
    PaneLink,
    PaneMode,
    Principal,
    Progress,
    Reservation,
    Snapshot,
)
from labkit.orchestrator import ssh
from labkit.orchestrator.booking import Booking
from labkit.orchestrator.keyring import Keyring
from labkit.orchestrator.life import Life
from labkit.orchestrator.reaching import Reaching
from labkit.orchestrator.work import Surroundings
from labkit.templates import media_file, values
from labkit.tickets import LIFETIME, Ticket, sign


class Labs(Protocol):
    """What a face may ask. NotFound where the principal may not see the lab; Forbidden where he may only see it."""

    def start(self, principal: Principal, template: str, *, activity: str | None = None) -> Operation:
        """Start the principal's lab of a template, or find the one that there is: the operation that makes it ready.

        `activity` is where the template is assigned (default: the template itself). Raises NotFound, Invalid.
        """

    def stop(self, principal: Principal, lab: str) -> Operation:
        """End a lab: machines and their disks go, ticks and results stay."""

    def pause(self, principal: Principal, lab: str, *, off: bool = False) -> Operation:
        """Freeze a lab's machines; with `off`, switch them off, which fails where a disk would be lost."""

    def resume(self, principal: Principal, lab: str) -> Operation: ...

    def reset(self, principal: Principal, lab: str, *, machine: str | None = None) -> Operation:
        """Make a lab's machines, or one, anew: what was written to their disks is lost."""

    def snapshot(self, principal: Principal, lab: str, name: str | None = None) -> Operation:
        """Keep what a lab's disks hold. The operation's result is {name, machines, left_out}."""

    def restore(self, principal: Principal, lab: str, name: str) -> Operation:
        """Bring a snapshot back: what its machines' disks hold now is lost."""

    def snapshots(self, principal: Principal, lab: str) -> list[Snapshot]: ...

    def extend(self, principal: Principal, lab: str, seconds: float) -> Operation:
        """Put a lab's end off. Done as it is asked for. Raises Conflict where it has no end, or may not live longer."""

    def cancel(self, principal: Principal, operation: str) -> Operation:
        """End an operation early. A cancelled start takes its lab with it. Raises Conflict for a stop, or a final one.

        What has not begun is cancelled at once; what is under way ends at its next safe point, or is done.
        """

    def check(self, principal: Principal, lab: str, step: str) -> Operation:
        """Run a step's check. The operation's result is {step, verdict, feedback, time}."""

    def status(self, principal: Principal, lab: str) -> LabStatus: ...

    def labs(self, principal: Principal, *, ended: bool = False) -> list[LabStatus]:
        """The principal's labs, newest first; an operator's list has everybody's."""

    def operation(self, principal: Principal, operation: str) -> Operation: ...

    def events(self, principal: Principal, operation: str, after: int = 0) -> list[Event]: ...

    def operations(self, principal: Principal, lab: str) -> list[Operation]:
        """All that was ever asked of a lab, oldest first."""

    def lab_events(self, principal: Principal, lab: str, after: int = 0) -> list[Event]:
        """The events of all a lab's operations, and its notices (an end that draws near), in order."""

    def reserve(
        self, principal: Principal, activity: str, *, begins: float, ends: float | None, labs: int, spares: int
    ) -> Reservation:
        """Keep room for an activity's labs, and spares ready: operators only. Raises Conflict where there is none."""

    def unreserve(self, principal: Principal, reservation: str) -> None:
        """Give a reservation's room back, and end its spares: operators only."""

    def reservations(self, principal: Principal) -> list[Reservation]: ...

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

    def login(self, principal: Principal, lab: str, machine: str) -> Login:
        """How to sign in to a running machine over SSH, as the learner. NotBuilt for a container."""

    def port(self, principal: Principal, lab: str, machine: str, port: int) -> Callable[[], StreamTarget]:
        """The way to a TCP port of a running machine: to be asked for anew at each connection."""


class DirectLabs(Life, Booking, Reaching):
    """`Labs` on this machine's store and an engine, without a service between."""

    def __init__(self, around: Surroundings, keys: Keyring) -> None:
        super().__init__(around)
        self._keys = keys
        self._rendered: dict[
            tuple[str, str, str], PageModel
        ] = {}  # the last one asked for: a view asks again and again

    def check(self, principal: Principal, lab: str, step: str) -> Operation:
        template = self._template(self._row(principal, lab))
        if step not in template.checks:
            raise NotFound(f"step {step!r} of {template.name} has no check")
        return self._queue(principal, lab, OperationKind.CHECK, {"step": step})

    def pane_link(
        self, principal: Principal, lab: str, machine: str, pane: str, *, mode: PaneMode = PaneMode.CONTROL
    ) -> PaneLink:
        row = self._row(principal, lab)
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
