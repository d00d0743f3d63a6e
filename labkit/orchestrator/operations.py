"""What each kind of operation does, step by step. Every step may be killed and repeated.

A function here runs in a worker, reports stages as it goes, and returns the operation's result; what it raises becomes
the operation's error. The table of kinds is in `kinds.py`; what is done to running labs in `changes.py`.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Collection, Iterable

from labkit.errors import ClusterError, ClusterUnavailable, LabkitError, NotFound
from labkit.manifests import names
from labkit.manifests.lab import access_secret, namespace
from labkit.model import MachineState, MachineStatus, Pane, PaneType, Verdict
from labkit.orchestrator import checks
from labkit.orchestrator.access import draw
from labkit.orchestrator.causes import FULL, PASSING, trouble_of
from labkit.orchestrator.inside import open_machine_port
from labkit.orchestrator.permission import permit_room
from labkit.orchestrator.work import Cancelled, Interrupted, Result, Work
from labkit.templates import Machine, Template

_log = logging.getLogger(__name__)
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


class MachineFailed(ClusterError):
    """A machine cannot start. `words` is what the learner is told."""

    def __init__(self, machine: MachineStatus) -> None:
        self.words, self.cause = f"machine {machine.name} cannot start: {machine.detail}", machine.cause
        super().__init__(f"{self.words} ({machine.cause})")


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
    make_objects(work)


def make_objects(work: Work) -> None:
    """Make what is not there yet, a machine once those are usable that it is to be started after."""
    after = {machine.name: machine.after for machine in work.template.machines}
    for body in work.objects():
        work.go_on()
        first = after[body["metadata"]["name"]] if body["kind"] in ("VirtualMachine", "Pod") else ()
        if first:
            wait_until_usable(work, work.template, first)
        work.around.cluster.ensure(body)


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
            _check_patience(waiting.values(), elapsed)
            text = f"Starting {', '.join(sorted(waiting))}: {int(elapsed)} s"
            work.say("booting", text, 0.15 + 0.8 * (1 - math.exp(-elapsed / _BOOT_SCALE)))
            pause_a_little(work, begun + work.around.start_timeout, poll)
            poll = min(poll * 1.2, _POLL_SECONDS[1])


def _check_patience(waiting: Iterable[Machine], elapsed: float) -> None:
    """Raises ClusterError where a machine is not ready in the time that its template gives it."""
    for machine in waiting:
        longest = machine.ready.timeout_seconds if machine.ready else None
        if longest is not None and elapsed > longest:
            raise ClusterError(
                f"machine {machine.name} was not ready within the {longest} s that its template gives it"
            )


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
        _log.info("no room for lab %s: %s", work.row.id, error)
        work.say("waiting", "There is no room at the moment: it is tried again by itself", 0.0)
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
