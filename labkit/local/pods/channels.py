"""The protocols v4 and v5.channel.k8s.io: a process's streams in one WebSocket, told apart by a message's first byte.

v5 adds a message that ends a channel: 255, then the channel's number.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import dataclass

from aiohttp import WSMsgType, web

from labkit.local.api.status import bad_request
from labkit.local.pods.process import Process

PROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io")
_STDIN, _STDOUT, _STDERR, _ERROR, _RESIZE, _CLOSE = 0, 1, 2, 3, 4, 255
_CHUNK = 65536
_LONGEST_MESSAGE = 2**22


def check(request: web.Request) -> None:
    """Refuse what is not a WebSocket with one of the protocols, before anything is started. ApiError 400."""
    offered = [word.strip() for word in request.headers.get("Sec-WebSocket-Protocol", "").split(",")]
    if request.headers.get("Upgrade", "").lower() != "websocket":
        why = "the embedded engine runs commands over WebSocket only, not over SPDY: use kubectl 1.31 or later"
        raise bad_request(why)
    if not set(PROTOCOLS) & set(offered):
        raise bad_request(f"the WebSocket must offer one of the subprotocols {', '.join(PROTOCOLS)}")


@dataclass
class Channels:
    """One client's WebSocket after the handshake."""

    socket: web.WebSocketResponse

    @classmethod
    async def accept(cls, request: web.Request) -> Channels:
        """Shake hands; an empty message says that the connection stands."""
        socket = web.WebSocketResponse(protocols=PROTOCOLS, compress=False, max_msg_size=_LONGEST_MESSAGE)
        await socket.prepare(request)
        await socket.send_bytes(bytes([_STDOUT]))
        return cls(socket)

    async def run(self, process: Process) -> None:
        """Relay until the process has ended (its status goes last) or the client has gone (which ends the process)."""
        reading = asyncio.create_task(self._read(process))
        writing = [
            asyncio.create_task(self._write(number, output))
            for number, output in ((_STDOUT, process.stdout), (_STDERR, process.stderr))
            if output is not None
        ]
        ended = asyncio.create_task(self._end(writing, process))
        try:
            await asyncio.wait([reading, ended], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (reading, ended, *writing):
                task.cancel()
            await process.kill()
            # A client that broke off, or sent what is not of the protocol, is at its end like any other.
            await asyncio.gather(reading, ended, *writing, return_exceptions=True)
            await self.socket.close()

    async def _end(self, writing: list[asyncio.Task[None]], process: Process) -> None:
        await asyncio.gather(*writing)
        await self.socket.send_bytes(bytes([_ERROR]) + json.dumps(status_of(await process.wait())).encode())

    async def _read(self, process: Process) -> None:
        async for message in self.socket:
            if message.type is not WSMsgType.BINARY or not message.data:
                continue
            channel, data = message.data[0], message.data[1:]
            if channel == _STDIN:
                await process.type(data)
            elif channel == _CLOSE and data == bytes([_STDIN]):
                process.end_input()
            elif channel == _RESIZE:
                size = json.loads(data)
                process.resize(int(size["Width"]), int(size["Height"]))

    async def _write(self, channel: int, output: asyncio.StreamReader) -> None:
        # A terminal that its last process has left fails with EIO, which is its end of file.
        with contextlib.suppress(OSError):
            while data := await output.read(_CHUNK):
                await self.socket.send_bytes(bytes([channel]) + data)


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
