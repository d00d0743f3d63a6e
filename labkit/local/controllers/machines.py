"""VirtualMachineInstances: each one a QEMU process, from its first check to its last file."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
from collections import defaultdict
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from labkit.local import processes
from labkit.local.api.status import ApiError
from labkit.local.controllers import probes
from labkit.local.controllers.events import Recorder
from labkit.local.controllers.launch import TROUBLE, Launcher
from labkit.local.controllers.queue import Key, WorkQueue
from labkit.local.controllers.reports import Reports
from labkit.local.controllers.starting import Starter
from labkit.local.controllers.virtualmachines import VM, VMI
from labkit.local.files import remove_tree
from labkit.local.kubevirt.rules import PROBES
from labkit.local.kubevirt.vmi_status import (
    FINAL,
    Problem,
    grace_left,
    pod_spec,
)
from labkit.local.network.segments import NetworkError, Segments, Streams
from labkit.local.objects import (
    Obj,
    controller_uid,
    deleting,
    get_path,
    name_of,
    namespace_of,
    uid_of,
    without_finalizer,
)
from labkit.local.paths import EnginePaths
from labkit.local.qemu import machine, plan
from labkit.local.storage import memory
from labkit.local.store import Change, Store
from labkit.local.warm.spares import Spares
from labkit.local.warm.warm import START, Warm

log = logging.getLogger(__name__)

FINALIZER = "kubevirt.io/foregroundDeleteVirtualMachine"
_RETRY_SECONDS = 5.0
_ENDS = {
    "shutdown": "The VirtualMachineInstance was shut down.",
    "crashed": "The VirtualMachineInstance crashed.",
    "unhealthy": "The VirtualMachineInstance failed its liveness probe and was ended.",
}


class Machines:
    """The controller, and the running machines by VMI uid."""

    def __init__(
        self,
        store: Store,
        recorder: Recorder,
        segments: Segments,
        launcher: Launcher,
        paths: EnginePaths,
        acceleration: str,
        warm: Warm,
        spares: Spares,
    ) -> None:
        self._store = store
        self._segments = segments
        self._launcher = launcher
        self._paths = paths
        self._warm = warm
        self._spares = spares
        self._running: dict[str, machine.Machine] = {}
        self.reports = Reports(store, recorder, segments, paths, acceleration, self._running)
        self.starter = Starter(launcher, warm, spares, self.reports, paths, self._clear)
        self.alone: defaultdict[Key, asyncio.Lock] = defaultdict(asyncio.Lock)
        """Held by whoever starts or ends a machine."""
        self._gone: dict[str, Obj] = {}
        """VMIs that went away, to be cleared up after where somebody took off their finalizer."""
        self.queue = WorkQueue("machine", self.reconcile)
        store.listen(self._on_change)

    async def start(self) -> None:
        """Remove what belongs to no VMI, then look at every VMI once: those that run are taken over."""
        await self._sweep()
        for vmi in self._store.all(VMI):
            self.queue.add((namespace_of(vmi), name_of(vmi)))

    async def close(self) -> None:
        """Let go of all machines; they run on."""
        await self.queue.close()
        for running in self._running.values():
            await running.close()

    def running(self, vmi: Obj) -> machine.Machine | None:
        """The machine of a VMI, if it is in reach."""
        return self._running.get(uid_of(vmi))

    def let_go(self, vmi: Obj) -> None:
        """Hold a machine no more: its process is about to end, and that is no end of the machine."""
        self._running.pop(uid_of(vmi), None)

    def address(self, vmi: Obj) -> str:
        """The address that a machine has, or nothing."""
        return self._segments.address(self.network_uid(vmi), uid_of(vmi)) or ""

    def network_uid(self, vmi: Obj) -> str:
        """The uid of the VMI's namespace, which names its network."""
        return uid_of(self._store.require("namespaces", "", namespace_of(vmi)))

    def uid_for(self, kind: str, obj: Obj) -> str:
        """The uid of a new object where it is a machine that was put back, or for which there is a spare."""
        if kind != VMI:
            return ""
        uid = str(get_path(self._store.get(VM, namespace_of(obj), name_of(obj)), "status.restoredMachine", ""))
        restored = uid and self._paths.machine(uid).memory.exists() and self._store.by_uid(uid) is None
        return uid if restored else self._spares.uid_for(obj, self.network_uid(obj))

    def _on_change(self, change: Change) -> None:
        if change.kind == VMI:
            if change.type == "DELETED":
                self._gone[uid_of(change.obj)] = change.obj
            self.queue.add((namespace_of(change.obj), name_of(change.obj)))
        if change.kind == "pods" and change.type == "DELETED":
            # Whoever deletes a machine's pod ends the machine, as on a cluster.
            owner = self._store.by_uid(controller_uid(change.obj) or "")
            if owner and owner[0] == VMI and not deleting(owner[1]):
                self._store.delete(VMI, namespace_of(owner[1]), name_of(owner[1]))

    async def reconcile(self, key: Key) -> float | None:
        """One VMI. Nothing is started or ended for a change that a crash would take back."""
        await self._store.settled()
        async with self.alone[key]:
            return await self._reconcile(key)

    async def _reconcile(self, key: Key) -> float | None:
        for gone in [gone for gone in self._gone.values() if (namespace_of(gone), name_of(gone)) == key]:
            if self._paths.machine(uid_of(gone)).state.exists():
                await self._clear(gone, everything=True)
            del self._gone[uid_of(gone)]
        vmi = self._store.get(VMI, *key)
        if vmi is None:
            return None
        phase = get_path(vmi, "status.phase", "Pending")
        if phase in FINAL:
            await self._clear(vmi)
            if deleting(vmi):
                self._store.update(VMI, *key, without_finalizer(FINALIZER))
            return None
        running = self.running(vmi) or await self._take_over(vmi)
        if deleting(vmi):
            return await self._end(vmi, running)
        if running is None and phase == "Running" and self.reports.put_away(vmi):
            self.reports.observe(vmi, "Running")
            return None
        if running is None and phase == "Running":
            self.reports.observe(vmi, "Failed")
            self.reports.event(vmi, "Stopped", "The VirtualMachineInstance crashed.", warning=True)
            return None
        if running is None:
            return await self._bring_up(key, vmi)
        return await self._follow(vmi, running)

    # Up

    async def _bring_up(self, key: Key, vmi: Obj) -> float | None:
        pod = pod_spec(vmi)
        if self._store.get("pods", namespace_of(vmi), name_of(pod)) is None:
            try:
                self._store.create("pods", pod)
            except ApiError as error:
                why = f"failed to create virtual machine pod: {error}"
                self.reports.observe(vmi, "Pending", Problem("Synchronized", "FailedCreate", why))
                self.reports.event(vmi, "FailedCreate", f"Error creating pod: {error}", warning=True)
                return _RETRY_SECONDS
        if problem := self._launcher.obstacle(vmi):
            if problem.reason == "Unschedulable":
                await self._spares.shrink()
            self.reports.observe(vmi, problem.phase, problem)
            self.reports.event(vmi, problem.reason, problem.message, warning=True)
            return _RETRY_SECONDS
        vmi = self.reports.observe(vmi, "Scheduling")
        self._spares.wait()
        try:
            started = await self.starter.start(vmi)
        except TROUBLE as error:
            await self._clear(vmi)
            # A full disk may have room again later; nothing else that goes wrong here mends itself.
            full = os.strerror(errno.ENOSPC) in str(error)
            self.reports.observe(
                vmi, "Scheduling" if full else "Failed", Problem("Synchronized", "FailedCreate", str(error))
            )
            self.reports.event(vmi, "FailedCreate", str(error), warning=True)
            return _RETRY_SECONDS if full else None
        self.take(vmi, started)
        self._spares.note(vmi, self.network_uid(vmi))
        self.reports.observe(vmi, "Running")
        self.reports.event(vmi, "Started", "VirtualMachineInstance started.")
        return None

    def take(self, vmi: Obj, found: machine.Machine) -> None:
        """Keep a running machine, and have what happens to it noticed."""
        self._running[uid_of(vmi)] = found
        key = namespace_of(vmi), name_of(vmi)
        found.changed = lambda: self.queue.add(key)
        found.facts.ready = "readinessProbe" not in vmi["spec"]
        for kind in PROBES:
            if probe := vmi["spec"].get(kind):
                dial, tell = partial(self.dial, vmi, probe=True), partial(self.reports.unhealthy, vmi)
                found.keep(probes.watch(found, kind, probe, dial, tell))

    async def command(self, uid: str, line: str) -> str:
        """What a machine's QEMU answers to a line of its human monitor. Raises NetworkError."""
        if (running := self._running.get(uid)) is None:
            raise NetworkError("the machine does not run")
        try:
            return str(await running.execute("human-monitor-command", {"command-line": line}))
        except machine.MachineError as error:
            raise NetworkError(str(error)) from error

    async def dial(self, vmi: Obj, port: int, *, probe: bool = False) -> Streams:
        """A connection to a machine's port, made inside its network. Raises NetworkError or OSError."""
        network = self.network_uid(vmi)
        return await self._segments.dial(network, self._segments.address(network, uid_of(vmi)), port, probe=probe)

    async def _take_over(self, vmi: Obj) -> machine.Machine | None:
        """The machine of a VMI that an earlier engine started."""
        paths = self._paths.machine(uid_of(vmi))
        parked = self._spares.holds(uid_of(vmi))
        process = machine.find(paths) if paths.runtime.exists() and not parked else None
        if paths.runtime.exists() and paths.memory.exists():
            await self.starter.end(vmi)
            return None
        if process is not None and paths.asleep.exists():
            await processes.end_all(machine.mark(paths))
            return None
        if process is None:
            return None
        try:
            found = await self.starter.connect(vmi, process)
            if paths.frozen.exists():
                await memory.go_on(found)
        except machine.MachineError as error:
            log.warning("%s/%s: %s; it is ended", namespace_of(vmi), name_of(vmi), error)
            await processes.end_all(machine.mark(paths))
            return None
        self.take(vmi, found)
        return found

    # Running

    async def _follow(self, vmi: Obj, running: machine.Machine) -> float | None:
        if not running.facts.ended:
            self.reports.observe(vmi, "Running")
            if running.facts.agent and vmi["metadata"].get("annotations", {}).get(START) == "cold":
                self._warm.want(vmi)
            return None
        crashed = running.facts.ended != "shutdown"
        said = _ENDS[running.facts.ended]
        await self._clear(vmi)
        self.reports.observe(vmi, "Failed" if crashed else "Succeeded")
        self.reports.event(vmi, "Stopped", said, warning=crashed)
        return None

    # Down

    async def _end(self, vmi: Obj, running: machine.Machine | None) -> float | None:
        """Power button, then the plug once the grace period is over."""
        if running is not None and not running.facts.ended:
            left = grace_left(vmi, datetime.now(UTC)) if plan.has_acpi(vmi) else 0
            if left > 0:
                self.reports.observe(vmi, get_path(vmi, "status.phase"))
                if not running.facts.powering_down:
                    running.facts.powering_down = True
                    await running.power_down()
                return left
        ended = running.facts.ended if running else ""
        await self._clear(vmi)
        self.reports.observe(vmi, "Succeeded" if ended == "shutdown" else "Failed")
        self._store.update(VMI, namespace_of(vmi), name_of(vmi), without_finalizer(FINALIZER))
        return None

    async def _clear(self, vmi: Obj, *, everything: bool = False) -> None:
        """No process, no socket, no disk, no address is left of a machine; nor its logs, if its object goes too."""
        paths = self._paths.machine(uid_of(vmi))
        if running := self._running.pop(uid_of(vmi), None):
            await running.kill()
        if paths.runtime.exists():
            await processes.end_all(machine.mark(paths))
            await asyncio.to_thread(remove_tree, paths.runtime)
        whole = everything or deleting(vmi)
        for entry in [paths.state] if whole else paths.state.glob("*.*"):
            # Freeing the blocks of a large disk takes its time.
            await asyncio.to_thread(remove_tree if entry == paths.state else Path.unlink, entry)
        if network := self._store.get("namespaces", "", namespace_of(vmi)):
            await self._segments.detach(uid_of(network), uid_of(vmi))

    async def _sweep(self) -> None:
        keepers = [*self._store.all(VMI), *self._store.all("pods")]
        restored = [uid for vm in self._store.all(VM) if (uid := get_path(vm, "status.restoredMachine"))]
        living = {self._paths.machine(uid).runtime.name for uid in [*map(uid_of, keepers), *restored]}
        for folder in (self._paths.runtime, self._paths.machines):
            for entry in folder.glob("m*"):
                if entry.name not in living:
                    await processes.end_all(f"path={self._paths.runtime / entry.name}/qmp.sock,")
                    remove_tree(entry)
        # A command in a pod dies with its engine, unless the engine was killed before the command could ask for that.
        await processes.end_all(f"--ro-bind\0{self._paths.machines}/")
        namespaces = {uid_of(namespace) for namespace in self._store.all("namespaces")}
        await self._segments.sweep(namespaces, set(map(uid_of, keepers)))
