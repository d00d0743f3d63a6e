"""The protocols v4 and v5.channel.k8s.io: a process's streams in one WebSocket, told apart by a message's first byte.

v5 adds a message that ends a channel: 255, then the channel's number.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

from aiohttp import WSMsgType, web

from labkit.local.api.status import bad_request
from labkit.local.pods.process import Process

PROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io")
_STDIN, _STDOUT, _STDERR, _ERROR, _RESIZE, _CLOSE = 0, 1, 2, 3, 4, 255
_CHUNK = 65536
_LONGEST_MESSAGE = 2**22


Take = Callable[[int, bytes], Awaitable[None]]
"""What is done with a client's message: its channel, the rest of it."""


@dataclass
class Channels:
    """One client's WebSocket after the handshake."""

    socket: web.WebSocketResponse

    @classmethod
    async def accept(cls, request: web.Request, protocols: Sequence[str]) -> Channels:
        """Shake hands."""
        socket = web.WebSocketResponse(protocols=protocols, compress=False, max_msg_size=_LONGEST_MESSAGE)
        await socket.prepare(request)
        return cls(socket)

    async def send(self, channel: int, data: bytes) -> None:
        """One message."""
        await self.socket.send_bytes(bytes([channel]) + data)

    async def copy(self, channel: int, output: asyncio.StreamReader) -> None:
        """All that comes out of a stream."""
        # A terminal that its last process has left fails with EIO, which is its end of file.
        with contextlib.suppress(OSError):
            while data := await output.read(_CHUNK):
                await self.send(channel, data)

    async def relay(self, work: Coroutine[Any, Any, None], take: Take) -> None:
        """Do the work while the client's messages are taken: until it is done, or the client has gone."""
        tasks = [asyncio.create_task(work), asyncio.create_task(self._read(take))]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            # A client that broke off, or sent what is not of the protocol, is at its end like any other.
            await asyncio.gather(*tasks, return_exceptions=True)
            await self.socket.close()

    async def _read(self, take: Take) -> None:
        async for message in self.socket:
            if message.type is WSMsgType.BINARY and message.data:
                await take(message.data[0], message.data[1:])


def check(request: web.Request, protocols: Sequence[str], remedy: str) -> None:
    """Refuse what is not a WebSocket with one of the protocols, before anything is started. ApiError 400."""
    offered = [word.strip() for word in request.headers.get("Sec-WebSocket-Protocol", "").split(",")]
    if request.headers.get("Upgrade", "").lower() != "websocket" or not set(protocols) & set(offered):
        served = f"over WebSocket only, with the subprotocol {' or '.join(protocols)}, not over SPDY"
        raise bad_request(f"the embedded engine serves this {served}: {remedy}")


async def run(channels: Channels, process: Process) -> None:
    """Relay until the process has ended (its status goes last) or the client has gone (which ends the process)."""

    async def work() -> None:
        outputs = ((_STDOUT, process.stdout), (_STDERR, process.stderr))
        await asyncio.gather(*(channels.copy(number, output) for number, output in outputs if output))
        await channels.send(_ERROR, json.dumps(status_of(await process.wait())).encode())

    async def take(channel: int, data: bytes) -> None:
        if channel == _STDIN:
            await process.type(data)
        elif channel == _CLOSE and data == bytes([_STDIN]):
            process.end_input()
        elif channel == _RESIZE:
            size = json.loads(data)
            process.resize(int(size["Width"]), int(size["Height"]))

    try:
        # An empty message says that the connection stands.
        await channels.send(_STDOUT, b"")
        await channels.relay(work(), take)
    finally:
        await process.kill()


def status_of(code: int) -> dict[str, object]:
    """The Status in which a client reads how a command ended."""
    if code == 0:
        return {"metadata": {}, "status": "Success"}
    cause = {"reason": "ExitCode", "message": str(code)}
    return {
        "metadata": {},
        "status": "Failure",
        "message": f"command terminated with non-zero exit code: exit status {code}",
        "reason": "NonZeroExitCode",
        "details": {"causes": [cause]},
    }
