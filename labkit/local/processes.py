"""Processes that outlive the engine: starting them detached, finding them again, waiting for their end.

A process is recognised by a path on its command line that only it can have, never by a number from a file: a number
may have been given to a stranger since.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path


class Detached:
    """A running process that is held by its pidfd, so that no signal can ever reach another one."""

    def __init__(self, pid: int, child: subprocess.Popen[bytes] | None = None) -> None:
        """Raises ProcessLookupError where there is no such process any more."""
        self.pid = pid
        self._child = child
        self._pidfd = os.pidfd_open(pid)
        self._ended = asyncio.Event()
        asyncio.get_running_loop().add_reader(self._pidfd, self._on_end)

    @property
    def running(self) -> bool:
        """Whether the process is still there."""
        return not self._ended.is_set()

    def send(self, number: int) -> None:
        """Send a signal; to a process that has ended it does nothing."""
        if self.running:
            try:
                signal.pidfd_send_signal(self._pidfd, number)
            except ProcessLookupError:
                return  # It ended between the look and the signal; the reader will say so.

    async def wait(self) -> None:
        """Wait for the end."""
        await self._ended.wait()

    async def stop(self, grace: float) -> None:
        """SIGTERM, and SIGKILL after ``grace`` seconds."""
        self.send(signal.SIGTERM)
        try:
            async with asyncio.timeout(grace):
                await self.wait()
        except TimeoutError:
            self.send(signal.SIGKILL)
            await self.wait()

    def forget(self) -> None:
        """Let go of the process without ending it."""
        if self.running:
            asyncio.get_running_loop().remove_reader(self._pidfd)
            os.close(self._pidfd)

    def _on_end(self) -> None:
        self.forget()
        if self._child:
            self._child.wait()
        self._ended.set()


def environment(*more: str) -> dict[str, str]:
    """Those of our variables that another program gets: few, and those named."""
    return {name: os.environ[name] for name in (*_KEPT, *more) if name in os.environ}


_KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH")


def start(command: Sequence[str], log: Path, *, pass_fds: Iterable[int] = ()) -> Detached:
    """Start a command in a session of its own, its output appended to ``log``. Raises FileNotFoundError.

    It gets few of our variables: a Jupyter's or a Hub's tokens are among them, and a guest may break out of its QEMU.
    """
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        process = subprocess.Popen(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=descriptor,
            stderr=descriptor,
            pass_fds=tuple(pass_fds),
            start_new_session=True,
            cwd="/",
            env=environment(),
        )
    finally:
        os.close(descriptor)
    return Detached(process.pid, process)


def find(mark: str) -> list[int]:
    """The processes of this user that have ``mark`` on their command line."""
    found = []
    me, home = os.getuid(), Path("/proc/self/ns/pid").readlink()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            mine = entry.stat().st_uid == me and mark.encode() in (entry / "cmdline").read_bytes()
            # What runs in a container can call itself anything, and may have our user.
            if mine and (entry / "ns/pid").readlink() == home:
                found.append(int(entry.name))
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue  # It ended while we looked, or is not ours to read.
    return found


def adopt(mark: str) -> Detached | None:
    """The running process with ``mark`` on its command line (checked again once it is held), or None."""
    for pid in find(mark):
        try:
            process = Detached(pid)
            if mark.encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                return process
            process.forget()
        except (ProcessLookupError, FileNotFoundError):
            continue
    return None


async def end_all(mark: str, grace: float = 2.0) -> None:
    """End every process with ``mark`` on its command line."""
    while process := adopt(mark):
        await process.stop(grace)
