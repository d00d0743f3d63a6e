"""A command in a machine, as the learner, drawn while it runs. Over SSH, as `labkit ssh` does it."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import shlex
import sys
import time
from collections.abc import Callable

import asyncssh

from labkit.cluster.portforward import soon
from labkit.cluster.ssh import connected
from labkit.cluster.streams import StreamTarget
from labkit.errors import LabkitError, MachineUnreachable
from labkit.jupyter.shown import Output
from labkit.model import Login

MOST_KEPT = 8 << 20
"""Characters of a command's words that are kept; all of them are shown."""
_PIECE = 32 * 1024
_TURN_SECONDS = 0.2
_END_SECONDS = 5.0
"""How long it may take to end an interrupted command."""
_MARK = "labkit runs this as process "
_LINE = """echo "{mark}$$" >&2; exec "${{SHELL:-sh}}" -c {command}"""
_STOP = """children() {{
  for stat in /proc/[0-9]*/stat; do
    read -r line < "$stat" || continue
    set -- "$1" ${{line##*) }}
    if [ "$3" = "$1" ]; then echo "${{line%% *}}"; (children "${{line%% *}}"); fi
  done 2>/dev/null
}}
all="{process} $(children {process})"
for signal in INT TERM KILL; do
  alive=; for one in $all; do kill -0 "$one" 2>/dev/null && alive="$alive $one"; done
  [ -z "$alive" ] && break
  kill -$signal $alive 2>/dev/null
  sleep 0.3
done"""
"""Ends a process and all that it has started, of which an SSH server passes a signal to the first at most."""
_Said = tuple[str, str] | None
Way = Callable[[], StreamTarget]


def run(
    way: Way, login: Login, machine: str, command: str, *, stdin: str, timeout: float | None, quiet: bool
) -> Output:
    """Run a shell command, and show what it says as it says it (unless `quiet`).

    Interrupted, or after `timeout` seconds, all its processes get SIGINT, those that stay SIGTERM and then SIGKILL,
    before this returns. Raises MachineUnreachable; LabkitError at the time-out.
    """
    begun = time.monotonic()
    said: queue.SimpleQueue[_Said] = queue.SimpleQueue()
    running = soon(_run(way, login, machine, command, stdin, timeout, said))
    kept, size = [], 0
    try:
        while (piece := _next(said)) is not None:
            if not quiet:
                print(piece[1], end="", file=sys.stderr if piece[0] == "stderr" else sys.stdout, flush=True)
            if size < MOST_KEPT:
                kept.append(piece[1])
                size += len(piece[1])
        status = running.result()
    except KeyboardInterrupt:
        running.cancel()
        while _next(said) is not None:
            pass  # it puts away what it began; what it still says is not shown
        raise
    if status is None:
        raise LabkitError(f"the command did not end within {timeout:g} s, and was ended")
    return Output(status, "".join(kept)[:MOST_KEPT], time.monotonic() - begun)


def _next(said: queue.SimpleQueue[_Said]) -> _Said:
    """What is said next. Waits in turns: an interrupt that is no signal of this process ends no wait."""
    while True:
        with contextlib.suppress(queue.Empty):
            return said.get(timeout=_TURN_SECONDS)


async def _run(
    way: Way,
    login: Login,
    machine: str,
    command: str,
    stdin: str,
    seconds: float | None,
    said: queue.SimpleQueue[_Said],
) -> int | None:
    try:
        async with connected(await asyncio.to_thread(way), login, machine) as connection:
            line = _LINE.format(mark=_MARK, command=shlex.quote(command))
            process = await connection.create_process(line, encoding="utf-8", errors="replace")
            number = await _number(process, said)
            try:
                async with asyncio.timeout(seconds):
                    await asyncio.gather(
                        _type(process, stdin),
                        _tell(process.stdout, "stdout", said),
                        _tell(process.stderr, "stderr", said),
                    )
                    await process.wait_closed()
            except (TimeoutError, asyncio.CancelledError) as reason:
                await _end(connection, number)
                if isinstance(reason, asyncio.CancelledError):
                    raise
                return None
            return process.returncode if process.returncode is not None else -1
    except (asyncssh.Error, OSError) as error:
        raise MachineUnreachable(f"machine {machine} no longer answers over SSH") from error
    finally:
        said.put(None)


async def _type(process: asyncssh.SSHClientProcess[str], stdin: str) -> None:
    with contextlib.suppress(BrokenPipeError):  # a command need not read what it is given
        process.stdin.write(stdin)
        process.stdin.write_eof()


async def _tell(reader: asyncssh.SSHReader[str], stream: str, said: queue.SimpleQueue[_Said]) -> None:
    while text := await reader.read(_PIECE):
        said.put((stream, text))


async def _number(process: asyncssh.SSHClientProcess[str], said: queue.SimpleQueue[_Said]) -> int:
    """The command's process id in the machine, which is said before all else, but for what a shell's own files say."""
    while line := await process.stderr.readline():
        if line.startswith(_MARK):
            return int(line.removeprefix(_MARK))
        said.put(("stderr", line))
    raise OSError("the machine's shell has ended at once")


async def _end(connection: asyncssh.SSHClientConnection, process: int) -> None:
    """End the processes of a command: first as Ctrl-C does."""
    with contextlib.suppress(OSError, asyncssh.Error, TimeoutError):
        async with asyncio.timeout(_END_SECONDS):
            await connection.run(_STOP.format(process=process))
