"""A machine's port joined with something of this process: a client's connection, or a program that wants a socket."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass

from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from labkit.cluster.portforward import Stream, connect_port
from labkit.cluster.streams import StreamTarget
from labkit.errors import MachineUnreachable

OPEN_SECONDS = 15.0
_QUEUE = 16
_PIECE = 64 * 1024
_LINGER_SECONDS = 5.0
"""How long a machine may be silent once the client has sent its last byte: a portforward has no half-close."""
_REFUSALS = {
    401: "the engine refuses labkit's account; the operator's log says more",
    403: "the engine refuses labkit's account; the operator's log says more",
    404: "machine {machine} does not run",
    409: "machine {machine} is paused",
}


@dataclass(frozen=True)
class Way:
    """The way to a machine's port: `target` is asked for at each connection, as the token in it may expire."""

    target: Callable[[], StreamTarget]
    machine: str
    port: int

    async def open(self) -> Stream:
        """One connection. Raises MachineUnreachable."""
        return await reach(await asyncio.to_thread(self.target), self.machine, self.port)


async def reach(target: StreamTarget, machine: str, port: int) -> Stream:
    """The stream to `port` of `machine`, at `target`. Raises MachineUnreachable.

    That nothing answers in a container shows only as the stream's end, before any byte.
    """
    try:
        return await connect_port(target, OPEN_SECONDS, queue=_QUEUE)
    except InvalidStatus as error:
        text = _REFUSALS.get(error.response.status_code, "nothing answers on port {port} of machine {machine}")
        raise MachineUnreachable(text.format(machine=machine, port=port)) from error
    except (OSError, InvalidHandshake, ConnectionClosed) as error:
        raise MachineUnreachable(f"machine {machine} cannot be reached: the engine does not answer") from error


async def join(stream: Stream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass bytes both ways until the machine ends the stream, or is silent after the client's end; then close both.

    Where one side does not read, the other is not read either.
    """
    heard = 0

    async def up() -> None:
        while data := await reader.read(_PIECE):
            await stream.send(data)

    async def down() -> None:
        nonlocal heard
        async for message in stream:
            if isinstance(message, bytes):
                heard += 1
                writer.write(message)
                await writer.drain()

    sending, receiving = asyncio.ensure_future(up()), asyncio.ensure_future(down())
    try:
        await asyncio.wait((sending, receiving), return_when=asyncio.FIRST_COMPLETED)
        before = -1
        while not receiving.done() and sending.exception() is None and heard > before:
            before = heard
            await asyncio.wait((receiving,), timeout=_LINGER_SECONDS)
    finally:
        stream.transport.abort()
        for task in (sending, receiving):
            task.cancel()
        ends = await asyncio.gather(sending, receiving, return_exceptions=True)
        writer.close()
        for end in ends:
            if isinstance(end, Exception) and not isinstance(end, (ConnectionClosed, ConnectionError)):
                raise end
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
