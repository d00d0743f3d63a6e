"""Waiting until a lab's machines can be used: how that is told, and what ends the waiting."""

from __future__ import annotations

import math
import time
from collections.abc import Collection, Iterable
from itertools import chain

from labkit.errors import ClusterError
from labkit.manifests import names
from labkit.model import MachineState, MachineStatus, Pane, PaneType
from labkit.orchestrator.causes import PASSING, trouble_of
from labkit.orchestrator.inside import open_machine_port
from labkit.orchestrator.work import Work
from labkit.templates import BESIDE, Machine, Script, Template, bundled_image

_POLL_SECONDS = (0.05, 0.25)
_ANSWER_SECONDS = 5.0
_PATIENCE_SECONDS = 10.0
"""For how long a trouble that may pass by itself is no failure yet."""
_BOOT_SCALE = 8.0
"""Seconds after which the progress of a boot stands at about two thirds: it never claims to know the end."""


class MachineFailed(ClusterError):
    """A machine cannot start. `words` is what the learner is told."""

    def __init__(self, machine: MachineStatus) -> None:
        self.words, self.cause = f"machine {machine.name} cannot start: {machine.detail}", machine.cause
        super().__init__(f"{self.words} ({machine.cause})")


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


def _usable(work: Work, machine: Machine, status: MachineStatus) -> bool:
    """Whether a learner can use the machine: it runs, its terminal answers, and it can be signed in to."""
    if status.state is not MachineState.RUNNING:
        return False
    terminal = next((pane for pane in machine.panes if pane.type is PaneType.TERMINAL), None)
    if (terminal or _serves_ssh(work, machine)) and not status.address:
        return False
    if terminal and not _terminal_answers(work, machine, terminal):
        return False
    return not _serves_ssh(work, machine) or _answers(work, machine, names.SSH_PORT)


def _serves_ssh(work: Work, machine: Machine) -> bool:
    """Whether an SSH server is to be waited for: scripts need one, and labkit's own images have one, which a learner's
    commands and files may need at once. Of another image without scripts, nobody knows whether it has one."""
    if machine.type != "vm":
        return False
    scripted = any(script.machine in (machine.name, BESIDE) for script in _scripts(work.template))
    return scripted or (machine.image.source == "bundled" and "ssh" in bundled_image(machine.image.reference).ports)


def _scripts(template: Template) -> Iterable[Script]:
    return chain(*template.checks.values(), template.setups, template.solutions, template.cleanups)


def _terminal_answers(work: Work, machine: Machine, terminal: Pane) -> bool:
    secret = names.terminal_secret(work.around.terminal_key, work.row.id, machine.name)
    request = f"GET /{secret}/token HTTP/1.0\r\nHost: {machine.name}\r\n\r\n"
    return _answers(work, machine, terminal.port or names.TERMINAL_PORT, request.encode(), b" 200 ")


def _answers(work: Work, machine: Machine, number: int, request: bytes = b"", wanted: bytes = b"SSH-") -> bool:
    try:
        port = open_machine_port(work.around.cluster, work.row.id, machine, number, timeout=_ANSWER_SECONDS)
        port.settimeout(_ANSWER_SECONDS)
        try:
            port.sendall(request)
            return wanted in port.recv(64)
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
