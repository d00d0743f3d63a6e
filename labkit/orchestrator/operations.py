"""What each kind of operation does, step by step. Every step may be killed and repeated.

A function here runs in a worker, reports stages as it goes, and returns the operation's result; what it raises becomes
the operation's error. The table of kinds is in `kinds.py`; what is done to running labs in `changes.py`.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from labkit.cluster.client import Cluster
from labkit.errors import ClusterError, ClusterUnavailable, LabkitError, NotFound
from labkit.manifests import names
from labkit.manifests.lab import LabPlan, access_secret, lab_objects, namespace
from labkit.manifests.scope import Object
from labkit.manifests.site import Site
from labkit.model import MachineState, MachineStatus, Operation, Pane, PaneType, Verdict
from labkit.orchestrator import checks
from labkit.orchestrator.access import Access, draw
from labkit.orchestrator.causes import FULL, PASSING, trouble_of
from labkit.orchestrator.inside import open_machine_port
from labkit.orchestrator.lifetimes import Limits
from labkit.orchestrator.observe import container_status, machine_status
from labkit.orchestrator.permission import permit, permit_room
from labkit.orchestrator.template_source import TemplateSource
from labkit.store import Store
from labkit.templates import Machine, Template, declared, values

Result = Mapping[str, Any] | None
_POLL_SECONDS = (0.05, 0.25)
_TERMINAL_SECONDS = 5.0
_NAMESPACE_SECONDS = 300.0
_RETRY_SECONDS = 20.0
"""Before the engine is asked for room again."""
_TRY_SECONDS = 3600.0
"""For how long it is asked."""
_PATIENCE_SECONDS = 10.0
"""For how long a trouble that may pass by itself is no failure yet."""
_BOOT_SCALE = 8.0
"""Seconds after which the progress of a boot stands at about two thirds: it never claims to know the end."""


class Cancelled(LabkitError):
    """The operation was asked to end before its end."""


class Interrupted(LabkitError):
    """The operation is left as it stands in the store: the controller is ending, or it was put back into the queue."""


class Selects(Protocol):
    """Where objects are looked up: the cluster, or what watches have told of it."""

    def select(self, kind: str, namespace: str) -> list[Object]:
        """The objects of a kind in a namespace."""


class MachineFailed(ClusterError):
    """A machine cannot start. `words` is what the learner is told."""

    def __init__(self, machine: MachineStatus) -> None:
        self.words, self.cause = f"machine {machine.name} cannot start: {machine.detail}", machine.cause
        super().__init__(f"{self.words} ({machine.cause})")


@dataclass(frozen=True)
class Surroundings:
    """What every operation works on."""

    store: Store
    cluster: Cluster
    templates: TemplateSource
    terminal_key: bytes
    start_timeout: float
    limits: Limits = field(default_factory=Limits)
    policy: Path | None = None
    activity: Path | None = None
    """Where the gateway reports the panes' use."""
    site: Site = field(default_factory=Site)
    stopping: threading.Event = field(default_factory=threading.Event)
    watched: Selects | None = None
    """What the controller's watches tell; None in any other process."""


class Work:
    """One operation under way: its lab, its template, and how it tells of itself."""

    def __init__(self, around: Surroundings, operation: Operation) -> None:
        row = around.store.lab(operation.lab)
        if row is None:
            raise NotFound(f"there is no lab {operation.lab}")
        self.around, self.operation, self.row = around, operation, row
        self.namespace = names.namespace_of(row.id)
        self._last = ("", "", -1.0)
        self._sure: set[str] | None = None

    @property
    def template(self) -> Template:
        return self.around.templates.load(self.row.template, self.row.digest)

    def say(self, stage: str, text: str, progress: float) -> None:
        """Report a stage; the same one said twice is written once."""
        now = (stage, text, round(progress, 2))
        if now != self._last:
            self._last = now
            self.around.store.add_event(self.operation.id, stage, text, now[2])

    def stay(self) -> None:
        """Raises Interrupted where the controller is ending."""
        if self.around.stopping.is_set():
            raise Interrupted("the controller is ending")

    def go_on(self) -> None:
        """Raises Cancelled where the operation has been asked to end, Interrupted where the controller is ending."""
        self.stay()
        if self.around.store.cancelled(self.operation.id):
            raise Cancelled("it was cancelled")

    def machines(self) -> list[MachineStatus]:
        """The lab's machines as they are now."""
        return observe_machines(self.around.cluster, self.template, self.row.id)

    def seen(self) -> list[MachineStatus]:
        """The lab's machines without a request as long as they start: watches lag, so what is final is asked for."""
        watched = self.around.watched
        if watched is None:
            return self.machines()
        kinds = ("VirtualMachineInstance", "Pod")
        uids = {str(item["metadata"]["uid"]) for kind in kinds for item in watched.select(kind, self.namespace)}
        found = observe_machines(watched, self.template, self.row.id)
        states = {machine.state for machine in found}
        if MachineState.FAILED not in states and (MachineState.STARTING in states or uids == self._sure):
            return found
        found = self.machines()
        self._sure = uids if {machine.state for machine in found} == {MachineState.RUNNING} else None
        return found

    def objects(self, variables: Mapping[str, str] | None = None) -> list[Object]:
        """All that belongs into the lab's namespace, in order. Raises Conflict where nothing was drawn for it yet, and
        Forbidden where the operator's policy does not allow it."""
        template, access, site = self.template, self.access(), self.around.site
        machines = {machine.name: access.machine(machine, self.around.terminal_key) for machine in template.machines}
        known = self.declared() if variables is None else variables
        installation = self.around.store.installation()
        objects = lab_objects(LabPlan(installation, self.row.id, template, machines, site=site, variables=known))
        permit(self.around.policy, template, objects, site)
        return objects

    def declared(self, *, learner: str | None = None, seed: str | None = None) -> dict[str, str]:
        """The variables that are known before the start: of this lab's learner, or as if it were another's."""
        name, drawn = (self.row.learner_name, self.row.seed) if learner is None or seed is None else (learner, seed)
        return declared(self.template, learner=name, lab=self.row.id, seed=drawn)

    def variables(self, addresses: Mapping[str, str]) -> dict[str, str]:
        """The lab's variables, its machines' addresses among them."""
        row = self.row
        return values(self.template, learner=row.learner_name, lab=row.id, seed=row.seed, addresses=addresses)

    def access(self) -> Access:
        """The lab's drawn values."""
        return Access.from_secret(self.row.id, self.around.cluster.get("Secret", self.namespace, names.ACCESS_SECRET))


def observe_machines(cluster: Selects, template: Template, lab: str) -> list[MachineStatus]:
    """Every machine of the template, as the cluster has it."""
    where = names.namespace_of(lab)
    types = {machine.type for machine in template.machines}
    kinds = ["VirtualMachine", "VirtualMachineInstance"] * ("vm" in types) + ["Pod"] * ("container" in types)
    found = {(kind, item["metadata"]["name"]): item for kind in kinds for item in cluster.select(kind, where)}
    return [
        container_status(machine, found.get(("Pod", machine.name)))
        if machine.type == "container"
        else machine_status(machine, *(found.get((kind, machine.name)) for kind in kinds[:2]))
        for machine in template.machines
    ]


def start(work: Work, then: Callable[[Work], None] | None = None) -> Result:
    """Make the lab's objects and wait until every machine's terminal answers (or it runs, where it has none).

    `then` is done to it before it is ready. A spare is set up when it is claimed, with its learner's variables.
    """
    row = work.row
    if row.ended is not None or row.wanted == "ended":
        raise Cancelled("the lab is being stopped")
    try:
        around, template = work.around, work.template
        permit_room(around.policy, template, row, around.store.labs(), around.templates)
        make(work)
        wait_until_usable(work, template)
        if then is not None:
            then(work)
        if row.spare is None:
            set_up(work)
    except (Cancelled, Interrupted, ClusterUnavailable):
        raise
    except LabkitError as error:
        _give_up(work, error)
        raise
    work.around.store.lab_ready(row.id)
    work.say("ready", "The lab is ready", 1.0)
    return None


def make(work: Work) -> None:
    """See to it that all the lab's objects are there."""
    cluster, row = work.around.cluster, work.row
    work.say("prepare", "Reading the template", 0.02)
    template = work.template
    installation = work.around.store.installation()
    work.say("network", "Making the lab's private network", 0.05)
    cluster.ensure(namespace(installation, row.id))
    cluster.ensure(access_secret(installation, row.id, draw(template)))
    work.say("machines", f"Making {_count(len(template.machines), 'machine')}", 0.1)
    for body in work.objects():
        work.go_on()
        cluster.ensure(body)


def stop(work: Work) -> Result:
    """Delete the lab's namespace and wait until nothing of it is left."""
    work.around.store.want(work.row.id, "ended")
    work.say("stopping", "Switching the machines off", 0.1)
    _delete_namespace(work, lambda share: work.say("stopping", "Switching the machines off", 0.1 + 0.85 * share))
    work.around.store.lab_ended(work.row.id)
    work.say("stopped", "The lab has ended; nothing of it is left", 1.0)
    return None


def check(work: Work) -> Result:
    """Run one step's check and keep its result. Results are unattested: here learner and operator may be one."""
    step = str(work.operation.arguments["step"])
    template = work.template
    wanted = template.checks.get(step)
    if wanted is None:
        raise NotFound(f"step {step!r} of {template.name} has no check")
    work.say("checking", f"Checking in {wanted.machine}", 0.2)
    machines = work.machines()
    machine, status = template.machine(wanted.machine), next(m for m in machines if m.name == wanted.machine)
    variables = work.variables({found.name: found.address for found in machines})
    result = checks.run_check(
        work.around.cluster, work.access(), wanted, machine, status, variables, attested=False, still=work.go_on
    )
    if result.verdict is not Verdict.ERROR:
        work.around.store.record_result(work.row.work, result)
    work.say("checked", result.feedback, 1.0)
    return {"step": step, "verdict": result.verdict.value, "feedback": result.feedback, "time": result.time}


def wait_until_usable(work: Work, template: Template, only: Collection[str] = ()) -> None:
    """Wait for every machine (or those named), telling how far it is; fail at once where the engine says that it will
    not be."""
    begun = time.monotonic()
    waiting = {machine.name: machine for machine in template.machines if not only or machine.name in only}
    failing: dict[str, float] = {}
    poll = _POLL_SECONDS[0]
    while waiting:
        for status in work.seen():
            if status.name in waiting and status.state is MachineState.FAILED:
                since = failing.setdefault(status.name, time.monotonic())
                if trouble_of(status.cause) not in PASSING or time.monotonic() - since > _PATIENCE_SECONDS:
                    raise MachineFailed(status)
            else:
                failing.pop(status.name, None)
            if status.name in waiting and _usable(work, waiting[status.name], status):
                del waiting[status.name]
        if waiting:
            elapsed = time.monotonic() - begun
            text = f"Starting {', '.join(sorted(waiting))}: {int(elapsed)} s"
            work.say("booting", text, 0.15 + 0.8 * (1 - math.exp(-elapsed / _BOOT_SCALE)))
            pause_a_little(work, begun + work.around.start_timeout, poll)
            poll = min(poll * 1.2, _POLL_SECONDS[1])


def set_up(work: Work, only: Collection[str] = ()) -> None:
    """Run the template's setup scripts in its new machines (or those named). Raises LabkitError where one fails."""
    template = work.template
    scripts = [script for script in template.setups if not only or script.machine in only]
    if not scripts:
        return
    work.say("setup", "Preparing the machines", 0.97)
    variables, access = work.variables({found.name: found.address for found in work.machines()}), work.access()
    for script in scripts:
        checks.run_setup(work.around.cluster, access, script, template.machine(script.machine), variables, work.go_on)


def _usable(work: Work, machine: Machine, status: MachineStatus) -> bool:
    """Whether a learner can use the machine: its terminal answers; or it just runs, where it has none."""
    if status.state is not MachineState.RUNNING:
        return False
    terminal = next((pane for pane in machine.panes if pane.type is PaneType.TERMINAL), None)
    return terminal is None or (bool(status.address) and _terminal_answers(work, machine, terminal))


def _terminal_answers(work: Work, machine: Machine, terminal: Pane) -> bool:
    secret = names.terminal_secret(work.around.terminal_key, work.row.id, machine.name)
    try:
        number = terminal.port or names.TERMINAL_PORT
        port = open_machine_port(work.around.cluster, work.row.id, machine, number, timeout=_TERMINAL_SECONDS)
        port.settimeout(_TERMINAL_SECONDS)
        try:
            port.sendall(f"GET /{secret}/token HTTP/1.0\r\nHost: {machine.name}\r\n\r\n".encode())
            return b" 200 " in port.recv(64)
        finally:
            port.close()
    except (ClusterError, OSError):
        return False


def pause_a_little(work: Work, deadline: float, seconds: float, *, cancel: bool = True) -> None:
    """Wait between two looks. Raises Cancelled (where it may be), or ClusterError where the time is up."""
    if cancel:
        work.go_on()
    else:
        work.stay()
    if time.monotonic() > deadline:
        raise ClusterError(f"the machines were not usable after {work.around.start_timeout:.0f} s")
    time.sleep(seconds)


def _give_up(work: Work, error: LabkitError) -> None:
    """After a start that cannot succeed: nothing half made stays, and the lab says why.

    Where there is only no room, and other labs that will end, the lab goes back into the queue for an hour (raises
    Interrupted).
    """
    store = work.around.store
    cause = trouble_of(error.cause if isinstance(error, MachineFailed) else str(error))
    others = any(row.admitted is not None and row.id != work.row.id for row in store.labs())
    if cause in FULL and others and time.time() - work.operation.created < _TRY_SECONDS:
        work.say("waiting", f"There is no room at the moment ({error}): it is tried again by itself", 0.0)
        _delete_namespace(work, lambda share: None)
        store.put_back(work.operation.id, time.time() + _RETRY_SECONDS)
        raise Interrupted("there is no room")
    words = error.words if isinstance(error, MachineFailed) else str(error)
    store.lab_failed(work.row.id, words, str(error) if words != str(error) else "")
    work.around.cluster.delete("Namespace", None, work.namespace)
    store.lab_ended(work.row.id)
    work.say("failed", words, 1.0)


def _delete_namespace(work: Work, tell: Callable[[float], None]) -> None:
    cluster = work.around.cluster
    begun = time.monotonic()
    while cluster.delete("Namespace", None, work.namespace):
        work.stay()
        elapsed = time.monotonic() - begun
        if elapsed > _NAMESPACE_SECONDS:
            raise ClusterUnavailable(f"namespace {work.namespace} is still being deleted after {elapsed:.0f} s")
        tell(1 - math.exp(-elapsed / 3))
        time.sleep(min(0.05 + elapsed / 10, 0.5))


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
