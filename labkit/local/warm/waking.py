"""Waking a clone: it gets its memory and devices, and is told who it is."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence

from labkit.local.qemu import agent
from labkit.local.qemu.machine import Machine, MachineError
from labkit.local.warm.shelf import Template

WAKE = "/usr/lib/labkit/wake"
_SECONDS = 240.0
_POLL_SECONDS = 0.02
_ENTROPY = 64


async def wake(clone: Machine, template: Template, place: Sequence[str]) -> None:
    """Let a clone run as the machine whose seed it has; ``place`` are its address, its gateway and search domains.

    Raises MachineError, AgentError, OSError.
    """
    clone.facts.os_info = dict(template.os_info)
    with template.state_file.open("rb") as state:
        await clone.load(state.fileno())
    if place:
        await clone.execute("set_link", {"name": "nic0", "up": True})
    await clone.execute("cont")
    await become(clone, place)


async def become(clone: Machine, place: Sequence[str]) -> None:
    """Have the guest read its seed and take on what it says. Raises MachineError, AgentError."""
    command = [WAKE, str(round(time.time())), *place]
    status, said = await agent.execute(
        clone.paths.agent, command, seconds=_SECONDS, given=os.urandom(_ENTROPY), poll=_POLL_SECONDS
    )
    if status:
        raise MachineError(f"{WAKE} ended with status {status}: {said}")
