"""How a machine comes to run: from its own memory, as a parked spare, as a clone of a warm template, or by booting."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable

from labkit.local import processes
from labkit.local.controllers.launch import TROUBLE, Launcher
from labkit.local.controllers.reports import Reports
from labkit.local.files import remove_tree
from labkit.local.objects import Obj, uid_of
from labkit.local.paths import EnginePaths
from labkit.local.qemu import agent, machine, plan
from labkit.local.storage import memory
from labkit.local.warm import waking
from labkit.local.warm.spares import Spares
from labkit.local.warm.warm import Warm

_CLOCK_SECONDS = 10.0


@contextlib.asynccontextmanager
async def _closing(found: machine.Machine) -> AsyncIterator[None]:
    """Let go of a machine with which something goes wrong."""
    try:
        yield
    except BaseException:
        await found.close()
        raise


class Starter:
    """Starts machines. ``clear`` removes what a start that failed has left of one."""

    def __init__(
        self,
        launcher: Launcher,
        warm: Warm,
        spares: Spares,
        reports: Reports,
        paths: EnginePaths,
        clear: Callable[[Obj], Awaitable[None]],
    ) -> None:
        self._launcher = launcher
        self._warm = warm
        self._spares = spares
        self._reports = reports
        self._paths = paths
        self._clear = clear

    async def start(self, vmi: Obj) -> machine.Machine:
        """The running machine of a VMI for which nothing is in the way. Raises what TROUBLE names."""
        if self._paths.machine(uid_of(vmi)).memory.exists():
            return await self.resume(self._reports.mark(vmi, "resumed"))
        if found := await self._warm_start(vmi):
            return found
        process = await self._launcher.launch(vmi)
        return await self.connect(self._reports.mark(vmi, "cold"), process)

    async def resume(self, vmi: Obj) -> machine.Machine:
        """The machine of a VMI that was put away, where it was. Raises what TROUBLE names: nothing has changed then."""
        try:
            found = await self.connect(vmi, await self._launcher.again(vmi))
            async with _closing(found):
                await memory.take_back(found)
        except TROUBLE:
            await self.end(vmi)
            raise
        await self._set_clock(vmi, found)
        return found

    async def end(self, vmi: Obj) -> None:
        """Remove the process and the sockets of a machine; its files stay."""
        paths = self._paths.machine(uid_of(vmi))
        await processes.end_all(machine.mark(paths))
        await asyncio.to_thread(remove_tree, paths.runtime)

    async def _set_clock(self, vmi: Obj, found: machine.Machine) -> None:
        """A guest that stood still for long does not know it."""
        now = {"time": time.time_ns()}
        try:
            await agent.ask(found.paths.agent, "guest-set-time", now, seconds=_CLOCK_SECONDS)
        except agent.AgentError as error:
            why = f"the machine's clock may still be at the time at which it was put away: {error}"
            self._reports.event(vmi, "ClockNotSet", why, warning=True)

    async def connect(self, vmi: Obj, process: processes.Detached) -> machine.Machine:
        """The machine of a VMI whose QEMU is this process. Raises MachineError."""
        found = machine.Machine(self._paths.machine(uid_of(vmi)), process, lambda: None)
        async with _closing(found):
            await found.connect(
                serial=plan.wants(vmi, "autoattachSerialConsole"), keep_log=plan.wants(vmi, "logSerialConsole")
            )
        return found

    async def _warm_start(self, vmi: Obj) -> machine.Machine | None:
        """A spare or a clone, or None where the machine has to boot: a warm start may fail, and no start for that."""
        for how in (self._unpark, self._clone):
            try:
                if found := await how(vmi):
                    found.paths.asleep.unlink()
                    return found
            except TROUBLE as error:
                await self._clear(vmi)
                why = f"the machine is started in another way, for a warm start failed: {error}"
                self._reports.event(vmi, "WarmStartFailed", why, warning=True)
        return None

    async def _clone(self, vmi: Obj) -> machine.Machine | None:
        template = self._warm.template(vmi)
        if template is None or not self._launcher.seeds_fit(vmi):
            return None
        try:
            process = await self._launcher.launch(vmi, template)
            found = await self.connect(self._reports.mark(vmi, "warm"), process)
            async with _closing(found):
                (await waking.wake(found, template, self._launcher.place(vmi))).close()
        except TROUBLE:
            self._warm.shelf.failed(template)
            raise
        self._warm.shelf.hit(template)
        return found

    async def _unpark(self, vmi: Obj) -> machine.Machine | None:
        spare = self._spares.take(uid_of(vmi))
        if spare is None:
            return None
        with contextlib.closing(spare.line):
            async with _closing(spare.machine):
                self._reports.mark(vmi, "spare")
                await self._launcher.take_over(vmi)
                await spare.machine.unpause()
                await waking.become(spare.line, self._launcher.place(vmi))
        return spare.machine
