"""Where the engine keeps things. Pure: nothing is made here."""

from __future__ import annotations

from pathlib import Path

LONGEST_RUNTIME_DIR = 80
"""Characters: a Unix socket's whole path must stay below 108."""


class MachinePaths:
    """The files of one machine: sockets under the runtime folder, disks and logs under the state folder."""

    def __init__(self, runtime: Path, state: Path) -> None:
        self.runtime, self.state = runtime, state
        self.qmp = runtime / "qmp.sock"
        """QEMU's monitor. Its path on a command line is the mark of this machine's QEMU process."""
        self.vnc = runtime / "vnc.sock"
        self.serial = runtime / "serial.sock"
        self.agent = runtime / "qga.sock"
        """The guest agent's channel."""
        self.wake = runtime / "wake.sock"
        """The channel on which a saved machine is told who it is."""
        self.screenshot = runtime / "screen.png"
        """Where QEMU leaves a picture of the screen for a moment."""
        self.asleep = runtime / "asleep"
        """Is there until a clone has become the machine that it is to be."""
        self.reboot = runtime / "reboot"
        """Is there while the guest is asked to power off in order to be started anew."""
        self.frozen = runtime / "frozen"
        """Is there while the guest stands still only because its memory is being written."""
        self.memory = state / "machine.memory"
        """Memory and devices of a machine that was put away: while it is there, it is the machine."""
        self.address = state / "machine.address"
        """The address that it had."""
        self.present = runtime, self.memory
        """The machine has its disks as long as one of these is there."""
        self.logs = state / "logs"
        """The logs, which stay for as long as the machine's object does."""
        self.console_log = self.logs / "console.log"
        """The last output of the serial console."""
        self.qemu_log = self.logs / "qemu.log"
        """What QEMU itself, and the engine about it, had to say."""


class SegmentPaths:
    """The files of one namespace's network."""

    def __init__(self, runtime: Path, record: Path) -> None:
        self.runtime, self.record = runtime, record
        self.control = runtime / "control.sock"
        """The holder's socket. Its folder's path on a command line is the mark of its processes."""
        self.namespace = runtime / "net"
        """Leads to the network namespace. Its path on a command line is the mark of the way out's process."""


class EnginePaths:
    """The three folders given on the command line, and what is in them."""

    def __init__(self, state: Path, runtime: Path, images: Path) -> None:
        self.state, self.runtime, self.images = state, runtime, images
        self.engine = state / "engine"
        """Everything this engine keeps over a restart."""
        self.objects = self.engine / "objects"
        """The stored objects."""
        self.machines = self.engine / "machines"
        """A folder for each machine: disks and logs."""
        self.networks = self.engine / "networks"
        """A record for each namespace's network."""
        self.volumes = self.engine / "volumes"
        """A folder for each claim and each snapshot: disks that outlive machines."""
        self.warm = self.engine / "warm"
        """A folder for each template that machines are cloned from."""
        self.spares = self.engine / "spares.json"
        """The sets of which spares are kept by hand."""

    def machine(self, uid: str) -> MachinePaths:
        """The files of the machine whose VMI has this uid."""
        short = "m" + uid.replace("-", "")[:11]
        return MachinePaths(self.runtime / short, self.machines / short)

    def segment(self, uid: str) -> SegmentPaths:
        """The files of the network of the namespace with this uid."""
        short = "n" + uid.replace("-", "")[:11]
        return SegmentPaths(self.runtime / short, self.networks / f"{short}.json")
