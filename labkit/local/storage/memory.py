"""What a machine is, kept as files: its memory and devices beside its disks, so that it can go on later where it was.

KubeVirt has no such thing. The file of the memory is the machine from the moment at which it has its name until it is
taken back: a QEMU that is there meanwhile is not.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

from labkit.local.files import make_private, remove_tree, write_atomically
from labkit.local.paths import MachinePaths
from labkit.local.qemu.machine import Machine, MachineError
from labkit.local.storage.disks import DiskError, copy, sync, whole

_BYTES_A_SECOND = 2**40
"""QEMU would otherwise write no more than 128 MiB a second, as if there were a network in between."""


@asynccontextmanager
async def still(machine: Machine) -> AsyncIterator[None]:
    """Have a guest stand still, and go on afterwards if it ran. Raises MachineError.

    Where the engine is killed meanwhile, ``go_on`` is what the next one does.
    """
    if machine.facts.paused:
        yield
        return
    machine.paths.frozen.touch(mode=0o600)
    await machine.pause()
    try:
        yield
    finally:
        if machine.process.running:
            await go_on(machine)


async def go_on(machine: Machine) -> None:
    """Let a guest run that stood still for its memory to be written. Raises MachineError."""
    for begun in machine.paths.state.glob(f".{machine.paths.memory.name}.*"):
        begun.unlink()
    if (await machine.execute("query-migrate")).get("status") in ("setup", "active", "device"):
        await machine.execute("migrate_cancel")
    await machine.unpause()
    machine.paths.frozen.unlink(missing_ok=True)


async def write(machine: Machine, target: Path, disks: Iterable[Path] = ()) -> None:
    """Write memory and devices of a guest that stands still to a file. Raises MachineError, OSError.

    What it wrote to its disks is in their files by then; in those named here a power cut does not take it either.
    """
    await machine.execute("migrate-set-parameters", {"max-bandwidth": _BYTES_A_SECOND})
    async with whole(target) as file:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            await machine.save(descriptor)
        finally:
            os.close(descriptor)
        for disk in disks:
            await asyncio.to_thread(sync, disk)


async def keep(machine: Machine, address: str) -> None:
    """Make a guest that stands still a file among its own, beside its disks. Raises MachineError, OSError."""
    write_atomically(machine.paths.address, address.encode())
    await write(machine, machine.paths.memory, machine.paths.state.glob("[!.]*.qcow2"))


async def take_back(machine: Machine) -> None:
    """Have a QEMU that was started for it run as the machine that is in its file. Raises MachineError, OSError."""
    file, taken = machine.paths.memory, machine.paths.memory.with_suffix(".taken")
    with file.open("rb") as source:
        await machine.load(source.fileno())
    # From here on the QEMU is the machine; until the guest runs that can be taken back.
    file.replace(taken)
    try:
        await machine.unpause()
    except MachineError:
        taken.replace(file)
        raise
    taken.unlink()


async def copy_machine(source: Path, target: Path) -> None:
    """Copy the files of a machine that stands still; its memory, if it is there, comes last. Raises DiskError, OSError.

    What a clone's disk lies on never changes, and is no copy.
    """
    for file in sorted(source.glob("[!.]*.*"), key=lambda file: file.suffix == ".memory"):
        if file.name.endswith(".template.qcow2"):
            (target / file.name).unlink(missing_ok=True)
            (target / file.name).hardlink_to(file)
        else:
            await copy(file, target / file.name)


async def put_back(source: Path, paths: MachinePaths) -> None:
    """Make a machine that is not there out of what ``copy_machine`` wrote. Raises DiskError, OSError."""
    await asyncio.to_thread(remove_tree, paths.state)
    make_private(paths.logs)
    for log in (paths.console_log, paths.qemu_log):
        log.touch(mode=0o600)
    if not (source / paths.memory.name).exists():
        raise DiskError("the snapshot's memory is gone")
    await copy_machine(source, paths.state)
