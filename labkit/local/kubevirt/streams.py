"""Streams over WebSocket as KubeVirt has them: raw bytes in binary messages, no close frame at the end.

The engine stands where virt-handler does, so it frames and unframes; nothing is read from one side before the other
has taken what came before.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

from aiohttp import WSMsgType, web

from labkit.local.qemu.serial import SerialConsole

PROTOCOL = "plain.kubevirt.io"
_CHUNK = 262_144
_PING_SECONDS = 1.0
_PONG_SECONDS = 60.0
_LONGEST_MESSAGE = 16 * 2**20
"""Bytes; KubeVirt has no limit, but here a whole message is held in memory."""

Send = Callable[[bytes], Awaitable[None]]


class Sessions:
    """The one VNC and the one console session of each machine: the newest wins."""

    def __init__(self) -> None:
        self._current: dict[tuple[str, str], Stream] = {}

    def busy(self, key: tuple[str, str]) -> bool:
        """Whether somebody is connected."""
        return key in self._current

    @contextlib.asynccontextmanager
    async def taken_over(self, key: tuple[str, str], request: web.Request) -> AsyncIterator[Stream]:
        """A new client's stream as the only session, the one before being cut."""
        stream = await Stream.accept(request)
        if before := self._current.get(key):
            before.cut()
        self._current[key] = stream
        try:
            yield stream
        finally:
            if self._current.get(key) is stream:
                del self._current[key]

    def close(self) -> None:
        """Cut all."""
        for stream in self._current.values():
            stream.cut()


@dataclass
class Stream:
    """One client's WebSocket after the handshake."""

    request: web.Request
    socket: web.WebSocketResponse
    pinged: bool
    _last_pong: float = field(default_factory=lambda: asyncio.get_running_loop().time())

    @classmethod
    async def accept(cls, request: web.Request, *, ping: bool = False) -> Stream:
        """Shake hands: the protocol is echoed only to a client that offers it; frames are never compressed."""
        socket = web.WebSocketResponse(
            protocols=(PROTOCOL,), compress=False, autoping=False, max_msg_size=_LONGEST_MESSAGE, timeout=0.1
        )
        await socket.prepare(request)
        return cls(request, socket, ping)

    def cut(self) -> None:
        """End it at once, without a close frame: the client sees 1006."""
        if self.request.transport is not None:
            self.request.transport.abort()

    async def send(self, data: bytes) -> None:
        """Bytes to the client; waits for a slow one. Raises ConnectionError."""
        await self.socket.send_bytes(data)

    async def relay(self, source: Awaitable[None], write: Send) -> None:
        """Run ``source`` (which sends) and hand the client's bytes to ``write`` until either side ends."""
        tasks = [asyncio.ensure_future(source), asyncio.create_task(self._receive(write))]
        if self.pinged:
            tasks.append(asyncio.create_task(self._ping()))
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            for task in tasks:
                # A side that broke is simply at its end: there is nobody left to tell.
                with contextlib.suppress(asyncio.CancelledError, ConnectionError, OSError):
                    await task
            if self.request.transport is not None:
                self.request.transport.close()

    async def _receive(self, write: Send) -> None:
        while True:
            message = await self.socket.receive()
            if message.type is WSMsgType.BINARY:
                await write(message.data)
            elif message.type is WSMsgType.PING:
                await self.socket.pong(message.data)
            elif message.type is WSMsgType.PONG:
                self._last_pong = asyncio.get_running_loop().time()
            elif message.type is not WSMsgType.TEXT:
                return

    async def _ping(self) -> None:
        while (left := self._last_pong + _PONG_SECONDS - asyncio.get_running_loop().time()) > 0:
            with contextlib.suppress(TimeoutError):
                # A client that reads nothing would keep even the ping waiting.
                async with asyncio.timeout(left):
                    await self.socket.ping(b"keep alive")
            await asyncio.sleep(_PING_SECONDS)


async def relay_socket(stream: Stream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Relay between a client and a connected socket."""

    async def pull() -> None:
        while data := await reader.read(_CHUNK):
            await stream.send(data)

    async def push(data: bytes) -> None:
        writer.write(data)
        await writer.drain()

    try:
        await stream.relay(pull(), push)
    finally:
        writer.close()


async def relay_serial(stream: Stream, console: SerialConsole) -> None:
    """Relay between a client and the machine's serial line, which outlives the session."""
    viewer = console.attach(stream.cut)
    try:
        await stream.relay(viewer.pump(stream.send), console.write)
    finally:
        console.detach(viewer)
