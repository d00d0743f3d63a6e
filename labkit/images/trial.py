"""Booting a disk, out of everybody's way: to see whether it boots at all, or to let it change itself."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from labkit.images.errors import BootFailed
from labkit.images.tools import SEARCH, require

# What firmware, boot loaders and kernels say when it has come to an end.
DEAD = ("No bootable device", "Boot failed", "Kernel panic", "grub rescue>", "Unable to mount root", "(initramfs)")
MEMORY = 1024  # MiB
WITH_US = ("setpriv", "--pdeathsig", "KILL", "--")  # a machine does not outlive a build that is killed
_LOOK = 0.1


@dataclass(frozen=True)
class Boot:
    """How to boot: the accelerator (kvm or tcg), and after how many seconds to give up."""

    accelerator: str = "tcg"
    seconds: float = 600.0


class _Machine:
    """A running machine whose serial console goes to a file."""

    def __init__(self, process: subprocess.Popen[bytes], folder: Path, deadline: float) -> None:
        self.process, self._folder, self._deadline = process, folder, deadline

    def said(self) -> str:
        serial = self._folder / "serial"
        return serial.read_text(errors="replace") if serial.exists() else ""

    def complaint(self) -> str:
        """What QEMU itself had to say, as the end of a sentence."""
        lines = (self._folder / "complaints").read_text(errors="replace").strip().splitlines()
        return f"; QEMU says: {lines[-1]}" if lines else ""

    def looks(self) -> Iterator[str]:
        """What was said so far, again and again until the time is over; the last look is after the machine's end."""
        while time.monotonic() < self._deadline:
            ended = self.process.poll() is not None
            yield self.said()
            if ended:
                return
            time.sleep(_LOOK)


def boots(disk: Path, boot: Boot, called: str) -> str:
    """The line by which a disk, called `called`, showed that it boots. Nothing is written to it. Raises BootFailed."""
    with _running(disk, boot, ["-snapshot"]) as machine:
        before = ""
        for said in machine.looks():
            for line in said.splitlines(keepends=True):
                if "login:" in line or ("labkit: " in line and line.rstrip().endswith(" is ready")):
                    return line.strip()
                # A line that has no end yet may be half of one; a prompt stays as it is.
                if any(word in line for word in DEAD) and (line.endswith("\n") or said == before):
                    raise BootFailed(f"{called} does not boot: it says '{line.strip()[:200]}'.")
            before = said
        last = f"its last words: {_last(machine.said())}{machine.complaint()}"
        if machine.process.poll() is not None:
            raise BootFailed(f"{called} does not boot: the machine ended by itself; {last}.")
        raise BootFailed(
            f"{called} has not said on its serial console within {boot.seconds:.0f} s that it is up; {last}. "
            "If it boots and only says nothing there, --no-try takes it as it is."
        )


def until_off(disk: Path, boot: Boot, called: str, extra: Sequence[str]) -> str:
    """Boot a disk, let the machine write to it and turn itself off; what it said. Raises BootFailed."""
    with _running(disk, boot, extra) as machine:
        for said in machine.looks():
            if any(word in said for word in DEAD):
                break
        if machine.process.poll() == 0:
            return machine.said()
        raise BootFailed(
            f"{called} did not turn itself off within {boot.seconds:.0f} s; its last words: "
            f"{_last(machine.said())}{machine.complaint()}."
        )


def escaped(path: Path) -> str:
    """A path as QEMU's options want it."""
    return str(path).replace(",", ",,")


@contextmanager
def _running(disk: Path, boot: Boot, extra: Sequence[str]) -> Iterator[_Machine]:
    require(("qemu-system-x86_64", "setpriv"))
    drive = f"file={escaped(disk)},format=qcow2,if=none,id=disk,cache=unsafe"
    # Without a display for itself the firmware talks to the serial port, too: 'No bootable device' is seen.
    command = f"""
        qemu-system-x86_64 -nodefaults -machine q35,graphics=off -accel {boot.accelerator}
        -cpu {"host" if boot.accelerator == "kvm" else "qemu64"} -m {MEMORY} -smp 2 -display none -device VGA -no-reboot
        -device virtio-rng-pci -device virtio-blk-pci,drive=disk,bootindex=1 -serial file:serial
    """.split()
    with TemporaryDirectory(prefix="labkit-try-") as name, open(Path(name) / "complaints", "wb") as complaints:
        process = subprocess.Popen(
            [*WITH_US, *command, "-drive", drive, *extra],
            cwd=name,
            env={"PATH": SEARCH, "TMPDIR": name},
            stderr=complaints,
        )
        try:
            yield _Machine(process, Path(name), time.monotonic() + boot.seconds)
        finally:
            process.kill()
            process.wait()


def _last(said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return f"'{lines[-1][-200:]}'" if lines else "none"
