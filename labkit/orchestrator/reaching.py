"""Into a lab's machines for native programs: a command as root, the learner's own sign-in, a port."""

from __future__ import annotations

from collections.abc import Callable

from labkit.cluster.streams import StreamTarget
from labkit.errors import Conflict, Forbidden, NotBuilt
from labkit.manifests import names
from labkit.model import Login, MachineState, Principal, Role
from labkit.orchestrator import inside, ssh
from labkit.orchestrator.asking import Asking
from labkit.store import LabRow
from labkit.templates import Machine

_REMEDIES = {
    MachineState.STOPPED: "`labkit resume LAB` or `labkit reset LAB` starts it again",
    MachineState.PAUSED: "`labkit resume LAB` lets it go on",
    MachineState.STARTING: "wait until it runs",
    MachineState.FAILED: "`labkit status LAB` says why, `labkit reset LAB` makes it anew",
}


class Reaching(Asking):
    """These calls of `Labs`."""

    def execute(
        self, principal: Principal, lab: str, machine: str, command: str, *, timeout: float, as_learner: bool = False
    ) -> ssh.Completed:
        row = self._row(principal, lab)
        if as_learner:
            login, way = self.login(principal, lab, machine), self.port(principal, lab, machine, names.SSH_PORT)
            return ssh.run_as(way(), login, machine, command, timeout=timeout)
        if principal.role is not Role.OPERATOR:
            raise Forbidden("commands as root in a machine are for operators")
        wanted = self._running(row, machine)
        return inside.run(self._around.cluster, self._access(row), wanted, command, timeout=timeout)

    def login(self, principal: Principal, lab: str, machine: str) -> Login:
        row = self._row(principal, lab)
        wanted = self._template(row).machine(machine)
        if wanted.type != "vm":
            raise NotBuilt(
                f"machine {machine} is a container, which has no SSH server: use its panes; operators, `labkit exec`"
            )
        self._running(row, machine)
        return self._access(row).learner_login(wanted, self._around.terminal_key)

    def port(self, principal: Principal, lab: str, machine: str, port: int) -> Callable[[], StreamTarget]:
        row = self._row(principal, lab)
        wanted = self._running(row, machine)
        return lambda: inside.port_target(self._around.cluster, row.id, wanted, port)

    def _running(self, row: LabRow, machine: str) -> Machine:
        """The machine, which runs and has an address. Raises NotFound, Conflict."""
        wanted = self._template(row).machine(machine)
        if row.ended is not None:
            raise Conflict(f"lab {row.id} has ended")
        status = next((found for found in self._status(row).machines if found.name == machine), None)
        state = status.state if status else MachineState.STOPPED
        if state is not MachineState.RUNNING:
            raise Conflict(f"machine {machine} is {state.value}: {_REMEDIES[state].replace('LAB', row.id)}")
        if status is None or not status.address:
            raise Conflict(f"machine {machine} has no address yet: wait a little")
        return wanted
