"""One running QEMU: what it is doing, and what it can be told. The only user of ``qemu.qmp``."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from qemu.qmp import ExecuteError, QMPClient, QMPError

from labkit.local.paths import MachinePaths
from labkit.local.processes import Detached, adopt
from labkit.local.qemu import agent
from labkit.local.qemu.serial import SerialConsole

log = logging.getLogger(__name__)
# What goes wrong on a monitor is reported by the machine, in its own words.
logging.getLogger("qemu.qmp").setLevel(logging.CRITICAL)

_CONNECT_SECONDS = 15.0
_LONGEST_AGENT_WAIT = 10.0
_REBOOT_SECONDS = 3.0
_ANSWER_SECONDS = 20.0
_MOVING_SECONDS = 0.005
_REBOOT_WITHIN = 180.0
"""Seconds in which a guest whose power button was pressed for a reboot must be off; later it meant to power off."""


class MachineError(Exception):
    """QEMU did not do what it was told: one sentence."""


@dataclass
class Facts:
    """What is known of a machine now.

    ``ended`` is '', 'shutdown' (the guest powered off), 'crashed' or 'unhealthy' (its liveness probe failed);
    ``powering_down``: its power button was pressed; ``paused`` says why; ``ready`` is what its readiness probe found.
    """

    paused: str = ""
    agent: bool = False
    os_info: dict[str, str] = field(default_factory=dict)
    ended: str = ""
    powering_down: bool = False
    ready: bool = True


BY_USER, BY_DISK, PUT_AWAY = "PausedByUser", "PausedIOError", "PausedToDisk"
"""Why a machine is paused: told to, a disk could not be written, or it is a file (a word of ours, not KubeVirt's)."""


def mark(paths: MachinePaths) -> str:
    """The part of a command line that only this machine's QEMU has."""
    return f"socket,id=qmp,path={paths.qmp},"


def find(paths: MachinePaths) -> Detached | None:
    """The machine's QEMU, if it is running."""
    return adopt(mark(paths))


class Machine:
    """A QEMU process with its monitor and its serial line. ``changed`` is called whenever ``facts`` change."""

    def __init__(self, paths: MachinePaths, process: Detached, changed: Callable[[], None]) -> None:
        self.paths = paths
        self.facts = Facts()
        self.process = process
        self.serial: SerialConsole | None = None
        self.changed = changed
        self._monitor = QMPClient("labkit")
        self._tasks: set[asyncio.Task[None]] = set()
        self._asking: asyncio.Task[None] | None = None
        self._at_the_screen = asyncio.Lock()

    async def connect(self, *, serial: bool, keep_log: bool) -> None:
        """Reach the monitor and the serial line and learn the state. Raises MachineError."""
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                await self._reach_monitor()
                if serial:
                    self.serial = SerialConsole(self.paths.serial, self.paths.console_log if keep_log else None)
                    await self.serial.open()
            status: Any = await self.execute("query-status")
            has_agent = await self.opened("agent0")
        except (TimeoutError, OSError, QMPError) as error:
            raise MachineError(f"QEMU does not answer on its monitor: {self.complaint() or error}") from error
        await self._learn_state(str(status["status"]))
        self.facts.agent = has_agent
        self.keep(self._watch_monitor())
        self.keep(self._watch_process())
        if self.facts.agent:
            self._ask_who()

    def keep(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run something for as long as the machine is held."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def execute(self, command: str, arguments: dict[str, Any] | None = None) -> Any:
        """One monitor command. Raises MachineError."""
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                return await self._monitor.execute(command, dict(arguments) if arguments else None)
        except TimeoutError as error:
            raise MachineError(f"QEMU did not answer {command} within {_ANSWER_SECONDS:g} s") from error
        except ExecuteError as error:
            raise MachineError(f"QEMU refused {command}: {error}") from error
        except (QMPError, OSError) as error:
            raise MachineError(f"QEMU is gone while it was told to {command}") from error

    async def pause(self) -> None:
        """Freeze the guest."""
        await self.execute("stop")
        self.note(paused=BY_USER)

    async def unpause(self) -> None:
        """Let the guest run on."""
        await self.execute("cont")
        self.note(paused="")

    async def power_down(self) -> None:
        """Press the power button; a paused guest could not notice, so it is woken first."""
        if self.facts.paused:
            await self.unpause()
        await self.execute("system_powerdown")

    async def soft_reboot(self) -> None:
        """Have the guest end properly and start anew in place: by its power button, QEMU being reset once it is off.

        Asked of the guest agent where that is connected. Raises MachineError.
        """
        if self.facts.agent:
            try:
                answers = await agent.ask_all(self.paths.agent, agent.REBOOT, seconds=_REBOOT_SECONDS)
            except agent.AgentError:
                return  # It ended before it could answer, which is how this goes well.
            if not isinstance(answers[0], agent.AgentError):
                return
        self.paths.reboot.touch(mode=0o600)
        await self.execute("system_powerdown")

    async def opened(self, channel: str) -> bool:
        """Whether a program in the guest has opened a channel. Raises MachineError."""
        channels: Any = await self.execute("query-chardev")
        return any(item["label"] == channel and item["frontend-open"] for item in channels)

    async def save(self, descriptor: int) -> None:
        """Write the devices of a frozen guest to an open file; its memory is one already. Raises MachineError.

        The guest must never run on: its memory would no longer be the one that goes with the devices.
        """
        await self._move("migrate", descriptor)
        while (found := await self.execute("query-migrate")).get("status") != "completed":
            if found.get("status") in ("failed", "cancelled"):
                raise MachineError(f"QEMU could not save the machine: {found.get('error-desc', 'no reason given')}")
            await asyncio.sleep(_MOVING_SECONDS)

    async def load(self, descriptor: int) -> None:
        """Read what ``save`` wrote; the guest stays frozen. Raises MachineError."""
        await self._move("migrate-incoming", descriptor)
        # QEMU has no event that comes after the change.
        while (await self.execute("query-status"))["status"] == "inmigrate":  # noqa: ASYNC110
            await asyncio.sleep(_MOVING_SECONDS)

    async def _move(self, command: str, descriptor: int) -> None:
        # Memory in a file that is shared is not written: it is there.
        ours = [{"capability": "x-ignore-shared", "state": True}]
        await self.execute("migrate-set-capabilities", {"capabilities": ours})
        self._monitor.send_fd_scm(descriptor)
        await self.execute("getfd", {"fdname": "state"})
        await self.execute(command, {"uri": "fd:state"})

    async def screenshot(self) -> bytes:
        """A PNG of the screen. Raises MachineError."""
        file: Path = self.paths.screenshot
        async with self._at_the_screen:
            try:
                await self.execute("screendump", {"filename": str(file), "format": "png"})
                return file.read_bytes()
            except OSError as error:
                raise MachineError(f"the picture cannot be read: {error}") from error
            finally:
                file.unlink(missing_ok=True)

    async def kill(self) -> None:
        """End QEMU at once."""
        self.process.send(signal.SIGKILL)
        await self.process.wait()
        await self.close()

    async def close(self) -> None:
        """Let go of everything; QEMU itself runs on."""
        for task in list(self._tasks):
            task.cancel()
        if self.serial:
            await self.serial.close()
        with contextlib.suppress(QMPError, OSError, EOFError):
            await self._monitor.disconnect()
        self.process.forget()

    def note(self, **facts: Any) -> None:
        """Keep what was found out, and say so where it is new."""
        before = Facts(**vars(self.facts))
        for name, value in facts.items():
            setattr(self.facts, name, value)
        if self.facts != before:
            self.changed()

    async def run(self, command: list[str], seconds: float) -> bool:
        """Whether a command in the guest ends well. Raises AgentError."""
        return await agent.run(self.paths.agent, command, seconds=seconds)

    async def ping(self, seconds: float) -> None:
        """Ask whether the guest agent answers. Raises AgentError."""
        await agent.ask(self.paths.agent, "guest-ping", seconds=seconds)

    def complaint(self) -> str:
        """The last thing that QEMU printed."""
        text = self.paths.qemu_log.read_text(errors="replace") if self.paths.qemu_log.exists() else ""
        lines = text.strip().splitlines()
        return lines[-1] if lines else ""

    # Inside

    async def _reach_monitor(self) -> None:
        while not self.paths.qmp.exists():
            if not self.process.running:
                raise OSError("its process ended")
            await asyncio.sleep(0.01)
        while True:
            try:
                await self._monitor.connect(str(self.paths.qmp))
            except QMPError:
                if not self.process.running:
                    raise
                await asyncio.sleep(0.02)
            else:
                return

    async def _watch_process(self) -> None:
        await self.process.wait()
        if not self.facts.ended:
            self.note(ended="crashed")

    async def _watch_monitor(self) -> None:
        while True:
            event = await self._monitor.events.get()
            name, data = str(event["event"]), event.get("data") or {}
            if not isinstance(data, dict):
                continue
            if name == "SHUTDOWN":
                # Only what the guest did itself is a proper end; "host-signal" means that somebody killed QEMU.
                if not (data.get("guest") and await self._start_anew()):
                    self.note(ended="shutdown" if data.get("guest") else "crashed")
            elif name == "RESET":
                self.paths.reboot.unlink(missing_ok=True)  # It rebooted by itself.
            elif name == "BLOCK_IO_ERROR" and data.get("action") == "stop":
                self.note(paused=BY_DISK)
            elif name in ("STOP", "RESUME"):
                stopped = name == "STOP" and not self.facts.ended
                self.note(paused=(self.facts.paused or BY_USER) if stopped else "")
            elif name == "VSERPORT_CHANGE" and data.get("id") == "agent":
                self.note(agent=bool(data.get("open")))
                if self.facts.agent:
                    self._ask_who()

    async def _learn_guest(self) -> None:
        """Ask who the guest is until it says so: an agent that has just started, or is paused, takes its time."""
        delay = 0.5
        while self.facts.agent and not self.facts.os_info:
            try:
                answer = await agent.ask(self.paths.agent, "guest-get-osinfo")
                self.note(os_info=agent.guest_os_info(answer))
            except agent.AgentError as error:
                log.debug("%s: %s", self.paths.runtime.name, error)
                delay = min(delay * 2, _LONGEST_AGENT_WAIT)
                await asyncio.sleep(delay)

    def _ask_who(self) -> None:
        if self._asking is None or self._asking.done():
            self._asking = self.keep(self._learn_guest())

    async def _start_anew(self) -> bool:
        """Reset a guest that powered off because it was to be rebooted; whether that was so."""
        asked = self.paths.reboot.stat().st_mtime if self.paths.reboot.exists() else 0
        self.paths.reboot.unlink(missing_ok=True)
        if self.facts.powering_down or time.time() - asked > _REBOOT_WITHIN:
            return False
        try:
            await self.execute("system_reset")
            await self.execute("cont")
        except MachineError as error:
            log.warning("%s was not started anew: %s", self.paths.runtime.name, error)
            return False
        return True

    async def _learn_state(self, status: str) -> None:
        self.facts.paused = {
            **dict.fromkeys(("paused", "prelaunch", "finish-migrate", "postmigrate"), BY_USER),
            "io-error": BY_DISK,
        }.get(status, "")
        if status == "shutdown" and not await self._start_anew():
            self.facts.ended = "shutdown"
        elif status in ("guest-panicked", "internal-error"):
            self.facts.ended = "crashed"
