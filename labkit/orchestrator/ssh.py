"""Commands in machines, as root, over SSH: with the lab's check key, which neither learner nor gateway holds."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from labkit.cluster.client import Cluster
from labkit.cluster.portforward import soon
from labkit.cluster.streams import StreamTarget
from labkit.errors import MachineUnreachable
from labkit.manifests import names
from labkit.model import Login
from labkit.orchestrator.access import Access

if TYPE_CHECKING:
    import asyncssh

_T = TypeVar("_T")
OUTPUT_LIMIT = 16 * 1024
_PIECE = 32 * 1024
_LOOK_SECONDS = 0.05


@dataclass(frozen=True)
class Completed:
    """A command that has ended. `status` is None where it was cut off by time; outputs hold 16 KiB each at most."""

    status: int | None
    stdout: str
    stderr: str


def run(
    cluster: Cluster,
    access: Access,
    machine: str,
    command: str,
    *,
    stdin: str = "",
    timeout: float,
    still: Callable[[], None] = lambda: None,
) -> Completed:
    """Run a shell command as root in a machine, and wait for its end, `timeout` seconds at most.

    `still` is called all the while: what it raises ends the command. Raises MachineUnreachable.
    """
    target = cluster.stream_target(names.namespace_of(access.lab), machine, f"portforward/{names.SSH_PORT}")
    login = access.root_login(machine)
    return until_done(_run(target, login, machine, command, stdin.encode(), time.monotonic() + timeout), still)


def run_as(target: StreamTarget, login: Login, machine: str, command: str, *, timeout: float) -> Completed:
    """The same as whom `login` signs in, with the machine's SSH server at `target`. Raises MachineUnreachable."""
    return until_done(_run(target, login, machine, command, b"", time.monotonic() + timeout), lambda: None)


def until_done(work: Coroutine[Any, Any, _T], still: Callable[[], None]) -> _T:
    """What asynchronous work in a machine gives; `still` is called all the while: what it raises ends it."""
    running = soon(work)
    try:
        while not concurrent.futures.wait((running,), _LOOK_SECONDS).done:
            still()
        return running.result()
    finally:
        running.cancel()


async def _run(
    target: StreamTarget, login: Login, machine: str, command: str, stdin: bytes, deadline: float
) -> Completed:
    import asyncssh  # loaded when used, as is what brings it in: few commands need it

    from labkit.cluster.ssh import connected

    outputs = bytearray(), bytearray()
    async with connected(target, login, machine) as connection:
        try:
            # The machine's SSH server may have started with any mask: what a command makes is for others to read.
            process = await connection.create_process(f"umask 022\n{command}", encoding=None)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(deadline - time.monotonic()):
                    await asyncio.gather(
                        _type(process, stdin),
                        _collect(process.stdout, outputs[0]),
                        _collect(process.stderr, outputs[1]),
                    )
                    await process.wait_closed()
        except (asyncssh.Error, OSError) as error:
            raise MachineUnreachable(f"machine {machine} no longer answers over SSH") from error
        return Completed(process.exit_status, *(part.decode(errors="replace") for part in outputs))


async def _type(process: asyncssh.SSHClientProcess[bytes], stdin: bytes) -> None:
    with contextlib.suppress(BrokenPipeError):  # a command need not read what it is given
        process.stdin.write(stdin)
        process.stdin.write_eof()


async def _collect(reader: asyncssh.SSHReader[bytes], into: bytearray) -> None:
    while data := await reader.read(_PIECE):
        into += data[: OUTPUT_LIMIT - len(into)]
