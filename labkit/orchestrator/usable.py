"""Waiting until a lab's machines can be used: how that is told, and what ends the waiting."""

from __future__ import annotations

import logging
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

_log = logging.getLogger(__name__)
_POLL_SECONDS = (0.05, 0.25)
_ANSWER_SECONDS = 5.0
_SSH_SECONDS = 30.0
"""For how long an SSH server is waited for once a terminal has answered."""
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
    looks = {name: _Look(work, machine) for name, machine in waiting.items()}
    poll = _POLL_SECONDS[0]
    while waiting:
        for status in work.seen():
            if status.name in waiting and status.state is MachineState.FAILED:
                since = failing.setdefault(status.name, time.monotonic())
                if trouble_of(status.cause) not in PASSING or time.monotonic() - since > _PATIENCE_SECONDS:
                    raise MachineFailed(status)
            else:
                failing.pop(status.name, None)
            if status.name in waiting and looks[status.name].usable(status):
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


class _Look:
    """What is known of one machine that is waited for."""

    def __init__(self, work: Work, machine: Machine) -> None:
        self._work, self._machine = work, machine
        self._terminal = next((pane for pane in machine.panes if pane.type is PaneType.TERMINAL), None)
        self._answered: float | None = None

    def usable(self, status: MachineStatus) -> bool:
        """Whether a learner can use the machine: it runs, its terminal answers, and it can be signed in to.

        A terminal answers a second before the SSH server does, which commands, files and checks need. But a machine
        may be meant to have none, or its learner have stopped it: beside a terminal it is not waited for long.
        """
        if status.state is not MachineState.RUNNING:
            return False
        if self._terminal is None:
            return not self._is_scripted() or (bool(status.address) and self._can_be_signed_in_to())
        if self._answered is None and status.address and _terminal_answers(self._work, self._machine, self._terminal):
            self._answered = time.monotonic()
        if self._answered is None:
            return False
        if not (self._is_scripted() or self._has_ssh()) or self._can_be_signed_in_to():
            return True
        if time.monotonic() - self._answered < _SSH_SECONDS:
            return False
        _log.warning("machine %s of lab %s has a terminal, but no SSH server", self._machine.name, self._work.row.id)
        return True

    def _is_scripted(self) -> bool:
        named = (self._machine.name, BESIDE)
        return self._machine.type == "vm" and any(script.machine in named for script in _scripts(self._work.template))

    def _has_ssh(self) -> bool:
        """As far as is known: of labkit's own images."""
        image = self._machine.image
        return image.source == "bundled" and "ssh" in bundled_image(image.reference).ports

    def _can_be_signed_in_to(self) -> bool:
        return _answers(self._work, self._machine, names.SSH_PORT)


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
