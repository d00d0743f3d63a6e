"""Copies of a running machine's disks, all as they are at one moment, made by its own QEMU."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path

from labkit.local.qemu import agent
from labkit.local.qemu.images import QEMU_IMG
from labkit.local.qemu.machine import Machine, MachineError
from labkit.local.storage.disks import run, whole

log = logging.getLogger(__name__)
_POLL_SECONDS = 0.2
_FREEZE_SECONDS = 10.0


async def backup(machine: Machine, disks: Mapping[str, tuple[int, Path]]) -> list[tuple[str, str]]:
    """Copy disks (QEMU's node: bytes, target); KubeVirt's indications of how, with a sentence each.

    Raises MachineError and DiskError. Begun again after a kill, it first removes what the last try left in QEMU.
    """
    await _clear(machine)
    found = [("Online", "the machine was running")]
    async with AsyncExitStack() as stack:
        actions: list[dict[str, object]] = []
        for node, (size, target) in disks.items():
            file, job = await stack.enter_async_context(whole(target)), f"copy-{node}"
            await run(QEMU_IMG, "create", "-q", "-f", "qcow2", str(file), str(size))
            layers = {"driver": "qcow2", "node-name": job, "file": {"driver": "file", "filename": str(file)}}
            await machine.execute("blockdev-add", layers)
            data = {"job-id": job, "device": node, "target": job, "sync": "full", "auto-dismiss": False}
            actions.append({"type": "blockdev-backup", "data": data})
        try:
            found.append(await _frozen(machine, actions))
            jobs = await _jobs(machine)
            while any(job["status"] != "concluded" for job in jobs):
                await asyncio.sleep(_POLL_SECONDS)
                jobs = await _jobs(machine)
            if faults := [job["error"] for job in jobs if "error" in job]:
                raise MachineError(f"QEMU could not copy the machine's disks: {faults[0]}")
        finally:
            await _clear(machine)
    return found


async def _frozen(machine: Machine, actions: list[dict[str, object]]) -> tuple[str, str]:
    """Begin the copies in one transaction, file systems frozen where a guest agent does that."""
    if machine.facts.paused or not machine.facts.agent:
        await machine.execute("transaction", {"actions": actions})
        return (
            ("Paused", "the machine was paused") if machine.facts.paused else ("NoGuestAgent", "no agent to freeze it")
        )
    try:
        try:
            await agent.ask(machine.paths.agent, "guest-fsfreeze-freeze", seconds=_FREEZE_SECONDS)
            indication = ("GuestAgent", "its file systems were frozen")
        except agent.AgentError as error:
            indication = ("QuiesceFailed", str(error))
        await machine.execute("transaction", {"actions": actions})
    finally:
        try:
            await agent.ask(machine.paths.agent, "guest-fsfreeze-thaw", seconds=_FREEZE_SECONDS)
        except agent.AgentError as error:
            log.warning("%s: %s", machine.paths.runtime.name, error)
    return indication


async def _jobs(machine: Machine) -> list[dict[str, str]]:
    jobs: list[dict[str, str]] = await machine.execute("query-jobs")
    return [job for job in jobs if job["id"].startswith("copy-")]


async def _clear(machine: Machine) -> None:
    while jobs := await _jobs(machine):
        for job in jobs:
            done = job["status"] == "concluded"
            await machine.execute("job-dismiss" if done else "job-cancel", {"id": job["id"]})
        await asyncio.sleep(0 if all(job["status"] == "concluded" for job in jobs) else _POLL_SECONDS)
    for node in await machine.execute("query-named-block-nodes", {"flat": True}):
        if str(node["node-name"]).startswith("copy-"):
            await machine.execute("blockdev-del", {"node-name": node["node-name"]})
