"""Making a template: a machine is booted that is nobody's, puts away what is its own, and is saved."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path

from labkit.local import processes
from labkit.local.files import make_private, remove_tree
from labkit.local.objects import Obj, quantity
from labkit.local.paths import MachinePaths
from labkit.local.qemu import agent, argv, images, plan
from labkit.local.qemu.machine import Machine, MachineError, mark
from labkit.local.warm import keys
from labkit.local.warm.shelf import Template, measure
from labkit.local.warm.waking import Line

PARK = "/usr/lib/labkit/park"
_BOOT_SECONDS = 900.0
_PARK_SECONDS = 600.0
_END_SECONDS = 20.0
_SEED = {"meta-data": json.dumps({"instance-id": "labkit-template"}).encode(), "user-data": b""}


class Unfit(Exception):
    """The image has not what a template needs: one sentence."""


async def make(
    vmi: Obj,
    key: str,
    disks: Mapping[str, Path],
    paths: MachinePaths,
    acceleration: str,
    seconds: float = _BOOT_SECONDS,
) -> Template:
    """Boot a machine like a VMI's and save it in ``paths.state``; ``disks`` are its images' files by volume.

    It runs behind everything else on the computer. Killed at any point it leaves what the engine's next start removes.
    Raises Unfit, MachineError, AgentError, ImageError, OSError.
    """
    begun = time.monotonic()
    for folder in (paths.runtime, paths.state):
        await asyncio.to_thread(remove_tree, folder)
    make_private(paths.runtime)
    make_private(paths.logs)
    paths.qemu_log.touch(mode=0o600)
    try:
        await _volumes(vmi, disks, paths)
        config = keys.hardware(vmi, paths, acceleration, argv.MemoryFile(paths.state / "memory", shared=True))
        process = processes.start(["nice", "-n", "10", *argv.arguments(config)], paths.qemu_log)
        found, line = Machine(paths, process, lambda: None), Line(paths, listens=False)
        try:
            await found.connect(serial=config.serial, keep_log=False)
            await line.open()
            await _park(found, seconds)
            listens = await found.opened("wake0")
            await _save(found, paths.state / "state", config.nic is not None)
            os_info = found.facts.os_info
        finally:
            line.close()
            await found.close()
    finally:
        await processes.end_all(mark(paths))
        await asyncio.to_thread(remove_tree, paths.runtime)
    return await asyncio.to_thread(_finish, vmi, key, disks, paths, (os_info, listens), begun)


async def _volumes(vmi: Obj, disks: Mapping[str, Path], paths: MachinePaths) -> None:
    for volume in vmi["spec"]["volumes"]:
        target = plan.volume_file(paths, volume)
        if volume["name"] in disks:
            await images.create_overlay(disks[volume["name"]], target)
        elif "emptyDisk" in volume:
            await images.create_empty(target, int(quantity(volume["emptyDisk"]["capacity"])))
        else:
            images.write_seed(target, _SEED)


async def _park(found: Machine, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            while not (found.facts.agent and found.facts.os_info):
                if found.facts.ended:
                    raise MachineError(f"the machine ended while it booted: {found.complaint()}")
                await asyncio.sleep(0.2)
    except TimeoutError as error:
        raise Unfit(f"no guest agent answered within {seconds:g} s") from error
    try:
        status, said = await agent.execute(found.paths.agent, [PARK], seconds=_PARK_SECONDS, given=b"")
    except agent.AgentError as error:
        raise Unfit(f"the image has no {PARK}, or it failed: {error}") from error
    if status:
        raise Unfit(f"{PARK} ended with status {status}: {said}")


async def _save(found: Machine, target: Path, network: bool) -> None:
    if network:
        # Its state would be saved too, and a clone's network is another.
        await found.execute("netdev_del", {"id": "net0"})
    await found.execute("stop")
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        await found.save(descriptor)
    finally:
        os.close(descriptor)
    await found.execute("quit")
    async with asyncio.timeout(_END_SECONDS):
        await found.process.wait()


def _finish(
    vmi: Obj,
    key: str,
    disks: Mapping[str, Path],
    paths: MachinePaths,
    seen: tuple[dict[str, str], bool],
    begun: float,
) -> Template:
    remove_tree(paths.logs)
    written = [path for path in paths.state.iterdir() if path.suffix != ".iso"]
    for path in written:
        with path.open("rb") as file:
            os.fsync(file.fileno())
        path.chmod(0o400)
    for path in paths.state.glob("*.iso"):
        path.unlink()
    return Template(
        key=key,
        images=[str(disk) for disk in disks.values()],
        memory=plan.memory_bytes(vmi) // 2**20,
        made=time.time(),
        seconds=round(time.monotonic() - begun, 1),
        bytes=sum(path.stat().st_blocks * 512 for path in written),
        files=measure(paths.state, [path.name for path in written]),
        os_info=seen[0],
        listens=seen[1],
    )
