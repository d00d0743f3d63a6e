"""``pods/portforward`` over WebSocket, as the kubelet speaks it: v4.channel.k8s.io, two channels for each port.

A message's first byte is its channel: 2n carries the n-th port's bytes, 2n + 1 what went wrong with it; the first
message on each has the port's number, two bytes, little-endian.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from aiohttp import web

from labkit.local.api.status import bad_request
from labkit.local.network.segments import NetworkError, Streams
from labkit.local.pods.channels import Channels, check

_PROTOCOLS = ("v4.channel.k8s.io",)
_REMEDY = "use the kubernetes Python package's portforward"


async def forward(request: web.Request, dial: Callable[[int], Awaitable[Streams]]) -> web.StreamResponse:
    """Relay until every port's connection has ended, or the client has gone. ApiError 400."""
    check(request, _PROTOCOLS, _REMEDY)
    texts = [text for value in request.query.getall("ports", []) for text in value.split(",")]
    if not texts or not all(text.isdigit() and 0 < int(text) < 65536 for text in texts):
        raise bad_request("query parameter 'ports' must be numbers from 1 to 65535")
    channels = await Channels.accept(request, _PROTOCOLS)
    loop = asyncio.get_running_loop()
    writers: list[asyncio.Future[asyncio.StreamWriter | None]] = [loop.create_future() for _ in texts]

    async def pull(n: int, port: int) -> None:
        for channel in (2 * n, 2 * n + 1):
            await channels.send(channel, port.to_bytes(2, "little"))
        try:
            reader, writer = await dial(port)
        except (NetworkError, OSError) as error:
            writers[n].set_result(None)
            return await channels.send(2 * n + 1, f"error forwarding port {port} to pod: {error}".encode())
        writers[n].set_result(writer)
        with contextlib.closing(writer):
            await channels.copy(2 * n, reader)

    async def work() -> None:
        await asyncio.gather(*(pull(n, int(text)) for n, text in enumerate(texts)))

    async def take(channel: int, data: bytes) -> None:
        n, error = divmod(channel, 2)
        if not error and n < len(writers) and (writer := await asyncio.shield(writers[n])):
            # What a side that has gone is sent is lost.
            with contextlib.suppress(ConnectionError):
                writer.write(data)
                await writer.drain()

    await channels.relay(work(), take)
    return channels.socket
