"""A lab's machines in a notebook: `lab.machines["web"].run("ip a")`."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping

import urllib3
from IPython.display import Image

from labkit import launcher
from labkit.errors import LabkitError, NotBuilt, NotFound, SetupError
from labkit.jupyter import running
from labkit.jupyter.files import Files
from labkit.jupyter.session import labs, principal, watch
from labkit.jupyter.shown import Output, Shown, Table
from labkit.jupyter.widgets import LabView
from labkit.manifests import names
from labkit.model import LabStatus, MachineStatus, Pane, PaneLink, PaneType
from labkit.remote.client import service_of
from labkit.settings import load
from labkit.wording import did_you_mean

_SHELLS = (PaneType.TERMINAL, PaneType.EXEC, PaneType.CONSOLE)
_GATEWAY_SECONDS = 30.0
Shows = Callable[[dict[str, str]], LabView]


class Machine:
    """One machine of a lab: run commands in it, look at it, reset it.

    ``web.run("ip a")``, ``web.terminal()``, ``web.vnc()``, ``web.open("site")``, ``web.screenshot()``, ``web.pause()``,
    ``web.resume()``, ``web.reset()``, ``web.files.read_text("notes.txt")``. `web.status` has its state and address.
    """

    def __init__(self, lab: str, name: str, show: Shows) -> None:
        self.lab, self.name, self._show = lab, name, show
        self.files = Files(lab, name)

    @property
    def status(self) -> MachineStatus:
        """The machine at this moment: `state`, `address`, `panes`, and `detail` where something is wrong."""
        found = labs().status(principal(), self.lab).machines
        one = next((machine for machine in found if machine.name == self.name), None)
        if one is None:
            raise NotFound(f"lab {self.lab} has no machine {self.name} at the moment")
        return one

    def run(self, command: str, *, stdin: str = "", timeout: float | None = None, quiet: bool = False) -> Output:
        """Run a shell command as the machine's first user, and show what it says while it runs.

        Gives its text and exit status (`.text`, `.status`, `.ok`). Interrupting the kernel ends the command. A
        container, which has no SSH server, runs it as root. There, and where labs are a service's, it is shown when it
        has ended, 16 KiB of each output; a service waits for a minute, and runs none in containers.

        Raises MachineUnreachable where nothing answers; LabkitError after `timeout` seconds.
        """
        found, who = labs(), principal()
        try:
            login = found.login(who, self.lab, self.name)
        except NotBuilt:
            return self._at_its_end(command, stdin, timeout, quiet, as_learner=service_of(found) is not None)
        way = found.port(who, self.lab, self.name, names.SSH_PORT)
        return running.run(way, login, self.name, command, stdin=stdin, timeout=timeout, quiet=quiet)

    def terminal(self) -> LabView:
        """The machine's terminal, in this cell."""
        return self._pane_of(*_SHELLS)

    def vnc(self) -> LabView:
        """The machine's screen, in this cell."""
        return self._pane_of(PaneType.VNC)

    def open(self, pane: str | None = None) -> LabView:
        """One of the machine's panes by its name (default: the first), in this cell."""
        panes = self.status.panes
        known = [one.name for one in panes]
        wanted = pane or next(iter(known), "")
        if wanted not in known:
            raise NotFound(f"machine {self.name} has no pane {wanted!r}{did_you_mean(wanted, known)}")
        return self._show({"pane": f"{self.name}:{wanted}"})

    def screenshot(self) -> Image:
        """A picture of the machine's screen (`.data` are the bytes of a PNG). NotFound where it has no screen."""
        link = labs().pane_link(principal(), self.lab, self.name, self._find(PaneType.VNC).name)
        return Image(data=_from_gateway(link, "screenshot"))  # type: ignore[no-untyped-call]

    def pause(self, *, off: bool = False) -> None:
        """Freeze the machine; with `off`, it takes no memory (on a cluster: where no disk is lost). Not a container."""
        watch(labs().pause(principal(), self.lab, off=off, machine=self.name), f"Pausing {self.name}")

    def resume(self) -> None:
        """Let the machine go on."""
        watch(labs().resume(principal(), self.lab, machine=self.name), f"Resuming {self.name}")

    def reset(self) -> None:
        """Make the machine anew: what was written to its disk is lost. Waits until it can be used."""
        watch(labs().reset(principal(), self.lab, machine=self.name), f"Resetting {self.name}")

    def _pane_of(self, *types: PaneType) -> LabView:
        return self.open(self._find(*types).name)

    def _find(self, *types: PaneType) -> Pane:
        for kind in types:
            for pane in self.status.panes:
                if pane.type is kind:
                    return pane
        raise NotFound(f"machine {self.name} has no pane of type {types[0].value}")

    def _at_its_end(self, command: str, stdin: str, timeout: float | None, quiet: bool, *, as_learner: bool) -> Output:
        if stdin:
            raise NotBuilt(f"commands in machine {self.name} cannot be given input: it is a container, or a service's")
        begun, who = time.monotonic(), principal()
        done = labs().execute(who, self.lab, self.name, command, timeout=timeout or 600, as_learner=as_learner)
        took = time.monotonic() - begun
        if not quiet:
            print(done.stdout, end="")
            print(done.stderr, end="", file=sys.stderr)
        if done.status is None:
            raise LabkitError(f"the command did not end within {took:.0f} s")
        return Output(done.status, done.stdout + done.stderr, took)

    def __repr__(self) -> str:
        one = self.status
        words = (one.state.value, one.address, one.detail)
        return f"<machine {self.name}: {', '.join(word for word in words if word)}>"


class Machines(Shown, Mapping[str, Machine]):
    """A lab's machines by name; shown, a table of how they are. Tab completes names: ``lab.machines["<Tab>``."""

    def __init__(self, status: Callable[[], LabStatus], show: Shows) -> None:
        self._status, self._show = status, show

    def __getitem__(self, name: str) -> Machine:
        status = self._status()
        known = [machine.name for machine in status.machines]
        if name not in known:
            raise NotFound(f"lab {status.id} has no machine {name!r}{did_you_mean(name, known)}")
        return Machine(status.id, name, self._show)

    def __iter__(self) -> Iterator[str]:
        return iter([machine.name for machine in self._status().machines])

    def __len__(self) -> int:
        return len(self._status().machines)

    def __contains__(self, name: object) -> bool:
        return name in list(self)

    def _ipython_key_completions_(self) -> list[str]:
        return list(self)

    def _table(self) -> Table:
        rows = [
            (one.name, one.state.value, one.address, ", ".join(pane.name for pane in one.panes), one.detail)
            for one in self._status().machines
        ]
        return Table(("MACHINE", "STATE", "ADDRESS", "PANES", ""), rows, empty="No machines.")


def _from_gateway(link: PaneLink, what: str) -> bytes:
    """What the gateway answers to a pane's ticket, which is for no other address. Raises SetupError, LabkitError."""
    root = load().url or launcher.gateway_root(load())
    url, headers = f"{root.rstrip('/')}/{link.path}{what}", {"Labkit-Ticket": link.ticket}
    try:
        answer = urllib3.request("GET", url, headers=headers, redirect=False, retries=False, timeout=_GATEWAY_SECONDS)
    except urllib3.exceptions.HTTPError as error:
        remedy = f"is {load().url} right?" if load().url else "`labkit engine up` starts it"
        raise SetupError(f"the gateway does not answer; {remedy}") from error
    if answer.status == 200:
        return answer.data
    said = json.loads(answer.data).get("error") if answer.data.startswith(b"{") else ""
    raise LabkitError(str(said or f"the gateway refused it (HTTP {answer.status})"))
