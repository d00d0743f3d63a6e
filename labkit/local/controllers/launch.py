"""Starting a machine: what may keep it from it, its disks, its place in the network, its process."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Mapping
from dataclasses import replace

import psutil

from labkit.local import processes
from labkit.local.controllers.networks import Networks
from labkit.local.controllers.virtualmachines import VMI
from labkit.local.files import make_private, remove_tree
from labkit.local.kubevirt.vmi_status import Problem
from labkit.local.network.names import NetworkFull, mac_of, place
from labkit.local.network.segments import NetworkError, Segments
from labkit.local.objects import Obj, namespace_of, quantity, uid_of
from labkit.local.paths import EnginePaths
from labkit.local.qemu import argv, images, plan
from labkit.local.qemu.agent import AgentError
from labkit.local.qemu.machine import MachineError
from labkit.local.storage.claims import Claims
from labkit.local.storage.uses import use_of
from labkit.local.store import Store
from labkit.local.warm import keys
from labkit.local.warm.shelf import Template

TROUBLE = (images.ImageError, plan.PlanError, NetworkError, NetworkFull, MachineError, AgentError, OSError)
"""What ends a start, each with one sentence."""
_OVERHEAD = 150 * 2**20
"""Bytes that QEMU needs beside the guest's memory."""


Seeds = Mapping[str, Mapping[str, bytes]]


class Launcher:
    """Starts QEMU processes; holds none."""

    def __init__(
        self,
        store: Store,
        segments: Segments,
        networks: Networks,
        claims: Claims,
        paths: EnginePaths,
        acceleration: str,
    ) -> None:
        self._store = store
        self._segments = segments
        self._networks = networks
        self._claims = claims
        self._paths = paths
        self._acceleration = acceleration

    def obstacle(self, vmi: Obj) -> Problem | None:
        """What keeps a machine from starting now but may pass."""
        for binary, package in ((argv.BINARY, "qemu-system-x86"), (images.QEMU_IMG, "qemu-utils")):
            if shutil.which(binary) is None:
                message = f"'{binary}' is not installed: run 'apt-get install {package}'"
                return Problem("Synchronized", "FailedCreate", message)
        # As on a cluster: without its claims there is no pod, so no image is pulled yet.
        if problem := self._claims.obstacle(vmi):
            return problem
        for volume in vmi["spec"].get("volumes", []):
            try:
                if "containerDisk" in volume:
                    images.resolve(volume["containerDisk"].get("image", ""), self._paths.images)
                elif "cloudInitNoCloud" in volume:
                    self._seeds(vmi)
            except images.ImageError as error:
                return Problem("Synchronized", "ErrImagePull", str(error))
            except plan.PlanError as error:
                return Problem("Synchronized", "FailedMount", str(error))
        memory = psutil.virtual_memory()
        wanted = plan.memory_bytes(vmi) + _OVERHEAD
        # A machine takes its memory bit by bit: what it was promised counts from the moment at which it is started.
        others = [other for other in self._store.all(VMI) if uid_of(other) != uid_of(vmi)]
        started = [other for other in others if self._paths.machine(uid_of(other)).runtime.exists()]
        promised = sum(plan.memory_bytes(other) for other in started)
        free = min(memory.available, memory.total - promised)
        if wanted > free:
            message = (
                f"0/1 nodes are available: insufficient memory: the machine needs {wanted // 2**20} MiB, "
                f"{max(0, int(free)) // 2**20} MiB are free: stop another machine or ask for less"
            )
            return Problem("PodScheduled", "Unschedulable", message)
        return None

    async def launch(self, vmi: Obj, template: Template | None = None) -> processes.Detached:
        """Disks, network, QEMU; from a template, one that is asleep. Raises what ``TROUBLE`` lists."""
        network = uid_of(self._store.require("namespaces", "", namespace_of(vmi)))
        await self.prepare(vmi, template, self._seeds(vmi))
        if plan.wants_network(vmi):
            await self._segments.attach(network, uid_of(vmi))
            await self._networks.settle(namespace_of(vmi))
        return await self.run(vmi, network, template)

    async def again(self, vmi: Obj) -> processes.Detached:
        """QEMU for a machine that was put away, asleep: its disks are there. Raises what ``TROUBLE`` lists."""
        network = uid_of(self._store.require("namespaces", "", namespace_of(vmi)))
        paths = self._paths.machine(uid_of(vmi))
        await asyncio.to_thread(remove_tree, paths.runtime)
        make_private(paths.runtime)
        if plan.wants_network(vmi):
            had = paths.address.read_text()
            await self._segments.attach(network, uid_of(vmi), had)
            if self._segments.address(network, uid_of(vmi)) != had:
                raise NetworkError(f"its address {had} belongs to another machine by now")
            await self._networks.settle(namespace_of(vmi))
        return await self.run(vmi, network, None, asleep=True)

    async def prepare(self, vmi: Obj, template: Template | None, seeds: Seeds) -> None:
        """A machine's folders and disks; ``seeds`` are the files of each seed by its volume's name."""
        paths = self._paths.machine(uid_of(vmi))
        remove_tree(paths.runtime)
        make_private(paths.runtime)
        await asyncio.to_thread(remove_tree, paths.state)
        make_private(paths.logs)
        for log in (paths.console_log, paths.qemu_log):
            log.touch(mode=0o600)
        for volume in vmi["spec"].get("volumes", []):
            await self._make_volume(vmi, volume, template, seeds)
        if template:
            paths.asleep.touch()

    async def run(
        self, vmi: Obj, network: str, template: Template | None, *, asleep: bool = False
    ) -> processes.Detached:
        """QEMU, in the network with that uid, where the machine has an address. Raises NetworkError, OSError.

        One that has a template, or is ``asleep``, waits for the state that it is to go on from.
        """
        uid, paths = uid_of(vmi), self._paths.machine(uid_of(vmi))
        entry, tap, address = [], None, ""
        if plan.wants_network(vmi):
            entry = await self._segments.entry(network)
            tap, address = await self._segments.tap(network, uid), self._segments.address(network, uid) or ""
        try:
            claims = self._claims.files(vmi)
            config = plan.machine_config(vmi, paths, self._acceleration, tap, mac_of(uid), claims, address)
            memory = argv.MemoryFile(template.memory_file, shared=False) if template else None
            config = replace(config, memory_file=memory, asleep=asleep or template is not None)
            command = [*entry, *argv.arguments(config)]
            return processes.start(command, paths.qemu_log, pass_fds=[] if tap is None else [tap])
        finally:
            if tap is not None:
                os.close(tap)

    def seeds_fit(self, vmi: Obj) -> bool:
        """Whether a clone could have the machine's seeds. Raises PlanError."""
        return all(map(keys.fits, self._seeds(vmi).values()))

    async def take_over(self, vmi: Obj) -> None:
        """Make a parked machine's network and seeds those of the machine that it becomes.

        Raises NetworkError, PlanError.
        """
        await self._networks.settle(namespace_of(vmi))
        for name, files in self._seeds(vmi).items():
            images.write_seed(self._paths.machine(uid_of(vmi)).state / f"{name}.iso", files)

    def place(self, vmi: Obj) -> list[str]:
        """What a machine with an interface is told of its place in the network."""
        network = uid_of(self._store.require("namespaces", "", namespace_of(vmi)))
        address = self._segments.address(network, uid_of(vmi))
        return place(address, namespace_of(vmi)) if address else []

    async def _make_volume(self, vmi: Obj, volume: Obj, template: Template | None, seeds: Seeds) -> None:
        target = plan.volume_file(self._paths.machine(uid_of(vmi)), volume)
        if template and "cloudInitNoCloud" not in volume:
            # Under a name of its own: the template may go, and the machine be put away and come back.
            base = target.with_name(f"{volume['name']}.template.qcow2")
            base.hardlink_to(template.folder / target.name)
            await images.create_layer(base, target)
        elif "containerDisk" in volume:
            await images.create_overlay(images.resolve(volume["containerDisk"]["image"], self._paths.images), target)
        elif "emptyDisk" in volume:
            await images.create_empty(target, int(quantity(volume["emptyDisk"]["capacity"])))
        elif use := use_of(volume):
            if use.ephemeral:
                await images.create_overlay(self._claims.files(vmi)[use.claim], target)
        else:
            images.write_seed(target, seeds[volume["name"]])

    def _seeds(self, vmi: Obj) -> dict[str, dict[str, bytes]]:
        volumes = [volume for volume in vmi["spec"].get("volumes", []) if "cloudInitNoCloud" in volume]
        given = {volume["name"]: volume["cloudInitNoCloud"] for volume in volumes}
        return {name: plan.seed_files(vmi, seed, lambda n: self._secret(vmi, n)) for name, seed in given.items()}

    def _secret(self, vmi: Obj, name: str) -> Mapping[str, str]:
        found = self._store.get("secrets", namespace_of(vmi), name)
        if found is None:
            raise KeyError(name)
        data: Mapping[str, str] = found.get("data") or {}
        return data
