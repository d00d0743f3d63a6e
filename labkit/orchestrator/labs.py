"""`Labs`: everything that a face (notebook, command line, LTI app) can ask. Every call names its principal.

Long work answers with an Operation, whose events are read from a cursor; no call waits for a machine.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Protocol

from labkit.cluster.streams import StreamTarget
from labkit.errors import Conflict, Forbidden, NotFound
from labkit.instructions import PageModel
from labkit.model import (
    CheckResult,
    Credential,
    Event,
    LabStatus,
    Login,
    Mark,
    Offer,
    Operation,
    OperationKind,
    PaneLink,
    PaneMode,
    Principal,
    Progress,
    Reservation,
    Role,
    Snapshot,
    Waiting,
)
from labkit.orchestrator import ssh
from labkit.orchestrator.booking import Booking
from labkit.orchestrator.keyring import Keyring
from labkit.orchestrator.life import Life
from labkit.orchestrator.marking import Marking
from labkit.orchestrator.reaching import Reaching
from labkit.orchestrator.work import Surroundings
from labkit.templates import BESIDE
from labkit.tickets import LIFETIME, Ticket, sign


class Labs(Protocol):
    """What a face may ask. NotFound where the principal may not see the lab; Forbidden where he may only see it."""

    def templates(self, principal: Principal) -> list[Offer]:
        """What can be started by its name."""

    def start(self, principal: Principal, template: str, *, activity: str | None = None) -> Operation:
        """Start the principal's lab of a template, or find the one that there is: the operation that makes it ready.

        `activity` is where the template is assigned (default: the template itself). Raises NotFound, Invalid.
        """

    def stop(self, principal: Principal, lab: str) -> Operation:
        """End a lab: machines and their disks go, ticks and results stay."""

    def pause(self, principal: Principal, lab: str, *, off: bool = False, machine: str | None = None) -> Operation:
        """Freeze a lab's machines, or one; with `off`, they take no memory meanwhile.

        On a cluster that switches them off, and fails where a disk would be lost.
        """

    def resume(self, principal: Principal, lab: str, *, machine: str | None = None) -> Operation:
        """Let a paused lab go on, or one of its machines."""

    def reset(self, principal: Principal, lab: str, *, machine: str | None = None) -> Operation:
        """Make a lab's machines, or one, anew: what was written to their disks is lost."""

    def snapshot(self, principal: Principal, lab: str, name: str | None = None, *, memory: bool = False) -> Operation:
        """Keep what a lab's disks hold; with `memory`, its VMs as they are, which a cluster refuses.

        The operation's result is {name, machines, left_out}.
        """

    def restore(self, principal: Principal, lab: str, name: str) -> Operation:
        """Bring a snapshot back: what its machines' disks hold now is lost."""

    def snapshots(self, principal: Principal, lab: str) -> list[Snapshot]:
        """What was kept of a lab's disks, oldest first."""

    def extend(self, principal: Principal, lab: str, seconds: float) -> Operation:
        """Put a lab's end off. Done as it is asked for. Raises Conflict where it has no end, or may not live longer."""

    def cancel(self, principal: Principal, operation: str) -> Operation:
        """End an operation early. A cancelled start takes its lab with it. Raises Conflict for a stop, or a final one.

        What has not begun is cancelled at once; what is under way ends at its next safe point, or is done.
        """

    def check(self, principal: Principal, lab: str, step: str) -> Operation:
        """Run a step's check. The operation's result is {step, verdict, feedback, time, score, points}."""

    def poll(self, principal: Principal, lab: str, step: str) -> Operation:
        """The same, of itself: no use of the lab, behind all that was asked for, and kept only where it has passed.
        Raises Conflict for a step that the author does not have checked so."""

    def recheck(self, principal: Principal, lab: str, step: str) -> Operation:
        """Run a step's check as its template has it now, in the lab as it is: operators only. What it says counts
        instead of what older contents said. Raises Conflict where it needs a machine that the lab does not have."""

    def solve(self, principal: Principal, lab: str, step: str) -> Operation:
        """Do a step by its solve scripts, to try the lab out: operators only."""

    def results(self, principal: Principal, activity: str | None = None) -> list[tuple[str, CheckResult]]:
        """What checks have said, each with its work (a random id): of an activity, or of all. Operators only."""

    def status(self, principal: Principal, lab: str) -> LabStatus:
        """How a lab and its machines are."""

    def labs(self, principal: Principal, *, ended: bool = False) -> list[LabStatus]:
        """The principal's labs, newest first; an operator's list has everybody's."""

    def operation(self, principal: Principal, operation: str) -> Operation:
        """How an operation stands."""

    def events(self, principal: Principal, operation: str, after: int = 0, *, wait: float = 0.0) -> list[Event]:
        """The operation's events behind a cursor; where there are none, and it is not final, those that come within
        `wait` seconds."""

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

    def reservations(self, principal: Principal) -> list[Reservation]:
        """All reservations: operators only."""

    def pane_link(
        self, principal: Principal, lab: str, machine: str, pane: str, *, mode: PaneMode = PaneMode.CONTROL
    ) -> PaneLink:
        """The way to a pane, for five minutes: to use it, or only to watch."""

    def instructions(self, principal: Principal, lab: str, *, language: str = "") -> PageModel:
        """The lab's pages, in `language` where the author wrote them in it. All of them: locked ones are for the face
        to keep back (`PageModel.locked`), as what costs points is."""

    def media(self, principal: Principal, lab: str, path: str) -> bytes:
        """A file of the template's folder `media` (`path` begins with it)."""

    def progress(self, principal: Principal, lab: str) -> Progress:
        """What has been ticked, answered, checked and opened, and for how many points."""

    def tick(self, principal: Principal, lab: str, step: str, done: bool) -> Progress:
        """Tick a step by hand. Raises Conflict for a step that a check decides, or that stands on a locked page."""

    def answer(self, principal: Principal, lab: str, question: str, given: Sequence[str]) -> Progress:
        """Answer a question: keys of choices, or one text. Raises Conflict where it may not be answered (any more)."""

    def collect(self, principal: Principal, lab: str, question: str) -> Operation:
        """Hand in the file of a machine that a question asks for."""

    def upload(self, principal: Principal, lab: str, upload: str) -> Operation:
        """Put a file of the template into a machine, as an action of a page that may be read says (`Upload.key`)."""

    def waiting(self, principal: Principal, activity: str | None = None) -> list[Waiting]:
        """What was handed in and is not marked yet: operators only."""

    def marks(self, principal: Principal, activity: str | None = None) -> list[Mark]:
        """What persons gave for what was handed in: of an activity, or of all. Operators only."""

    def handed_in(self, principal: Principal, work: str, question: str) -> bytes:
        """The text or file that was handed in last, of a work (or its lab): operators only. Raises NotFound."""

    def mark(self, principal: Principal, work: str, question: str, points: float, comment: str = "") -> Progress:
        """Mark what was handed in, of a work (or its lab): operators only. Raises NotFound, and LabkitError for more
        points than there are."""

    def open_hint(self, principal: Principal, lab: str, hint: str) -> Progress:
        """Open a hint or a solution, for the points that it costs. Never undone, and paid once."""

    def credentials(self, principal: Principal, lab: str) -> list[Credential]:
        """How the learner signs in to the lab's machines."""

    def execute(
        self, principal: Principal, lab: str, machine: str, command: str, *, timeout: float, as_learner: bool = False
    ) -> ssh.Completed:
        """Run a shell command in a machine as root: operators only; or `as_learner`, who is its first user: whoever the
        lab belongs to, not in a container. Of each output, 16 KiB are told."""

    def login(self, principal: Principal, lab: str, machine: str) -> Login:
        """How to sign in to a running machine over SSH, as the learner. NotBuilt for a container."""

    def port(self, principal: Principal, lab: str, machine: str, port: int) -> Callable[[], StreamTarget]:
        """The way to a TCP port of a running machine: to be asked for anew at each connection."""


class DirectLabs(Life, Booking, Marking, Reaching):
    """`Labs` on this machine's store and an engine, without a service between."""

    def __init__(self, around: Surroundings, keys: Keyring, *, root: str = "") -> None:
        """`root` is where browsers find the gateway, if that is known."""
        super().__init__(around)
        self._keys, self._root = keys, root

    def check(self, principal: Principal, lab: str, step: str) -> Operation:
        row = self._row(principal, lab)
        template = self._template(row)
        if step not in template.checks:
            raise NotFound(f"step {step!r} of {template.name} has no check")
        self._open_page(row, step)
        return self._queue(principal, lab, OperationKind.CHECK, {"step": step})

    def poll(self, principal: Principal, lab: str, step: str) -> Operation:
        row = self._row(principal, lab)
        if not any(found.id == step and found.poll for found in self._pages(row).steps):
            raise Conflict(f"step {step!r} is not checked by itself")
        self._open_page(row, step)
        return self._queue(principal, lab, OperationKind.CHECK, {"step": step, "polled": True})

    def recheck(self, principal: Principal, lab: str, step: str) -> Operation:
        row = self._row(principal, lab)
        if principal.role is not Role.OPERATOR:
            raise Forbidden("checking a step by the template as it is now is for operators")
        template, now = self._template(row), self._around.templates.check(row.template)
        if step not in template.checks or step not in now.checks:
            raise NotFound(f"step {step!r} has no check, in this lab or in {template.name} as it is now")
        known = {BESIDE, *(machine.name for machine in template.machines)}
        if missing := sorted({script.machine for script in now.checks[step]} - known):
            raise Conflict(f"lab {lab} has no machine {', '.join(missing)}, which the check needs now: start it anew")
        return self._queue(principal, lab, OperationKind.CHECK, {"step": step, "content": now.digest})

    def solve(self, principal: Principal, lab: str, step: str) -> Operation:
        row = self._row(principal, lab)
        if principal.role is not Role.OPERATOR:
            raise Forbidden("solving a step by its scripts is for operators")
        template = self._template(row)
        if step not in {script.step for script in template.solutions}:
            raise NotFound(f"step {step!r} of {template.name} has no solve- script")
        return self._queue(principal, lab, OperationKind.SOLVE, {"step": step})

    def results(self, principal: Principal, activity: str | None = None) -> list[tuple[str, CheckResult]]:
        if principal.role is not Role.OPERATOR:
            raise Forbidden("the results of all learners are for operators")
        return self._store.results(activity)

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
        return PaneLink(path, sign(ticket, self._keys.tickets), ticket.expires, self._root)

    def credentials(self, principal: Principal, lab: str) -> list[Credential]:
        row = self._row(principal, lab)
        return self._access(row).credentials(self._template(row)) if row.ended is None else []
