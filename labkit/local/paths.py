"""Where the engine keeps things. Pure: nothing is made here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

LONGEST_RUNTIME_DIR = 80
"""Characters: a Unix socket's whole path must stay below 108."""


@dataclass(frozen=True)
class MachinePaths:
    """The files of one machine: sockets under the runtime folder, disks and logs under the state folder."""

    runtime: Path
    state: Path

    @property
    def qmp(self) -> Path:
        """QEMU's monitor. Its path on a command line is the mark of this machine's QEMU process."""
        return self.runtime / "qmp.sock"

    @property
    def vnc(self) -> Path:
        """The screen."""
        return self.runtime / "vnc.sock"

    @property
    def serial(self) -> Path:
        """The serial console."""
        return self.runtime / "serial.sock"

    @property
    def agent(self) -> Path:
        """The guest agent's channel."""
        return self.runtime / "qga.sock"

    @property
    def screenshot(self) -> Path:
        """Where QEMU leaves a picture of the screen for a moment."""
        return self.runtime / "screen.png"

    @property
    def logs(self) -> Path:
        """The logs, which stay for as long as the machine's object does."""
        return self.state / "logs"

    @property
    def console_log(self) -> Path:
        """The last output of the serial console."""
        return self.logs / "console.log"

    @property
    def qemu_log(self) -> Path:
        """What QEMU itself, and the engine about it, had to say."""
        return self.logs / "qemu.log"

    @property
    def asleep(self) -> Path:
        """Is there until a clone has become the machine that it is to be."""
        return self.runtime / "asleep"

    @property
    def reboot(self) -> Path:
        """Is there while the guest is asked to power off in order to be started anew."""
        return self.runtime / "reboot"


@dataclass(frozen=True)
class SegmentPaths:
    """The files of one namespace's network."""

    runtime: Path
    record: Path

    @property
    def control(self) -> Path:
        """The holder's socket. Its folder's path on a command line is the mark of its processes."""
        return self.runtime / "control.sock"

    @property
    def namespace(self) -> Path:
        """Leads to the network namespace. Its path on a command line is the mark of the way out's process."""
        return self.runtime / "net"


@dataclass(frozen=True)
class EnginePaths:
    """The three folders given on the command line, and what is in them."""

    state: Path
    runtime: Path
    images: Path

    @property
    def engine(self) -> Path:
        """Everything this engine keeps over a restart."""
        return self.state / "engine"

    @property
    def objects(self) -> Path:
        """The stored objects."""
        return self.engine / "objects"

    @property
    def machines(self) -> Path:
        """A folder for each machine: disks and logs."""
        return self.engine / "machines"

    @property
    def networks(self) -> Path:
        """A record for each namespace's network."""
        return self.engine / "networks"

    @property
    def volumes(self) -> Path:
        """A folder for each claim and each snapshot: disks that outlive machines."""
        return self.engine / "volumes"

    @property
    def warm(self) -> Path:
        """A folder for each template that machines are cloned from."""
        return self.engine / "warm"

    def machine(self, uid: str) -> MachinePaths:
        """The files of the machine whose VMI has this uid."""
        short = "m" + uid.replace("-", "")[:11]
        return MachinePaths(self.runtime / short, self.machines / short)

    def segment(self, uid: str) -> SegmentPaths:
        """The files of the network of the namespace with this uid."""
        short = "n" + uid.replace("-", "")[:11]
        return SegmentPaths(self.runtime / short, self.networks / f"{short}.json")
