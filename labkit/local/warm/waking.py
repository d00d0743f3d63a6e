"""Waking a clone: it gets its memory and devices, and is told who it is."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence

from labkit.local.paths import MachinePaths
from labkit.local.qemu import agent
from labkit.local.qemu.machine import Machine, MachineError
from labkit.local.warm.shelf import Template

_FOLDER = "/usr/lib/labkit"
_SECONDS = 240.0
_POLL_SECONDS = 0.1
_ENTROPY = 64


class Line:
    """What a saved machine is told by: a channel to the program that its image left listening, else the guest agent.

    A program that listens was started and has all at hand before it was saved. The agent has to be asked again and
    again, and a question costs an emulated guest a tenth of a second.
    """

    def __init__(self, paths: MachinePaths, *, listens: bool) -> None:
        self._paths = paths
        self._listens = listens
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def open(self) -> None:
        """Take hold of the channel; the program in the guest ends once it is let go. Raises OSError."""
        self._streams = await asyncio.open_unix_connection(str(self._paths.wake))

    def close(self) -> None:
        """Let go."""
        if self._streams:
            self._streams[1].close()

    async def tell(self, command: str, *words: str, given: bytes = b"") -> None:
        """Have it done; ``given`` is the first word, in hexadecimal digits. Raises MachineError, AgentError."""
        if self._listens and self._streams:
            status, said = await _say(*self._streams, " ".join([command, *([given.hex()] if given else []), *words]))
        else:
            line = [f"{_FOLDER}/{command}", *words]
            status, said = await agent.execute(
                self._paths.agent, line, seconds=_SECONDS, given=given, poll=_POLL_SECONDS
            )
        if status:
            raise MachineError(f"'{command}' ended in the machine with status {status}: {said}")


async def _say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, line: str) -> tuple[int, str]:
    try:
        async with asyncio.timeout(_SECONDS):
            writer.write(f"{line}\n".encode())
            status, _, said = (await reader.readline()).decode(errors="replace").strip().partition(" ")
            return int(status), said
    except TimeoutError as error:
        raise MachineError(f"the machine did not answer '{line.split()[0]}' within {_SECONDS:g} s") from error
    except (OSError, ValueError) as error:
        raise MachineError("what listens in the machine did not answer as it should") from error


async def wake(clone: Machine, template: Template, place: Sequence[str]) -> Line:
    """Let a clone run as the machine whose seed it has; ``place`` are its address, its gateway and search domains.

    The line is the caller's, who closes it once nothing more is to be told. Raises MachineError, AgentError, OSError.
    """
    clone.facts.os_info = dict(template.os_info)
    line = Line(clone.paths, listens=template.listens)
    await line.open()
    try:
        with template.state_file.open("rb") as state:
            await clone.load(state.fileno())
        if place:
            await clone.execute("set_link", {"name": "nic0", "up": True})
        await clone.execute("cont")
        await become(line, place)
    except BaseException:
        line.close()
        raise
    return line


async def become(line: Line, place: Sequence[str]) -> None:
    """Have the guest read its seed and take on what it says. Raises MachineError, AgentError."""
    await line.tell("wake", str(round(time.time())), *place, given=os.urandom(_ENTROPY))
