"""``pods/portforward`` over WebSocket, as the kubelet speaks it: v4.channel.k8s.io, two channels for each port.

A message's first byte is its channel: 2n carries the n-th port's bytes, 2n + 1 what went wrong with it; the first message
on each has the port's number, two bytes, little-endian.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from aiohttp import WSMsgType, web

from labkit.local.api.status import bad_request
from labkit.local.network.segments import NetworkError

PROTOCOL = "v4.channel.k8s.io"
_CHUNK = 65536
_LONGEST_MESSAGE = 2**22
Dial = Callable[[int], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]


async def forward(request: web.Request, dial: Dial) -> web.StreamResponse:
    """Relay until every port's connection has ended, or the client has gone. ApiError 400."""
    offered = [word.strip() for word in request.headers.get("Sec-WebSocket-Protocol", "").split(",")]
    if request.headers.get("Upgrade", "").lower() != "websocket" or PROTOCOL not in offered:
        why = f"the embedded engine forwards ports over WebSocket with the subprotocol {PROTOCOL} only"
        raise bad_request(f"{why}, not over SPDY as kubectl does: use the kubernetes Python package's portforward")
    texts = [text for value in request.query.getall("ports", []) for text in value.split(",")]
    if not texts or not all(text.isdigit() and 0 < int(text) < 65536 for text in texts):
        raise bad_request("query parameter 'ports' must be numbers from 1 to 65535")
    socket = web.WebSocketResponse(protocols=(PROTOCOL,), compress=False, max_msg_size=_LONGEST_MESSAGE)
    await socket.prepare(request)
    writers: dict[int, asyncio.StreamWriter] = {}
    pulling = [asyncio.create_task(_pull(socket, n, int(text), dial, writers)) for n, text in enumerate(texts)]
    pushing = asyncio.create_task(_push(socket, writers, pulling))
    try:
        await asyncio.wait([pushing, asyncio.ensure_future(asyncio.wait(pulling))], return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (pushing, *pulling):
            task.cancel()
        # A side that broke off is at its end like any other.
        await asyncio.gather(pushing, *pulling, return_exceptions=True)
        for writer in writers.values():
            writer.close()
        await socket.close()
    return socket


async def _pull(
    socket: web.WebSocketResponse, n: int, port: int, dial: Dial, writers: dict[int, asyncio.StreamWriter]
) -> None:
    for channel in (2 * n, 2 * n + 1):
        await socket.send_bytes(bytes([channel]) + port.to_bytes(2, "little"))
    try:
        reader, writers[n] = await dial(port)
        while data := await reader.read(_CHUNK):
            await socket.send_bytes(bytes([2 * n]) + data)
    except (NetworkError, OSError) as error:
        await socket.send_bytes(bytes([2 * n + 1]) + f"error forwarding port {port} to pod: {error}".encode())


async def _push(
    socket: web.WebSocketResponse, writers: dict[int, asyncio.StreamWriter], pulling: list[asyncio.Task[None]]
) -> None:
    async for message in socket:
        if message.type is not WSMsgType.BINARY or not message.data or message.data[0] % 2:
            continue
        n = message.data[0] // 2
        while n < len(pulling) and n not in writers and not pulling[n].done():
            await asyncio.sleep(0.01)  # It is being connected.
        if n in writers:
            with contextlib.suppress(ConnectionError):
                writers[n].write(message.data[1:])
                await writers[n].drain()
