"""Machines that are put away: their memory becomes a file, and later they go on from it. KubeVirt has no such thing."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from labkit.local.controllers.launch import TROUBLE, Launcher
from labkit.local.controllers.machines import Machines
from labkit.local.files import write_atomically
from labkit.local.objects import Obj, name_of, namespace_of, uid_of
from labkit.local.paths import EnginePaths
from labkit.local.qemu import machine
from labkit.local.storage import memory
from labkit.local.store import Store


class Keeping:
    """What clients and snapshots ask of machines' memory."""

    def __init__(self, store: Store, machines: Machines, launcher: Launcher, paths: EnginePaths) -> None:
        self._store = store
        self._machines = machines
        self._launcher = launcher
        self._paths = paths

    def away(self, vmi: Obj) -> bool:
        """Whether a machine is put away."""
        return self._machines.running(vmi) is None and self._machines.reports.put_away(vmi)

    async def put_away(self, vmi: Obj) -> None:
        """Make a running machine files: memory, devices and disks. Its process ends. Raises MachineError, OSError."""
        key = namespace_of(vmi), name_of(vmi)
        async with self._machines.alone[key]:
            if self._machines.reports.put_away(vmi) or (running := self._machines.running(vmi)) is None:
                return
            async with memory.still(running):
                await memory.keep(running, self._machines.address(vmi))
                self._machines.let_go(vmi)
                await running.kill()
            await self._machines.starter.end(vmi)
        self._machines.reports.event(
            self._machines.reports.observe(vmi, "Running"), "PutAway", "VirtualMachineInstance is a file now"
        )

    @contextlib.asynccontextmanager
    async def still(self, vmi: Obj, folder: Path) -> AsyncIterator[None]:
        """Have a machine stand still, its files copied to a folder. Raises MachineError, DiskError, OSError.

        One that is paused is put away for it: QEMU could not write its memory twice.
        """
        running, paths = self._machines.running(vmi), self._paths.machine(uid_of(vmi))
        if running and running.facts.paused:
            await self.put_away(vmi)
        async with self._machines.alone[namespace_of(vmi), name_of(vmi)], contextlib.AsyncExitStack() as stack:
            if running := self._machines.running(vmi):
                await stack.enter_async_context(memory.still(running))
                write_atomically(folder / paths.address.name, self._machines.address(vmi).encode())
                await memory.write(running, folder / paths.memory.name)
            elif not self._machines.reports.put_away(vmi):
                raise machine.MachineError("the machine does not run")
            await memory.copy_machine(paths.state, folder)
            yield

    async def put_back(self, uid: str, folder: Path) -> None:
        """Have a new machine of that uid go on from what ``still`` copied. Raises MachineError, DiskError, OSError."""
        if self._store.by_uid(uid) or self._store.owned_by(uid):
            raise machine.MachineError("the machine that was kept is not gone yet")
        await memory.put_back(folder, self._paths.machine(uid))

    async def resume(self, vmi: Obj) -> None:
        """Let a machine that was put away go on. Raises what TROUBLE names: it stays put away then."""
        key = namespace_of(vmi), name_of(vmi)
        async with self._machines.alone[key]:
            if self._machines.running(vmi):
                return
            try:
                if problem := self._launcher.obstacle(vmi):
                    raise machine.MachineError(problem.message)
                self._machines.take(vmi, await self._machines.starter.resume(vmi))
            except TROUBLE as error:
                why = f"the machine cannot go on from what was kept of it, which stays: {error}"
                self._machines.reports.event(vmi, "ResumeFailed", why, warning=True)
                raise
        self._machines.reports.event(
            self._machines.reports.observe(vmi, "Running"), "Resumed", "VirtualMachineInstance goes on"
        )
