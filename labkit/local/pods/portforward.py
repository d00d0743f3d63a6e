"""``pods/portforward`` over WebSocket, as the kubelet speaks it: v4.channel.k8s.io, two channels for each port.

A message's first byte is its channel: 2n carries the n-th port's bytes, 2n + 1 what went wrong with it; the first
message on each has the port's number, two bytes, little-endian.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence

from aiohttp import WSMsgType, web

from labkit.local.api.status import bad_request
from labkit.local.network.segments import NetworkError

PROTOCOL = "v4.channel.k8s.io"
_CHUNK = 65536
_LONGEST_MESSAGE = 2**22
Writer = asyncio.Future[asyncio.StreamWriter | None]
"""A port's connection, once it is made; None where it cannot be."""
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
    loop = asyncio.get_running_loop()
    ports: list[tuple[int, Writer]] = [(int(text), loop.create_future()) for text in texts]
    tasks = [asyncio.create_task(_push(socket, [writer for _, writer in ports]))]
    tasks.append(asyncio.create_task(_pull_all(socket, ports, dial)))
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        # A side that broke off is at its end like any other.
        await asyncio.gather(*tasks, return_exceptions=True)
        await socket.close()
    return socket


async def _pull_all(socket: web.WebSocketResponse, ports: Sequence[tuple[int, Writer]], dial: Dial) -> None:
    await asyncio.gather(*(_pull(socket, n, *port, dial) for n, port in enumerate(ports)))


async def _pull(socket: web.WebSocketResponse, n: int, port: int, ready: Writer, dial: Dial) -> None:
    for channel in (2 * n, 2 * n + 1):
        await socket.send_bytes(bytes([channel]) + port.to_bytes(2, "little"))
    try:
        reader, writer = await dial(port)
    except (NetworkError, OSError) as error:
        ready.set_result(None)
        await socket.send_bytes(bytes([2 * n + 1]) + f"error forwarding port {port} to pod: {error}".encode())
        return
    ready.set_result(writer)
    try:
        while data := await reader.read(_CHUNK):
            await socket.send_bytes(bytes([2 * n]) + data)
    finally:
        writer.close()


async def _push(socket: web.WebSocketResponse, writers: Sequence[Writer]) -> None:
    async for message in socket:
        n, error = divmod(message.data[0], 2) if message.type is WSMsgType.BINARY and message.data else (0, 1)
        if not error and n < len(writers) and (writer := await asyncio.shield(writers[n])):
            # What a side that has gone is sent is lost.
            with contextlib.suppress(ConnectionError):
                writer.write(message.data[1:])
                await writer.drain()
