"""A command with its streams: pipes, or a terminal. It ends with the engine and with whoever asked for it."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import signal
import struct
import termios
from collections.abc import Sequence
from dataclasses import dataclass

_ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM": "xterm"}

_GRACE_SECONDS = 1.0


@dataclass
class Process:
    """A running command. With a terminal both outputs come on ``stdout``."""

    child: asyncio.subprocess.Process
    stdin: asyncio.StreamWriter | None
    stdout: asyncio.StreamReader | None
    stderr: asyncio.StreamReader | None
    terminal: int | None = None

    async def type(self, data: bytes) -> None:
        """Input; waits where it is not read. To a command that reads no more it is lost."""
        if self.stdin:
            with contextlib.suppress(ConnectionError):
                self.stdin.write(data)
                await self.stdin.drain()

    def end_input(self) -> None:
        """There is no more input."""
        if self.stdin and self.terminal is None:
            self.stdin.close()

    def resize(self, columns: int, lines: int) -> None:
        """The size of the terminal, if it has one."""
        if self.terminal is not None:
            fcntl.ioctl(self.terminal, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    async def wait(self) -> int:
        """Its exit status; 128 and the signal's number for one that was ended by a signal."""
        code = await self.child.wait()
        return code if code >= 0 else 128 - code

    async def kill(self) -> None:
        """End it, and let go of its streams."""
        if self.child.returncode is None:
            # This one reaches the command in a container too: runc hands it on.
            self.child.terminate()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_GRACE_SECONDS):
                    await self.child.wait()
            # A sandbox that is still being made does not yet end with its first process; all of it is in one group.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.child.pid, signal.SIGKILL)
            await self.child.wait()
        if self.stdin:
            self.stdin.close()
        if self.terminal is not None:
            os.close(self.terminal)


async def start(command: Sequence[str], *, stdin: bool, tty: bool) -> Process:
    """Start a command. Raises FileNotFoundError."""
    if tty:
        return await _in_terminal(command)
    pipe, none = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
    given = pipe if stdin else none
    child = await asyncio.create_subprocess_exec(
        *command, stdin=given, stdout=pipe, stderr=pipe, env=_ENVIRONMENT, start_new_session=True
    )
    return Process(child, child.stdin, child.stdout, child.stderr)


async def _in_terminal(command: Sequence[str]) -> Process:
    ours, theirs = os.openpty()
    try:
        # setsid makes the terminal the command's own, so that Ctrl-C reaches it.
        line = ["setsid", "--ctty", *command]
        child = await asyncio.create_subprocess_exec(
            *line, stdin=theirs, stdout=theirs, stderr=theirs, env=_ENVIRONMENT
        )
    except BaseException:
        os.close(ours)
        raise
    finally:
        os.close(theirs)
    loop, reader = asyncio.get_running_loop(), asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(os.dup(ours), "rb", 0))
    transport, protocol = await loop.connect_write_pipe(
        asyncio.streams.FlowControlMixin, os.fdopen(os.dup(ours), "wb", 0)
    )
    return Process(child, asyncio.StreamWriter(transport, protocol, None, loop), reader, None, ours)
