"""Warm starts as the engine's other parts see them: is there a template, should one be made, what is there."""

from __future__ import annotations

import asyncio
import logging
import re
import shutil
import subprocess
from pathlib import Path

import psutil

from labkit.local.files import remove_tree
from labkit.local.objects import Obj, name_of, namespace_of
from labkit.local.paths import EnginePaths
from labkit.local.qemu import agent, argv, images, plan
from labkit.local.qemu.machine import MachineError
from labkit.local.warm import keys, making
from labkit.local.warm.shelf import Limits, Shelf, Template

log = logging.getLogger(__name__)

START = "labkit/start-mode"
"""Annotation of a VMI: how its machine was started, `cold`, `warm` or `spare`."""
ROOM = 512 * 2**20
"""Bytes of memory that must be left beside a template's while it is made."""


class Warm:
    """The templates, and the one being made. Without ``limits`` there are none, and every start is cold."""

    def __init__(self, paths: EnginePaths, acceleration: str, limits: Limits | None) -> None:
        self._paths = paths
        self._acceleration = acceleration
        self.shelf = Shelf(paths.warm, limits or Limits(0, 0))
        self.on = limits is not None
        self._host: list[str] = []
        self._wanted: dict[str, Obj] = {}
        self.unfit: dict[str, str] = {}
        """Why there will be no template with a key, until the engine is started again."""
        self._maker: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Learn what the computer has, and what was made before."""
        if not self.on:
            return
        await asyncio.to_thread(self.shelf.open)
        self._host = await asyncio.to_thread(_host, self._acceleration)

    async def close(self) -> None:
        """End what is being made."""
        if self._maker:
            self._maker.cancel()
            await asyncio.wait([self._maker])

    def making(self) -> list[str]:
        """The keys of the templates that are wanted; the first one is being made."""
        return list(self._wanted)

    def template(self, vmi: Obj) -> Template | None:
        """What a machine can be cloned from, now. Raises ImageError."""
        if not self.on or keys.unfit(vmi):
            return None
        return self.shelf.find(self.key(vmi))

    def want(self, vmi: Obj) -> None:
        """A machine like this one was started cold and is up: have a template made, once the computer has time."""
        if not self.on or keys.unfit(vmi):
            return
        key = self.key(vmi)
        if key in self.unfit or key in self._wanted or self.shelf.find(key):
            return
        if psutil.virtual_memory().available < plan.memory_bytes(vmi) + ROOM:
            return
        self._wanted[key] = vmi
        if self._maker is None or self._maker.done():
            self._maker = asyncio.create_task(self._make_all())

    async def _make_all(self) -> None:
        while self._wanted:
            key, vmi = next(iter(self._wanted.items()))
            try:
                await self._make(key, vmi)
            except (making.Unfit, MachineError, agent.AgentError, images.ImageError, OSError) as error:
                self.unfit[key] = str(error)
                log.warning("machines like %s/%s start cold: %s", namespace_of(vmi), name_of(vmi), error)
            finally:
                self._wanted.pop(key, None)

    async def _make(self, key: str, vmi: Obj) -> None:
        paths = self._paths.machine(key)
        try:
            template = await making.make(vmi, key, self._disks(vmi), paths, self._acceleration)
            await asyncio.to_thread(self.shelf.add, template, paths.state)
        finally:
            await asyncio.to_thread(remove_tree, paths.state)
        log.info("the template %s is ready: %s s, %s MiB", key, template.seconds, template.bytes // 2**20)

    def key(self, vmi: Obj) -> str:
        """The key of the template that a machine would be cloned from. Raises ImageError."""
        return keys.key(vmi, self._acceleration, self._disks(vmi).values(), self._host)

    def _disks(self, vmi: Obj) -> dict[str, Path]:
        volumes = [volume for volume in vmi["spec"]["volumes"] if "containerDisk" in volume]
        return {each["name"]: images.resolve(each["containerDisk"]["image"], self._paths.images) for each in volumes}


def _host(acceleration: str) -> list[str]:
    qemu = shutil.which(argv.BINARY)
    version = subprocess.run([qemu, "--version"], capture_output=True, text=True, check=False).stdout if qemu else ""
    cpu = Path("/proc/cpuinfo").read_text() if acceleration == "kvm" else ""
    return [version, *sorted(set(re.findall(r"^(?:model name|flags)\s*: (.*)$", cpu, re.MULTILINE)))]
